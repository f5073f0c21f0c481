"""The project that a command looks at: its YAML files, its factories, its configuration class."""

import argparse
import importlib
from pathlib import Path
from typing import Any, Final, cast

import attrs
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright.compose import CONFIG_NAME, nearest_conf
from runwright.config import Config
from runwright.domains import register_domains
from runwright.errors import UserError, did_you_mean
from runwright.factory import CONFIG_GROUPS

# Groups of Hydra's own that lie one folder deeper than all others.
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
        conf: the folder of YAML files; None when the project has none.
        config_name: the primary configuration, without `.yaml`.
        config: the class of the configuration.
    """

    conf: Path | None
    config_name: str
    config: type[Config]
    files: tuple[ConfFile, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        paths = [] if self.conf is None else sorted(self.conf.rglob("*.yaml"))
        files = tuple(_conf_file(path, path.relative_to(cast("Path", self.conf))) for path in paths)
        object.__setattr__(self, "files", files)

    @property
    def root(self) -> Path:
        """The folder that holds `conf/`."""
        return Path.cwd() if self.conf is None else self.conf.parent

    @property
    def unread(self) -> list[Path]:
        """Files that look like YAML files, but not to Hydra."""
        return [] if self.conf is None else sorted(self.conf.rglob("*.yml"))

    @property
    def has_primary(self) -> bool:
        """Whether there is a primary configuration, which chooses the data and the model."""
        return any(not file.group and file.name == self.config_name for file in self.files)

    def shown(self, path: Path) -> str:
        """A path below the project's folder."""
        return str(path.relative_to(self.root))

    def members(self, group: str) -> list[str]:
        """All that can be chosen in a group: the YAML files' names and the factories'."""
        own = {file.name for file in self.files if file.group == group}
        return sorted(own | set(CONFIG_GROUPS.get(group, {})))

    def leads_to(self, group: str, name: str) -> set[str]:
        """The names that a member builds on at last, none of which is a YAML file of the group.

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
        """The factory whose options a member of a group gives values to, by its name."""
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
    """A YAML file as it stands, nothing resolved; None when it is no YAML that can be read."""
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError):
        return None
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which project a command looks at."""
    parser.add_argument(
        "--conf",
        metavar="FOLDER",
        help="the folder of YAML files; by default the nearest conf/, here or above",
    )
    parser.add_argument(
        "--config-name",
        metavar="NAME",
        default=CONFIG_NAME,
        help="the primary configuration, without .yaml (default: %(default)s)",
    )
    parser.add_argument(
        "--import",
        metavar="MODULE",
        dest="modules",
        action="append",
        default=[],
        help="import this module first, for the factories it registers; may be repeated",
    )
    parser.add_argument(
        "--config-class",
        metavar="MODULE:CLASS",
        help="the class of the configuration, where it is not runwright.Config",
    )


def open_project(args: argparse.Namespace) -> Project:
    """The project that the arguments of `add_arguments` name, its factories registered.

    Raises:
        UserError: there is no such folder, module or class.
    """
    register_domains()
    for module in args.modules:
        _import(module)
    conf = nearest_conf(args.config_name) or nearest_conf()
    if args.conf is not None:
        conf = Path(args.conf).resolve()
        if not conf.is_dir():
            raise UserError(f"--conf {args.conf}: there is no such folder.")
    config = Config if args.config_class is None else _config_class(args.config_class)
    project = Project(conf=conf, config_name=args.config_name, config=config)
    if not project.has_primary and args.config_name != CONFIG_NAME:
        known = [file.name for file in project.files if not file.group]
        raise UserError(
            f"--config-name {args.config_name}: there is no {args.config_name}.yaml in "
            f"{args.conf or 'conf/'}. {did_you_mean(args.config_name, known)}".strip()
        )
    return project


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
            raise  # the module is there, and imports another that is not: its own mistake
        raise UserError(
            f"There is no module '{error.name}' to import. Run the command from the folder that "
            "holds it, or install the package."
        ) from error
