"""Mistakes that only the heavy libraries can detect, found before anything is launched."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from runwright.checks.light_checks import impossible_paths, missing_sources, missing_weights
from runwright.checks.meta_device import on_meta_device, was_refused
from runwright.checks.model_size import bounded, refuse_without_memory
from runwright.compose.pending import PendingJobs
from runwright.config import chosen_name
from runwright.dims import Dims, accepts
from runwright.errors import ConfigError, UserError
from runwright.extras import require_extra
from runwright.factory import Settings, all_settings, mistyped, type_argument
from runwright.finetune_options import FinetuneCfg

if TYPE_CHECKING:
    from torch import nn

    from runwright.config import Config, TrainingCfg

_WITH_PREFLIGHT: Final = ("dm", "model", "objective", "opt")


def problems(config: "Config", *, here: bool = True, begins: bool = True) -> list[str]:
    """Everything that is known to be wrong before a run directory is made and data are read.

    Args:
        config: what is to run.
        here: whether it runs on this machine, whose memory then has to suffice.
        begins: whether a training begins, so that what it starts from must be there.
    """
    wrong, impossible = mistyped(config), list(impossible_paths(config))
    above = {key.partition(".")[0] for key in [*wrong, *impossible]}
    right = {name: part for name, part in vars(config).items() if name not in above}
    of_parts = problems_of_parts(right, here=here, begins=begins)
    of_files = missing_sources(right, begins=begins) if here else []
    return [*wrong.values(), *impossible, *of_parts, *of_files]


def problems_of_parts(
    parts: Mapping[str, Any], *, here: bool = False, begins: bool = True
) -> list[str]:
    """What is known to be wrong with the options of a configuration that exist, by name.

    Where the Dims follow from the options, model and objective are built on the meta device,
    without memory, and the monitored measure must be one that the objective knows.
    """
    import torch

    from runwright.training.finetune.start import prepare

    found: list[str] = []

    def is_right(check: Callable[[], object]) -> bool:
        try:
            check()
        except UserError as error:
            found.append(str(error))
            return False
        return True

    right: dict[str, Any] = {}
    for name in [name for name in _WITH_PREFLIGHT if name in parts]:
        answers = [is_right(within.preflight) for within in all_settings(parts[name])]
        if all(answers):
            right[name] = parts[name]
    if "opt" in right and parts.get("gpu") == -1:
        is_right(lambda: right["opt"].check_on(torch.device("cpu")))
    found += _problems_of_logging(parts)
    dims: Dims | None = None
    try:
        dims = _known_dims(right)
    except UserError as error:
        found.append(str(error))
    finetune = parts.get("finetune", FinetuneCfg())
    if dims is None:
        return [*found, *_problems_of_start(parts, [], begins=begins)]

    built: list[nn.Module] = []
    names: list[str] = []  # of the optimisers

    def check_model() -> None:
        with bounded(f"model={chosen_name(right['model'])}"):
            model = right["model"].build(dims)
            prepare(model, finetune)
        if "opt" in right:
            names.extend(right["opt"].optimizers(model))
            built.append(model)

    def check_objective() -> None:
        _check_objective(right, dims, parts.get("training"), names)

    for name, check in (("model", check_model), ("objective", check_objective)):
        if _takes(right.get(name), dims):
            found += _problems_of_building(check)
    found += _problems_of_start(parts, built, begins=begins)
    alone = os.environ.get("WORLD_SIZE", "1") == "1"  # else each process may hold a part
    if here and alone and built and {"gpu", "stage"} <= parts.keys():
        named, is_trained = f"model={chosen_name(right['model'])}", parts["stage"].trains
        opt, gpu = right["opt"], parts["gpu"]
        is_right(
            lambda: refuse_without_memory(named, built[0], opt, gpu=gpu, is_trained=is_trained)
        )
    return found


def _problems_of_logging(parts: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with where a run is logged besides its directory."""
    from runwright.training import wandb_log

    try:
        if "wandb" in parts:
            wandb_log.check(parts["wandb"])
    except UserError as error:
        yield str(error)
    try:
        if parts.get("tensorboard"):
            require_extra("tensorboard", "tensorboard", "tensorboard=true")
    except UserError as error:
        yield str(error)


def _check_objective(
    right: Mapping[str, Any], dims: Dims, training: "TrainingCfg | None", names: list[str]
) -> None:
    """Build an objective, and check what is asked of it and what it asks for.

    Args:
        right: the parts that are right, by name.
        dims: the Dims of the data, with what the objective adds.
        training: the options of the training, if they are right.
        names: the names of the optimisers; none if they could not be built.
    """
    import torch

    from runwright.training.monitor import choose_monitor
    from runwright.training.own_steps import check_own_step

    objective = right["objective"].build(dims, torch.device("meta"))
    if names:
        check_own_step(objective, training, names, f"opt={chosen_name(right['opt'])}")
    if training is None or (training.monitor is None and training.monitor_mode is None):
        return
    choose_monitor(training, objective)


