"""What cells to simulate: the options of `python -m runwright simulate perturbation`."""

from typing import Any

import attrs
from attrs.validators import ge, le

from runwright import UserError


def _count(default: int, least: int, text: str) -> Any:
    return attrs.field(
        default=default, validator=ge(least), metadata={"least": least, "help": text}
    )


@attrs.frozen(kw_only=True)
class Simulation:
    """What is simulated.

    The last cell types are held out: `few_shot` of which some perturbations are, then `zero_shot`
    of which all are; see `plan_text`.
    """

    seed: int = _count(0, 0, "seed for effects and cells")
    cell_types: int = _count(16, 4, "how many cell types; the last ones are held out")
    few_shot: int = _count(2, 1, "cell types of which some perturbations are held out")
    zero_shot: int = _count(
        4, 2, "cell types of which all perturbations are: one for validation, the others for tests"
    )
    perturbations: int = _count(40, 6, "how many perturbations there are besides the control")
    batches: int = _count(3, 1, "how many experimental batches; each has all perturbations")
    cells: int = _count(50, 1, "cells of each cell type and perturbation")
    controls: int = _count(300, 1, "control cells of each cell type")
    genes: int = _count(600, 20, "how many genes are measured")
    variable_genes: int = _count(300, 2, "how many of them are marked as highly variable")
    programs: int = _count(6, 2, "response programs that effects are mixed from")
    inactive: float = attrs.field(
        default=0.1,
        validator=[ge(0), le(1)],
        metadata={"help": "share of the perturbations that have no effect"},
    )

    def __attrs_post_init__(self) -> None:
        """Check options against each other.

        Raises:
            UserError: there are more targets or variable genes than genes, or all cell types are
                held out.
        """
        for flag, needed in (
            ("--perturbations", self.perturbations),
            ("--variable-genes", self.variable_genes),
        ):
            if needed > self.genes:
                raise UserError(f"{flag} must be ≤ --genes ({self.genes}), got {needed}.")
        held_out = self.few_shot + self.zero_shot
        if self.cell_types <= held_out:
            raise UserError(
                f"--cell-types must be > --few-shot + --zero-shot = {held_out}, so that a whole "
                f"cell type is trained on, got {self.cell_types}."
            )

    @property
    def cell_type_names(self) -> list[str]:
        """The names of the cell types."""
        return [f"type_{number + 1}" for number in range(self.cell_types)]

    @property
    def few_shot_types(self) -> range:
        """The numbers of the cell types of which some perturbations are held out."""
        end = self.cell_types - self.zero_shot
        return range(end - self.few_shot, end)

    @property
    def zero_shot_types(self) -> range:
        """The numbers of those of which all are: the first for validation, the others for tests."""
        return range(self.cell_types - self.zero_shot, self.cell_types)

    @property
    def gene_names(self) -> list[str]:
        """The names of the genes."""
        width = len(str(self.genes))
        return [f"gene_{number + 1:0{width}}" for number in range(self.genes)]

    @property
    def batch_names(self) -> list[str]:
        """The names of the batches."""
        return [f"batch_{number + 1}" for number in range(self.batches)]
