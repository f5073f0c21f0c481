"""Perturbed cells from h5ad files."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from typing_extensions import override

from runwright import Data, DataModule, NoExamples, UserError, factory, option, require_extra
from runwright.domains.perturbation.batch import CellSets
from runwright.domains.perturbation.dims import OutputSpace, PerturbationDims

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from runwright import Runtime
    from runwright.domains.perturbation.cell_sets import CellSetSplit
    from runwright.domains.perturbation.cell_table import CellTable
    from runwright.domains.perturbation.cells import Cells
    from runwright.domains.perturbation.data_plan import DataPlan
    from runwright.domains.perturbation.groups import Groups

log = logging.getLogger(__name__)


@factory("perturbation")
class PerturbationDataModule(DataModule[PerturbationDims, CellSets]):
    """Sets of cells before and after a perturbation, from h5ad files that a TOML file names."""

    default_objective: ClassVar[str | None] = "perturbation"
    smaller_examples: ClassVar[str] = "smaller sets (dm.cell_set_len)"

    toml_config_path: Path = option(
        harmless=True, doc="TOML file that names the h5ad files and what is held out of them"
    )
    embed_key: str | None = option(
        default=None, doc="embedding in obsm that a model gets of a cell; null is its expression"
    )
    output_space: OutputSpace = option(
        default="all", doc="what is predicted: highly variable genes, all genes, or the embedding"
    )
    pert_rep: Literal["onehot", "features"] | None = option(
        default=None,
        doc="vectors of the perturbations; null is features if there is a file, else onehot",
    )
    basal_mapping_strategy: Literal["random", "batch"] = option(
        default="random", doc="controls of the same file and cell type, or of the same batch too"
    )
    n_basal_samples: int = option(
        default=1, ge=1, doc="controls whose mean each perturbed cell is predicted from"
    )
    should_yield_control_cells: bool = option(
        default=True,
        doc="whether to train on sets of control cells too, and to measure against all of them",
    )
    map_controls: bool = option(
        default=True, doc="whether control cells are predicted from other controls, not themselves"
    )
    zeroshot_controls: bool = option(
        default=False, doc="whether to train on the controls of cell types that are held out"
    )
    batch_col: str | None = option(
        default="gem_group", doc="obs column of the experimental batches; null if there is none"
    )
    pert_col: str = option(default="gene", doc="obs column of the perturbations")
    cell_type_key: str = option(default="cell_type", doc="obs column of the cell types")
    control_pert: str = option(default="DMSO_TF", doc="perturbation of the control cells")
    perturbation_features_file: Path | None = option(
        harmless=True,
        default=None,
        doc="vectors of the perturbations, {name: vector}: a .safetensors or .pt file",
    )
    allow_missing_features: bool = option(
        harmless=True,  # of what was trained on, the vectors are kept; a later stage may have more
        default=False,
        doc="whether perturbations may lack a vector; they get zeros",
    )
    cell_set_len: int = option(
        default=128, ge=1, follows="model.cell_set_len", doc="cells of a set; follows the model's"
    )
    downsample_cells: int | None = option(
        default=None, ge=1, doc="cells of a perturbation and cell type to train on, at most"
    )
    val_subsample_fraction: float | None = option(
        default=None, gt=0, le=1, doc="fraction of the validation cells to use"
    )
    split_seed: int = option(
        default=0, ge=0, doc="seed of the controls that cells are validated with"
    )
    batch_size: int = option(default=16, ge=1, doc="sets per batch")
    cache_dir: Path | None = option(
        harmless=True,
        default=None,
        doc="folder for copies of compressed files; null is `cache` beside the TOML file",
    )
    num_workers: int = option(
        harmless=True, default=0, ge=0, le=256, doc="processes that read batches; 0 is a thread"
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.output_space == "embedding" and self.embed_key is None:
            yield "`embed_key` must name an embedding for `output_space`=embedding"
        if self.pert_rep == "features" and self.perturbation_features_file is None:
            yield "`perturbation_features_file` must be given with `pert_rep`=features"
        if self.pert_rep == "onehot" and self.perturbation_features_file is not None:
            yield "`perturbation_features_file` must be null with `pert_rep`=onehot"
        if self.basal_mapping_strategy == "batch" and self.batch_col is None:
            yield "`batch_col` must name a column for `basal_mapping_strategy`=batch"
        if self.allow_missing_features and self.perturbation_features_file is None:
            yield "`allow_missing_features` is for a `perturbation_features_file`"

    @override
    def check_sources(self) -> None:
        from runwright.domains.perturbation.data_plan import read_plan
        from runwright.domains.perturbation.perturbation_vectors import refuse_missing

        read_plan(self.toml_config_path.expanduser())
        if self.perturbation_features_file is not None:
            refuse_missing(self.perturbation_features_file.expanduser())

    @override
    def build(self, runtime: "Runtime") -> Data[PerturbationDims, CellSets]:
        """Read what the cells are, group them, and map their expression into memory."""
        require_extra("anndata", "perturbation", "dm=perturbation")
        from runwright.domains.perturbation.data_plan import read_plan

        plan = read_plan(self.toml_config_path.expanduser())
        dims, cells, groups = self._read(plan, runtime)
        return self._data(dims, cells, groups, plan, runtime)

    @override
    def without_examples(self, runtime: "Runtime") -> Data[PerturbationDims, CellSets]:
        """What a model is built from; names of files and cells are not known."""
        names: dict[str, list[str]] = runtime.kept("cells")
        dims = PerturbationDims(
            **runtime.kept("sizes"),
            num_batches=len(names["batches"]),
            output_space=self.output_space,
            cell_type_names=tuple(names["cell_types"]),
            perturbation_names=tuple(names["perturbations"]),
            batch_names=tuple(names["batches"]),
            gene_names=tuple(names["genes"]),
            control=names["perturbations"].index(self.control_pert),
        )
        return Data(dims=dims, train=NoExamples[CellSets]())

    def unseen(
        self, file: Path, runtime: "Runtime", *, allows_new_batches: bool
    ) -> "tuple[PerturbationDims, CellSetSplit]":
        """All cells of another h5ad file, numbered as in the training, and what is known of them.

        Args:
            file: the file; its columns and its control are called as in the training.
            runtime: knows the directory of the training.
            allows_new_batches: whether batches may be unknown to the training.

        Raises:
            UserError: it cannot be read, or has what the training does not know.
        """
        from runwright.domains.perturbation.data_plan import DataPlan

        plan = DataPlan(
            path=file,
            files={file.stem: (file,)},
            training=frozenset(),
            zeroshot={},
            fewshot={},
        )
        dims, cells, groups = self._read(plan, runtime, allows_new_batches=allows_new_batches)
        return dims, self._split(cells, groups, runtime, is_training=False)

    def _read(
        self, plan: "DataPlan", runtime: "Runtime", *, allows_new_batches: bool = False
    ) -> "tuple[PerturbationDims, Cells, Groups]":
        """Number the cells, map their expression into memory, and group them."""
        from runwright.domains.perturbation.cell_files import open_cells
        from runwright.domains.perturbation.cell_table import Columns, read_cells, renumbered
        from runwright.domains.perturbation.groups import group_cells

        columns = Columns(
            cell_type=self.cell_type_key,
            perturbation=self.pert_col,
            batch=self.batch_col,
            control=self.control_pert,
        )
        table = read_cells(plan, columns)
        kept: dict[str, Any] = runtime.kept("cells", lambda: self._to_keep(table))
        table = renumbered(
            table,
            kept,
            allows_new_perturbations=self.perturbation_features_file is not None,
            allows_new_batches=allows_new_batches,
        )
        cells = open_cells(
            table,
            kept["genes"],
            self._vectors(table.perturbations, runtime).to(runtime.device),
            output_space=self.output_space,
            embed_key=self.embed_key,
            control=self.control_pert,
            copies=self.cache_dir or plan.path.parent / "cache",
        )
        sizes: dict[str, Any] = runtime.kept("sizes", lambda: _sizes(cells))
        if (width := cells.rows[0].width) != sizes["features"]:
            raise UserError(
                f"{table.files[0]}: the embedding {cells.embedding} has {width} values a cell; "
                f"that of the training had {sizes['features']}. Compute it as for the training."
            )
        groups = group_cells(
            table,
            plan,
            control=self.control_pert,
            mapping=self.basal_mapping_strategy,
            zeroshot_controls=self.zeroshot_controls,
        )
        dims = PerturbationDims(
            **sizes,
            num_batches=len(kept["batches"]),
            output_space=self.output_space,
            cell_type_names=table.cell_types,
            perturbation_names=table.perturbations,
            batch_names=table.batches,
            gene_names=tuple(kept["genes"]),
            control=cells.control,
            cell_files=tuple(zip(table.files, table.starts.tolist(), strict=False)),
            columns={
                "cell_type": self.cell_type_key,
                "perturbation": self.pert_col,
                **({} if self.batch_col is None else {"batch": self.batch_col}),
            },
        )
        return dims, cells, groups

    def _data(
        self,
        dims: PerturbationDims,
        cells: "Cells",
        groups: "Groups",
        plan: "DataPlan",
        runtime: "Runtime",
    ) -> Data[PerturbationDims, CellSets]:
        from runwright.domains.perturbation.groups import SPLITS, tell_unused

        def split(of: "Groups", *, is_training: bool = False) -> "CellSetSplit":
            return self._split(cells, of, runtime, is_training=is_training)

        train = groups.split == SPLITS["train"]
        if not self.should_yield_control_cells:
            train &= groups.perturbation != cells.control
        if not train.any():
            raise UserError(
                f"{plan.path} leaves no cells to train on: of what [training] names "
                f"({', '.join(sorted(plan.training)) or 'nothing'}), everything is held out. Hold "
                "out less, or add a data set."
            )
        tell_unused(groups, cells.table, plan, cells.control)
        training = groups.chosen(train)
        if self.downsample_cells is not None:
            training = training.at_most(self.downsample_cells, self.split_seed)
        val, test = (groups.split == SPLITS[name] for name in ("val", "test"))
        parts = {
            "fewshot": self._evaluated(groups, val & ~groups.is_zeroshot, cells.control),
            "zeroshot": self._evaluated(groups, val & groups.is_zeroshot, cells.control),
            "test": self._evaluated(groups, test, cells.control),
        }
        tested = parts.pop("test")
        if self.val_subsample_fraction is not None:
            fraction = self.val_subsample_fraction
            parts = {n: part.sampled(fraction, self.split_seed) for n, part in parts.items()}
        validation = {name: split(part) for name, part in parts.items() if len(part)}
        if not validation:
            log.info(
                "%s holds out nothing for validation, so nothing is validated; the test split is "
                "not used instead.",
                plan.path,
            )
        first = next(iter(validation), None)
        return Data(
            dims=dims,
            train=split(training, is_training=True),
            val=None if first is None else validation[first],
            test=split(tested) if len(tested) else None,
            also={name: part for name, part in validation.items() if name != first},
        )

    def _evaluated(self, groups: "Groups", which: "NDArray[np.bool_]", control: int) -> "Groups":
        """Groups to measure, with the control cells that their effects are measured against."""
        if self.should_yield_control_cells:
            which = groups.with_controls(which, control)
        return groups.chosen(which)

    def _split(
        self, cells: "Cells", groups: "Groups", runtime: "Runtime", *, is_training: bool
    ) -> "CellSetSplit":
        from runwright.domains.perturbation.cell_sets import CellSetSplit

        return CellSetSplit(
            cells,
            groups,
            set_size=self.cell_set_len,
            batch_size=self.batch_size,
            seed=runtime.seed if is_training else self.split_seed,
            is_training=is_training,
            num_controls=self.n_basal_samples,
            maps_controls=self.map_controls,
            device=runtime.device,
            num_workers=self.num_workers,
        )

    def _to_keep(self, table: "CellTable") -> dict[str, list[str]]:
        """What the training numbers, in order."""
        from runwright.domains.perturbation.cell_files import predicted_genes

        return {
            "cell_types": list(table.cell_types),
            "perturbations": list(table.perturbations),
            "batches": list(table.batches),
            "genes": predicted_genes(table.files[0], self.output_space),
        }

    def _vectors(self, names: Sequence[str], runtime: "Runtime") -> "torch.Tensor":
        """(perturbations, P), those of the training as it kept them, others from the file."""
        import torch

        from runwright.domains.perturbation import perturbation_vectors

        if self.perturbation_features_file is None:
            return perturbation_vectors.one_hot(len(names))
        file = self.perturbation_features_file.expanduser()

        def read(wanted: Sequence[str]) -> "dict[str, torch.Tensor]":
            vectors = perturbation_vectors.from_file(
                file,
                wanted,
                control=self.control_pert,
                allows_missing=self.allow_missing_features,
            )
            return dict(zip(wanted, vectors, strict=True))

        known = runtime.kept_tensors("perturbation_vectors", lambda: read(names))
        if new := [name for name in names if name not in known]:
            added = read(new)
            of_training, length = (len(next(iter(one.values()))) for one in (known, added))
            if length != of_training:
                raise UserError(
                    f"The vectors in {file} have {length} values; those of the training had "
                    f"{of_training}. Name its file by dm.perturbation_features_file."
                )
            known |= added
        return torch.stack([known[name] for name in names])


def _sizes(cells: "Cells") -> dict[str, int | None]:
    """What a model is built from besides names."""
    return {
        "features": cells.rows[0].width,
        "perturbation_features": cells.vectors.shape[1],
        "decoded_genes": None if cells.genes is None else cells.genes[0].width,
    }