def _known_dims(parts: Mapping[str, Any]) -> Dims | None:
    """The Dims that a model is built from, with what the objective adds; None if data tell them.

    Raises:
        UserError: the data's options leave none, or the objective asks for what they do not have.
    """
    dims: Dims | None = parts["dm"].expected_dims() if "dm" in parts else None
    if dims is None or not _takes(parts.get("objective"), dims):
        return dims
    return parts["objective"].for_model(dims)


def _takes(part: Settings | None, dims: Dims) -> bool:
    """Whether there is a model or an objective, and it can be built from these Dims."""
    return part is not None and accepts(type_argument(type(part)), type(dims))


def _problems_of_start(
    parts: Mapping[str, Any], built: "list[nn.Module]", *, begins: bool
) -> list[str]:
    """What is wrong with the weights that a run begins with, before any are loaded.

    Args:
        parts: the options, by name.
        built: the model on the meta device, or nothing where it is not known.
        begins: whether a training begins.
    """
    from runwright.training.finetune.start import Start, unreadable

    trains = "stage" not in parts or parts["stage"].trains
    if trains and not begins:
        return []
    found = missing_weights(parts, begins=begins)
    finetune: FinetuneCfg | None = parts.get("finetune")
    if finetune is None or not trains:
        return found
    if not built:
        return [*found, *unreadable(finetune)]
    return [*found, *Start(built[0], finetune, is_early=True).problems]


def _problems_of_building(check: Callable[[], None]) -> list[str]:
    """What is wrong with something, found by building it without memory."""
    try:
        with on_meta_device():
            check()
    except Exception as error:
        if was_refused(error):  # it starts from weights that are not downloaded yet
            return []
        if isinstance(error, ConfigError):
            return list(error.problems)
        if isinstance(error, UserError):
            return [str(error)]
        # What fails on this device (reading a number from a tensor) will work for real.
        if not isinstance(error, RuntimeError):
            raise
    return []


def check_jobs(pending: PendingJobs) -> None:
    """Check the jobs of a multirun before the first is launched.

    Raises:
        ConfigError: with everything that is wrong.
    """
    if pending.has_launched:
        return
    if found := problems_of_jobs(pending):
        raise ConfigError(found)
    pending.launch()


def problems_of_jobs(pending: PendingJobs) -> list[str]:
    """What is wrong with the waiting jobs of a multirun, each with the job concerned."""
    jobs: dict[str, list[str]] = {}
    needs = any(_needs_weights(config) for _, config in pending.waiting.values())
    begins = not (needs and _goes_on(pending))  # the folder may hold thousands of runs
    for overrides, config in pending.waiting.values():
        for problem in problems(config, here=False, begins=begins):
            jobs.setdefault(problem, []).append(" ".join(overrides))
    return [
        f"{problem}\n   Job: {first}" + (f" (and {len(more)} like it)" if more else "")
        for problem, (first, *more) in jobs.items()
    ]


def _needs_weights(config: "Config") -> bool:
    """Whether the beginning of a training needs weights or a checkpoint of another."""
    checkpoint = config.checkpoint
    is_branch = checkpoint.load is not None or checkpoint.resume_from is not None
    return is_branch or config.finetune != FinetuneCfg()


def _goes_on(pending: PendingJobs) -> bool:
    """Whether a multirun goes on in a folder where jobs of it have saved checkpoints."""
    from runwright.rundir.checkpoint import STATE_SUFFIX

    folder = pending.folder
    return folder is not None and next(folder.rglob(f"last{STATE_SUFFIX}"), None) is not None


def directions(config: "Config") -> tuple[dict[str, str], str | None]:
    """The direction of each measure of a run, "maximize" or "minimize", and what it returns.

    The key "" stands for what the run returns. Empty if the Dims are known only from the data.
    """
    import torch

    from runwright.training.monitor import choose_monitor, known_measures

    dims = config.dm.expected_dims()
    if dims is None:
        return {}, None
    with torch.device("meta"):
        dims = config.objective.for_model(dims)
        objective = config.objective.build(dims, torch.device("meta"))
    ways = {True: "maximize", False: "minimize"}
    known = {name: ways[better] for name, better in known_measures(objective).items()}
    monitor, higher_is_better = choose_monitor(config.training, objective)
    way = ways[higher_is_better]
    return {**known, "parameters": "minimize", "": way, monitor: way}, monitor
