"""The project that a command works on: its YAML files, factories and configuration class."""

import argparse
import importlib
import os
from pathlib import Path
from typing import Any, Final, cast

import attrs
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright.compose import CONFIG_NAME, nearest_conf, schema
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.compose.members import groups, members
from runwright.config import Config
from runwright.domains import conf_folders, register_domains
from runwright.errors import UserError, did_you_mean
from runwright.factory import CONFIG_GROUPS
from runwright.plain import real_path
from runwright.tools import entry_point

# Groups of Hydra's own that are one folder deeper than all others.
_HYDRA: Final = "hydra"


@attrs.frozen(kw_only=True)
class ConfFile:
    """One YAML file of the project.

    Attributes:
        path: where it is.
        group: the group that it is a member of, e.g. `model` or `hydra/launcher`; "" for a
            primary configuration.
        name: its name in the group, e.g. `cmnist/cnn` for `experiment/cmnist/cnn.yaml`.
    """

    path: Path
    group: str
    name: str


@attrs.frozen(kw_only=True)
class Project:
    """What the YAML files are composed from.

    Attributes:
        root: the folder of the project.
        conf: the folder of YAML files, below it; None when the project has none.
        config_name: the primary configuration, without `.yaml`.
        config: the class of the configuration.
        loader: composes it.
        files: its YAML files, and those of the domains in its folder.
        factories: a sentence about the factories that are known besides runwright's own.
    """

    root: Path
    conf: Path | None
    config_name: str
    config: type[Config]
    factories: str
    loader: StrictConfigLoader = attrs.field(init=False)
    files: tuple[ConfFile, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        schema.store(self.config)
        object.__setattr__(self, "loader", StrictConfigLoader(search_path(self.conf)))
        # Those of a domain that is installed elsewhere are checked where it is developed.
        folders = [folder for folder in conf_folders() if folder.is_relative_to(self.root)]
        if self.conf is not None:
            folders.insert(0, self.conf)
        files: dict[Path, ConfFile] = {}
        for folder in folders:
            for path in sorted(folder.rglob("*.yaml")):
                relative = path.relative_to(folder)
                files.setdefault(relative, _conf_file(path, relative))
        object.__setattr__(self, "files", tuple(files.values()))

    @property
    def unread(self) -> list[Path]:
        """Files that look like YAML files, but that Hydra ignores."""
        return [] if self.conf is None else sorted(self.conf.rglob("*.yml"))

    @property
    def has_primary(self) -> bool:
        """Whether there is a primary configuration, which chooses the data and the model."""
        return any(not file.group and file.name == self.config_name for file in self.files)

    def shown(self, path: Path) -> str:
        """A path, relative to the project's folder."""
        return str(path.relative_to(self.root))

    def groups(self) -> list[str]:
        """All groups, Hydra's and subfolders included: `model`, `hydra/launcher/slurm`."""
        return [one for one in groups(self.loader.composer.usual_repository) if one != _HYDRA]

    def members(self, group: str) -> list[str]:
        """Everything that can be chosen in a group: YAML files, factories, and plugins' members."""
        return members(self.loader.composer.usual_repository, group)

    def leads_to(self, group: str, name: str) -> set[str]:
        """The names that a member ultimately builds on, none of which is a YAML file of the group.

        `{"celeba"}` for the YAML file `celeba_small`, whose defaults name `celeba_male`, whose
        defaults name the factory `celeba`; a factory's name leads to itself.
        """
        files = {file.name: file for file in self.files if file.group == group}
        ends: set[str] = set()
        seen: set[str] = set()
        ahead = [name]
        while ahead:
            current = ahead.pop()
            if current in seen:
                continue
            seen.add(current)
            if current in files:
                ahead.extend(included(files[current]))
            else:
                ends.add(current)
        return ends

    def factory_of(self, group: str, name: str) -> str | None:
        """The name of the factory whose options a member of a group sets."""
        known = self.leads_to(group, name) & set(CONFIG_GROUPS.get(group, {}))
        return min(known, default=None)


def included(file: ConfFile) -> list[str]:
    """The members of its own group that a YAML file's defaults name."""
    defaults = (read(file.path) or {}).get("defaults")
    entries = cast("list[object]", defaults) if isinstance(defaults, list) else []
    names: list[str] = []
    for entry in entries:
        if not isinstance(entry, str) or entry == "_self_":
            continue
        name = entry.partition("@")[0].removesuffix(".yaml")
        prefix = f"/{file.group}/"
        if name.startswith(prefix):
            names.append(name.removeprefix(prefix))
        elif not name.startswith("/"):
            names.append(name)
    return names


def read(path: Path) -> dict[str, Any] | None:
    """The content of a YAML file, unresolved; None if it cannot be read as YAML."""
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError):
        return None
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which project a command works on."""
    parser.add_argument(
        "--main",
        metavar="FILE",
        help="the program; it is run up to its call of app.main to find its factories and YAML "
        "files; by default the nearest main.py, here or in a folder above",
    )
    parser.add_argument(
        "--conf",
        metavar="FOLDER",
        help="the folder of YAML files; by default the program's, or else the nearest conf/",
    )
    parser.add_argument(
        "--config-name",
        metavar="NAME",
        help="the primary configuration, without .yaml; by default the program's, or else config",
    )
    parser.add_argument(
        "--import",
        metavar="MODULE",
        dest="modules",
        action="append",
        default=[],
        help="also import this module, for the factories that it registers; can be repeated",
    )
    parser.add_argument(
        "--config-class",
        metavar="MODULE:CLASS",
        help="the class of the configuration; by default the program's, or else runwright.Config",
    )


def open_project(args: argparse.Namespace) -> Project:
    """The project that the arguments of `add_arguments` name, its factories registered.

    Raises:
        UserError: there is no such program, folder, module or class.
    """
    register_domains()
    folder = None if args.conf is None else _folder(f"--conf {args.conf}", Path(args.conf))
    start = Path.cwd() if folder is None else folder.parent
    script = entry_point.nearest(start) if args.main is None else real_path(args.main)
    if script is not None and not script.is_file():
        raise UserError(f"--main {args.main}: there is no such file.")
    program = None
    if script is not None and (args.main is not None or entry_point.calls_app_main(script)):
        program = entry_point.ask(script)
    for module in (*(program.factories if program else ()), *args.modules):
        _import(module)
    name: str = args.config_name or (program.config_name if program else CONFIG_NAME)
    if folder is None and program is None:
        folder = nearest_conf(name) or nearest_conf()
    elif folder is None and program is not None and program.conf is not None:
        assert script is not None
        folder = _folder(f"{script} calls app.main('{program.conf}')", script.parent / program.conf)
    config = program.config if program else Config
    if args.config_class is not None:
        config = _config_class(args.config_class)
    said = _describe_factories(start, script, is_asked=program is not None)
    root = start if script is None else script.parent
    if folder is not None and not folder.is_relative_to(root):
        root = folder.parent
    project = Project(root=root, conf=folder, config_name=name, config=config, factories=said)
    if not project.has_primary and args.config_name is not None:
        known = [file.name for file in project.files if not file.group]
        raise UserError(
            f"--config-name {name}: there is no {name}.yaml in {args.conf or 'conf/'}. "
            f"{did_you_mean(name, known)}".strip()
        )
    return project


def _folder(said: str, path: Path) -> Path:
    path = real_path(path)
    if not os.path.isdir(path):  # noqa: PTH112  # Path.is_dir would raise where the name is too long
        raise UserError(f"{said}: there is no folder {path}.")
    return path


def _describe_factories(start: Path, script: Path | None, *, is_asked: bool) -> str:
    """Which factories are known besides runwright's own, or where they were looked for."""
    own = [
        f"{group}={name}"
        for group, members in CONFIG_GROUPS.items()
        for name, cls in members.items()
        if not cls.__module__.startswith("runwright.")
    ]
    if own:
        return f"Factories besides runwright's own: {', '.join(own)}."
    here = Path.cwd()
    shown = script.relative_to(here) if script and script.is_relative_to(here) else script
    if is_asked:
        return f"{shown} names no factories besides runwright's own."
    if script is None:
        where = f"There is no {entry_point.NAME} in {start}, nor above it in the same project"
    else:
        where = f"{shown} was not run, as it does not call runwright's app.main"
    return (
        f"{where}: only runwright's own factories are known. Name your program with --main FILE, "
        "or what to import with --import MODULE."
    )


def _conf_file(path: Path, relative: Path) -> ConfFile:
    parts = relative.with_suffix("").parts
    prefixes = ["/".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)]
    usual = "/".join(parts[: min(2 if parts[0] == _HYDRA else 1, len(parts) - 1)])
    group = next((prefix for prefix in prefixes if prefix in CONFIG_GROUPS), usual)
    name = "/".join(parts).removeprefix(f"{group}/" if group else "")
    return ConfFile(path=path, group=group, name=name)


def _config_class(text: str) -> type[Config]:
    module, _, name = text.partition(":")
    if not name:
        raise UserError(f"--config-class {text}: write MODULE:CLASS, e.g. my_lab.config:MyConfig.")
    cls = getattr(_import(module), name, None)
    if not (isinstance(cls, type) and issubclass(cls, Config)):
        raise UserError(
            f"--config-class {text}: {module} has no class '{name}' derived from runwright.Config."
        )
    return cls


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists, but imports another that does not: its own mistake
        raise UserError(
            f"There is no module '{error.name}' to import. Run the command from the folder that "
            "holds it, or install the package."
        ) from error
