"""The command line: Hydra's, made strict."""

import argparse
import contextlib
import functools
import logging
import os
import sys
from pathlib import Path
from typing import Final

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright.cli import basic_launcher
from runwright.cli.completion import CompletionLoader, typed_flag
from runwright.cli.flags import read_flags, refuse_without_effect
from runwright.cli.job import job, remove_if_empty
from runwright.cli.needs_building import problems_beside
from runwright.compose import schema
from runwright.compose._hydra import Hydra, search_path
from runwright.compose.explain import USER_MISTAKES
from runwright.compose.loader import StrictConfigLoader
from runwright.compose.logging_options import refusal_of_logging
from runwright.compose.of_run import recorded_config
from runwright.compose.overrides import as_meant
from runwright.compose.yaml_text import to_yaml
from runwright.config import Config
from runwright.domains import register_domains
from runwright.errors import ConfigError, RunError, UserError, did_you_mean
from runwright.factory import CONFIG_GROUPS
from runwright.plain import home_path, plain_values, real_path
from runwright.rundir.layout import no_folder

_NOWHERE: Final = object()
_NO_FOLDER: Final = """\
There is no folder {0}, where {2} looks for its YAML files. Create it, with a {1}.yaml such as

defaults:
  - config_schema
  - dm: ???  # or one of {3}
  - model: ???  # or one of {4}
  - _self_

or call app.main(None) in {2} to use no YAML files."""


def run_command_line(conf: str | None, config_name: str, config: type[Config]) -> None:
    """Run what `sys.argv` asks for.

    Raises:
        UserError: also for what Hydra finds wrong.
        RunError: a run failed.
    """
    try:
        _command(conf, config_name, config)
    except (HydraException, OmegaConfBaseException) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        raise ConfigError([str(error)]) from error
    except ValueError as error:
        told = refusal_of_logging(error)
        if told is None:
            raise
        raise told from error
    finally:
        GlobalHydra.instance().clear()


def _command(conf: str | None, config_name: str, config: type[Config]) -> None:
    args, parser = read_flags()
    args.overrides = [as_meant(override) for override in args.overrides]
    script = Path(sys.argv[0]).resolve()
    register_domains()
    schema.store(config)
    basic_launcher.register()
    folder = None if conf is None else script.parent / conf
    if args.shell_completion:
        args.config_path = typed_flag("--config-path", "-cp")
        args.config_dir = typed_flag("--config-dir", "-cd")
        _leave_out_missing(args)
    if args.config_path:
        folder = _existing("--config-path", script.parent, args.config_path)
    name = args.config_name or config_name
    _refuse_long_name(name)
    if folder is not None and not folder.is_dir() and not args.shell_completion:
        choices = ", ".join(sorted(CONFIG_GROUPS["dm"])), ", ".join(sorted(CONFIG_GROUPS["model"]))
        raise UserError(_NO_FOLDER.format(folder, name, script.name, *choices))
    before = _existing("--config-dir", Path.cwd(), args.config_dir) if args.config_dir else None
    is_open = before is None and not args.config_name and not args.shell_completion
    if is_open and (record := recorded_config(args.overrides)) is not None:
        name = schema.store_record(record)
    path = search_path(folder, before)
    hydra = Hydra.create_main_hydra2(task_name=script.stem, config_search_path=path)
    hydra.config_loader = StrictConfigLoader(path)

    if args.help:
        from runwright.cli.help import help_text, terminal_width

        hydra.config_loader.may_lack_options = True
        print(help_text(hydra, name, args.overrides, width=terminal_width()), end="")
    elif args.hydra_help:
        hydra.hydra_help(config_name=name, args_parser=parser, args=args)
    elif args.cfg:
        _show(hydra, name, args)
    elif args.shell_completion:
        hydra.config_loader = CompletionLoader(path)
        with contextlib.suppress(*USER_MISTAKES):  # a message would end up in the typed line
            hydra.shell_completion(config_name=name, overrides=args.overrides)
    elif args.info:
        logging.raiseExceptions = False  # Hydra logs it all; after `| head`, in tracebacks
        hydra.show_info(args.info, config_name=name, overrides=args.overrides)
    else:
        _launch(hydra, name, args)


