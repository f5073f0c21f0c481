"""The domains: kinds of data, each with what can be chosen, its commands and its YAML files.

Those of this package are the folders here. Another package names its own with entry points:

    [project.entry-points."runwright.domains"]
    cells = "lab_cells"

A domain has a module `choices`, which imports its factories, and may have a module `commands`, for
`python -m runwright`, and a folder `conf` of YAML files, which is on Hydra's search path.
"""

import functools
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

import attrs

from runwright.errors import NameTakenError, UserError
from runwright.factory import CONFIG_GROUPS

_GROUP: Final = "runwright.domains"

NOT_LOADED: Final[dict[str, str]] = {}
"""Domains of other packages that cannot be imported here: name → a sentence that says why."""


@attrs.frozen
class Domain:
    """A kind of data.

    Attributes:
        name: what it is called.
        package: the package that holds it.
        origin: where it is from, for people.
    """

    name: str
    package: str
    origin: str

    @property
    def conf(self) -> Path | None:
        """The folder of its YAML files, if it has one; the domain is registered."""
        folder = Path(str(sys.modules[self.package].__file__)).parent / "conf"
        return folder if folder.is_dir() else None


def register_domains() -> list[Domain]:
    """Import the factories of every domain.

    Returns:
        Those that could be imported: one of another package may lack what it needs.

    Raises:
        UserError: two domains, or two YAML files, have the same name.
    """
    NOT_LOADED.clear()
    loaded = [domain for domain in _domains() if _is_imported(domain, "choices")]
    _refuse_same_files(tuple(loaded))
    return loaded


def register_commands() -> None:
    """Import the commands of every domain that has some.

    Raises:
        UserError: two domains have the same name.
    """
    NOT_LOADED.clear()
    for domain in _domains():
        with_commands = f"{domain.package}.commands"
        try:
            has_some = importlib.util.find_spec(with_commands) is not None
        except ImportError:  # its package cannot be imported
            has_some = True
        if has_some:
            _is_imported(domain, "commands")


def conf_folders() -> list[Path]:
    """The folders of YAML files of the domains that are registered."""
    loaded = [domain for domain in _domains() if f"{domain.package}.choices" in sys.modules]
    return [domain.conf for domain in loaded if domain.conf is not None]


def _domains() -> list[Domain]:
    """All domains, those of this package first."""
    found = {
        module.name: Domain(module.name, f"{__name__}.{module.name}", _folder_of(module))
        for module in pkgutil.iter_modules(__path__)
    }
    for domain in _of_other_packages(tuple(sys.path)):
        other = found.setdefault(domain.name, domain)
        if other.package != domain.package:
            raise UserError(
                f"Two domains are called '{domain.name}':\n  {other.package}, {other.origin}\n"
                f"  {domain.package}, {domain.origin}\nUninstall one of them, or give it another "
                f"name: the name of its entry point in the group {_GROUP}."
            )
    return list(found.values())


def _folder_of(module: pkgutil.ModuleInfo) -> str:
    return os.path.join(str(getattr(module.module_finder, "path", "")), module.name)  # noqa: PTH118  # at every start


@functools.cache
def _of_other_packages(folders: tuple[str, ...]) -> tuple[Domain, ...]:
    """What the installed packages name; only the files of those that name some are parsed."""
    found: list[Domain] = []
    for dist in _that_name_some(folders):
        for point in dist.entry_points.select(group=_GROUP):
            origin = f"of {dist.name} {dist.version} in {dist.locate_file('')}"
            found.append(Domain(point.name, point.value, origin))
    return tuple(found)


def _that_name_some(folders: tuple[str, ...]) -> Iterator[Distribution]:
    """The installed packages that name domains.

    `importlib.metadata.entry_points` parses the files of all packages, which takes a tenth of a
    start.
    """
    for folder in folders:
        try:
            names = sorted(os.listdir(folder or "."))  # noqa: PTH208  # at every start
        except OSError:  # an archive, or nothing
            continue
        for name in names:
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            path = os.path.join(folder, name)  # noqa: PTH118  # at every start
            try:
                with open(os.path.join(path, "entry_points.txt"), "rb") as file:  # noqa: PTH118, PTH123
                    text = file.read()
            except OSError:
                continue
            if _GROUP.encode() in text:
                yield Distribution.at(path)


def _is_imported(domain: Domain, module: str) -> bool:
    """Import a module of a domain; one of another package may lack what it needs."""
    before = {group: dict(members) for group, members in CONFIG_GROUPS.items()}
    try:
        importlib.import_module(f"{domain.package}.{module}")
    except NameTakenError:
        raise
    except Exception as error:  # whatever its code does must not keep the others from working
        if domain.package.startswith(f"{__name__}."):
            raise
        for group, members in CONFIG_GROUPS.items():  # nor is half of it there
            members.clear()
            members.update(before.get(group, {}))
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        NOT_LOADED[domain.name] = (
            f"The domain '{domain.name}' ({domain.origin}) is not loaded: {kind}{error}."
        )
        return False
    return True


@functools.cache
def _refuse_same_files(domains: tuple[Domain, ...]) -> None:
    """Refuse YAML files of domains of which one would hide another, or a factory."""
    seen: dict[str, str] = {}
    for domain in domains:
        conf = domain.conf
        for file in () if conf is None else sorted(conf.rglob("*.yaml")):
            group, _, name = file.relative_to(str(conf)).with_suffix("").as_posix().rpartition("/")
            if not group:
                raise UserError(
                    f"{file}: the YAML files of a domain are members of groups. Put it into the "
                    "folder of one, such as experiment/."
                )
            made = CONFIG_GROUPS.get(group, {}).get(name)
            other = seen.get(f"{group}={name}") or (
                made and f"{made.__module__}, {made.defined_at}"
            )
            if other is not None:
                raise UserError(
                    f"'{group}={name}' would name two things:\n  {other}\n  {file}\n"
                    "Rename one of them."
                )
            seen[f"{group}={name}"] = str(file)
