"""How large a model is, or why that is unknown without building it for real."""

import traceback
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from runwright.checks.meta_device import on_meta_device, was_refused
from runwright.checks.model_size import Size, bounded, size_of
from runwright.config import chosen_name
from runwright.dims import Dims
from runwright.errors import UserError
from runwright.extras import MissingExtraError
from runwright.finetune_options import FinetuneCfg
from runwright.model import ModelFactory
from runwright.optimizers.optimizer_factory import OptimizerFactory

FROM_NOTHING: Final = FinetuneCfg()


@attrs.frozen
class Misfit:
    """The options leave no valid model for these data: the factory says why."""

    reason: str


@attrs.frozen
class Unmeasured:
    """The model may well be right, but needs memory, a download or an extra to be built."""

    reason: str


@attrs.frozen
class Broken:
    """The factory raised an error that is not a message to its user: a bug."""

    reason: str


Outcome: TypeAlias = Size | Misfit | Unmeasured | Broken


def measure(
    model: ModelFactory, dims: Dims, opt: OptimizerFactory, finetune: FinetuneCfg = FROM_NOTHING
) -> Outcome:
    """Build a model for data of these Dims, and its optimiser, on the meta device."""
    from runwright.training.finetune.start import prepare

    try:
        with on_meta_device(), bounded(f"model={chosen_name(model)}"):
            model.preflight()
            module = model.build(dims)
            prepare(module, finetune)
        return size_of(module, opt)
    except Exception as error:  # noqa: BLE001  # a bug in one factory must not hide the others' faults
        return explain(error)


def explain(error: Exception) -> Misfit | Unmeasured | Broken:
    """What an exception from building something on the meta device means."""
    if was_refused(error):
        return Unmeasured("it starts from weights that would have to be downloaded")
    if isinstance(error, MissingExtraError):
        return Unmeasured(str(error).removesuffix("."))
    if isinstance(error, UserError):
        return Misfit(str(error))
    first = next(iter(str(error).splitlines()), "")
    if isinstance(error, RuntimeError) and "meta" in first:  # NotImplementedError is one, too
        return Unmeasured(f"it cannot be built without memory: {first}")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    where = (own or frames)[-1]
    place = f"{Path(where.filename).name}, line {where.lineno}"
    return Broken(f"{type(error).__name__}: {first} ({place})")