def _launch(hydra: Hydra, config_name: str, args: argparse.Namespace) -> None:
    overrides: list[str] = args.overrides
    try:
        mode = hydra.get_mode(config_name, overrides)
    except USER_MISTAKES:
        mode = None  # composing will say what is wrong, together with everything else
    is_multirun = args.multirun or mode is RunMode.MULTIRUN
    refuse_without_effect(args, mode, is_multirun=is_multirun)
    if args.multirun and mode is not RunMode.MULTIRUN:
        overrides = [*overrides, "hydra.mode=MULTIRUN"]
    if is_multirun:
        from runwright.cli.multirun import launch_jobs

        launch_jobs(hydra, config_name, overrides)
        return
    failure: list[UserError | RunError] = []
    started: list[Path] = []

    def single_job(composed: DictConfig) -> float | None:
        """Hide errors that are already readable from Hydra, which would add to them."""
        started.append(Path(HydraConfig.get().runtime.output_dir))
        try:
            return job(composed)
        except (UserError, RunError) as error:
            failure.append(error)
            return None

    assert isinstance(hydra.config_loader, StrictConfigLoader)
    hydra.config_loader.check_parts = functools.partial(problems_beside, overrides=overrides)
    try:
        hydra.run(config_name=config_name, task_function=single_job, overrides=overrides)
    except OSError as error:
        if started:
            raise
        if str(error.filename).endswith(".yaml"):
            raise UserError(f"{error.filename}: {error.strerror}.") from error
        found = no_folder(Path(str(error.filename)))
        said = f"{found}. Use another directory" if found else f"{error.filename}: {error.strerror}"
        raise UserError(f"hydra.run.dir: {said}.") from error
    if failure:
        remove_if_empty(started[0])
        raise failure[0]


def _show(hydra: Hydra, config_name: str, args: argparse.Namespace) -> None:
    """Print the composed configuration, as `--cfg job|hydra|all` asks."""
    composed = hydra.compose_config(
        config_name=config_name, overrides=args.overrides, run_mode=RunMode.RUN
    )
    HydraConfig.instance().set_config(composed)
    OmegaConf.set_readonly(composed.hydra, None)
    whole = shown = hydra.get_sanitized_cfg(composed, args.cfg)
    if args.package not in (None, "_global_"):
        shown = OmegaConf.select(whole, args.package, default=_NOWHERE)
        if shown is _NOWHERE:
            raise UserError(f"--package {args.package}: {_nothing_there(args, whole)}")
        print(f"# @package {args.package}")
    if OmegaConf.is_config(shown):
        print(to_yaml(shown, resolve=args.resolve), end="")
    else:
        value = plain_values(shown)
        is_text = isinstance(value, str)
        print(value if is_text else yaml.safe_dump(value).partition("\n")[0])  # null, not None


def _nothing_there(args: argparse.Namespace, whole: DictConfig) -> str:
    """Why nothing is shown of a package, and what there is instead."""
    if args.package.partition(".")[0] == "hydra" and args.cfg == "job":
        return f"Hydra's part is not the job's: --cfg hydra --package {args.package}"
    above, _, name = args.package.rpartition(".")
    parent = OmegaConf.select(whole, above) if above else whole
    if not isinstance(parent, DictConfig):
        above, name, parent = "", args.package, whole
    said = f"{above} has no '{name}'." if above else "nothing has that name."
    return f"{said} {did_you_mean(name, map(str, parent))}".strip()


def _existing(flag: str, base: Path, folder: str) -> Path:
    # Path.is_dir would raise where the name is too long.
    path = real_path(base / home_path(Path(folder)))
    if not os.path.isdir(path):  # noqa: PTH112
        raise UserError(f"{flag} {folder}: there is no folder {path}.")
    return path


def _leave_out_missing(args: argparse.Namespace) -> None:
    """Leave out folders of which only the beginning has been typed."""
    script = Path(sys.argv[0]).resolve()
    for name, flag, base in (
        ("config_path", "--config-path", script.parent),
        ("config_dir", "--config-dir", Path.cwd()),
    ):
        with contextlib.suppress(UserError):
            if folder := getattr(args, name):
                _existing(flag, base, folder)
                continue
        setattr(args, name, None)


def _refuse_long_name(name: str) -> None:
    """Refuse a name that no file can have, which Hydra would look for.

    Raises:
        UserError: it is too long.
    """
    try:
        Path(f"{name}.yaml").exists()
    except OSError as error:
        raise UserError(f"--config-name {name}: {error.strerror}.") from error
