"""Everything to compose: the default, each member of each group, each experiment."""

import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import attrs

from runwright.compose.typed_nodes import owners_of_usual, root_class
from runwright.config import Config
from runwright.dims import accepts
from runwright.factory import (
    CONFIG_GROUPS,
    Settings,
    choice,
    full_key,
    group_of,
    name_of,
    type_argument,
)
from runwright.tools.check.findings import Findings, listed
from runwright.tools.project import ConfFile, Project, included

# The groups whose members have to fit each other.
_FITTING: Final = ("dm", "model", "objective")

# The packages of launchers and sweepers that are not Hydra's own.
_PLUGINS: Final = {
    "ax": "hydra-ax-sweeper",
    "joblib": "hydra-joblib-launcher",
    "nevergrad": "hydra-nevergrad-sweeper",
    "optuna": "runwright[sweep]",
    "ray": "hydra-ray-launcher",
    "rq": "hydra-rq-launcher",
    "submitit_local": "runwright[slurm]",
    "submitit_slurm": "runwright[slurm]",
}
# Ours take, for example, samplers from another package.
_BUILT_ON: Final = {"runwright": "optuna", "runwright_slurm": "submitit_slurm"}


@attrs.frozen(kw_only=True)
class Case:
    """Something to compose.

    Attributes:
        group: the group that it is a member of; "" for a primary configuration.
        name: its name in the group.
        place: the user's name for it: the file, or the choice of a factory.
        file: the YAML file; None for a factory with its defaults.
        overrides: what turns the primary configuration into it.
    """

    group: str
    name: str
    place: str
    file: ConfFile | None
    overrides: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole run that a file describes, not one part to choose."""
        return self.group not in CONFIG_GROUPS


@attrs.frozen(kw_only=True)
class Composed:
    """A case that composes.

    Attributes:
        case: what was composed.
        config: the frozen configuration.
        choices: the member that was chosen in each group.
    """

    case: Case
    config: Config
    choices: Mapping[str, str | None]


def primary_cases(project: Project, usual: Config | None, given: Mapping[str, str]) -> list[Case]:
    """The primary configurations, the default one first.

    Args:
        project: the project.
        usual: the default without the command line; None if it does not compose.
        given: what the command line chose: group → member.
    """
    files = {file.name: file for file in project.files if not file.group}
    parts = {name for file in files.values() for name in included(file)}
    names = [project.config_name, *sorted(files.keys() - parts - {project.config_name})]
    first, *others = [_case(project, "", name, files.get(name)) for name in names]
    partners = _partners(project, dict(given), usual)
    return [attrs.evolve(first, overrides=tuple(partners or ())), *others]


def member_cases(
    project: Project,
    usual: Config | None,
    given: Mapping[str, str],
    *,
    in_defaults: Collection[str],
    findings: Findings,
) -> Iterator[Case]:
    """Every member of every group, each with the other choices that it needs to fit.

    Args:
        project: the project.
        usual: the default without the command line; None if it does not compose.
        given: what the command line chose: group → member. No other of that group is used.
        in_defaults: the groups that the primary configuration's defaults choose for.
        findings: receives a note of what is left out.
    """
    files = {(file.group, file.name): file for file in project.files if file.group}
    factories = {(group, name) for group, members in CONFIG_GROUPS.items() for name in members}
    alone: list[str] = []
    for group, name in sorted({*factories, *files}):
        if group in given:
            continue
        case = _case(project, group, name, files.get((group, name)))
        if package := _missing_package(project, case):
            findings.note(
                f"{case.place} was not checked: it needs a plugin that is not installed "
                f"(`pip install {package}`)."
            )
            continue
        owned_by = None if group in in_defaults else _owner(group, given)
        owner, chosen_by = owned_by or (dict[str, str](), f"+{group}")
        partners = _partners(project, {**given, **owner, group: name}, usual)
        if owned_by is None and group not in in_defaults:
            partners = None
        if partners is None:
            alone.append(case.place)
            continue
        owned = [f"{above}={one}" for above, one in owner.items()]
        chosen_by = group if group in in_defaults else chosen_by
        yield attrs.evolve(case, overrides=(*partners, *owned, f"{chosen_by}={name}"))
    if alone:
        findings.note(f"Left out because nothing fits them: {listed(alone)}.")


def _owner(group: str, given: Mapping[str, str]) -> tuple[dict[str, str], str] | None:
    """A factory that takes a member of a group, and what tells it which.

    None where there are such factories, and another than these is given.
    """
    usual = list(owners_of_usual(group))
    sign, owners = ("", usual) if usual else ("+", list(_takers(group)))
    for above, name, key in owners:
        if given.get(above, name) == name:
            return {above: name}, sign + choice(group, key)
    return None if owners else ({}, f"+{group}")


def _takers(group: str) -> Iterator[tuple[str, str, str]]:
    """The factories with an option for a member of a group that a run itself does not take.

    Yields:
        The factory's group and name, and the full key of the option.
    """
    if group in map(group_of, typing.get_type_hints(root_class()).values()):
        return
    for above, members in CONFIG_GROUPS.items():
        for name, cls in members.items():
            for option, hint in typing.get_type_hints(cls).items():
                if group_of(hint) == group:
                    yield above, name, full_key(above.replace("/", "."), option)


def fits(dm: type[Settings], other: type[Settings]) -> bool:
    """Whether a model or an objective accepts what a class of data modules publishes."""
    published = type_argument(dm)
    return not isinstance(published, type) or accepts(type_argument(other), published)


def _case(project: Project, group: str, name: str, file: ConfFile | None) -> Case:
    place = f"{group}={name}" if group else "the default"
    if file is not None:
        place = project.shown(file.path)
    return Case(group=group, name=name, place=place, file=file)


def _missing_package(project: Project, case: Case) -> str | None:
    """The package that a launcher's or sweeper's YAML file needs, if it is not installed."""
    if not case.group.startswith("hydra/"):
        return None
    ends = project.leads_to(case.group, case.name)
    needed = {_BUILT_ON.get(name, name) for name in ends} & set(_PLUGINS)
    missing = sorted(needed - set(project.members(case.group)))
    return _PLUGINS[missing[0]] if missing else None


def _partners(project: Project, given: Mapping[str, str], usual: Config | None) -> list[str] | None:
    """What has to be chosen along with given members of `dm`, `model` or `objective`.

    The usual member of a group if it fits, else the first that does; None if none does. Without a
    primary configuration, all have to be chosen.
    """
    chosen = {
        group: CONFIG_GROUPS[group][factory]
        for group in _FITTING
        if group in given and (factory := project.factory_of(group, given[group])) is not None
    }
    if project.has_primary and (usual is None or not chosen):
        return []
    usually = {} if usual is None else {group: _class_of(usual, group) for group in _FITTING}
    free = [group for group in _FITTING if group not in given]  # the data first
    for group in free:
        others = [cls for _, cls in sorted(CONFIG_GROUPS[group].items())]
        candidates = [usually[group], *others] if group in usually else others
        fitting = [cls for cls in candidates if _all_fit({**chosen, group: cls})]
        if not fitting:
            return None
        chosen[group] = fitting[0]
    if not _all_fit(chosen):
        return None
    if getattr(chosen.get("dm"), "default_objective", None) is not None and "objective" in free:
        free.remove("objective")  # the data bring theirs
    return [
        f"{group}={name_of(chosen[group])}"
        for group in free
        if chosen[group] is not usually.get(group)
    ]


def _all_fit(chosen: Mapping[str, type[Settings]]) -> bool:
    dm = chosen.get("dm")
    return dm is None or all(fits(dm, cls) for group, cls in chosen.items() if group != "dm")


def _class_of(config: Config, group: str) -> type[Settings]:
    value: Settings = getattr(config, group)
    return type(value)
