"""Moving here from another program: its configuration becomes an experiment file.

    @command("migrate tones")
    class MigrateTones(Migration):
        '''Write the experiment file that equals a configuration of Tones.'''

        program = "Tones"

        def choices(self, original): return {"dm": "tones", "model": "fcn"}

        def rules(self, original):
            return [Rule.taken("train.lr", "opt.lr"), Rule.inert("debug", "nothing reads it")]

`python -m runwright migrate tones config.yaml train.lr=1e-3` then composes files and overrides as
Hydra does, writes the experiment and says what has become of every setting.
"""

import argparse
import dataclasses
import shlex
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, cast

import attrs
from typing_extensions import override

from runwright.added_commands import Command
from runwright.compose import compose
from runwright.compose.yaml_text import escaped, to_yaml
from runwright.config import Config
from runwright.errors import ConfigError, UserError, nearest
from runwright.migration.rules import Fate, Inert, NoEqual, Original, Rule, Taken
from runwright.plain import leaves
from runwright.storage.atomic_files import write_bytes

_NAME: Final = "migrated"


@attrs.frozen
class Migrated:
    """What became of a configuration.

    Attributes:
        choices: group → member.
        fates: for each rule that applied, the key and the value in the original, whether it was
            given, and what became of it.
        constants: what the original does without a setting: full key here → (value, why).
        unknown: full key → the nearest that is known, if any.
    """

    choices: Mapping[str, str]
    fates: Sequence[tuple[str, Any, bool, Fate]]
    constants: Mapping[str, tuple[Any, str]]
    unknown: Mapping[str, str | None]

    @property
    def options(self) -> dict[str, Any]:
        """All options here: full key → value."""
        found = {key: value for key, (value, _) in self.constants.items()}
        for _, _, _, fate in self.fates:
            found |= {} if isinstance(fate, Inert) else fate.options
        return found

    def experiment(self, source: str) -> str:
        """The text of the experiment file.

        Args:
            source: what it was made of, for its first line.
        """
        defaults = [{f"override /{group}": member} for group, member in self.choices.items()]
        order = [field.name for field in dataclasses.fields(cast("Any", Config))]
        nested: dict[str, Any] = {name: {} for name in order}
        for key, value in self.options.items():
            *folders, name = key.split(".")
            node = nested
            for folder in folders:
                node = node.setdefault(folder, {})
            node[name] = value
        head = f"# @package _global_\n# Made of {source}.\n"
        lacking = [key for key, _, _, fate in self.fates if isinstance(fate, NoEqual)]
        if lacking:
            head += f"# No equal: {', '.join(lacking)}.\n"
        if self.unknown:
            head += f"# Unknown: {', '.join(self.unknown)}.\n"
        nested = {name: value for name, value in nested.items() if value != {}}
        return f"{head}---\n{to_yaml({'defaults': defaults, **escaped(nested)})}"

    def report(self) -> str:
        """What became of every setting, by kind."""
        sections: dict[str, list[str]] = {
            "Taken over": [],
            "Renamed or converted": [],
            "No effect in the original": [],
            "No equal here": [],
            "As the original does without a setting": [
                f"{_set({key: value})}: {why}" for key, (value, why) in self.constants.items()
            ],
            "Unknown": [_unknown(key, near) for key, near in self.unknown.items()],
        }
        for key, value, is_given, fate in self.fates:
            said = _set({key: value}) if is_given else f"{key}, which is not given"
            match fate:
                case Taken(options, note):
                    names = [name.split(".")[-1] for name in options]
                    is_same = names == [key.split(".")[-1]] and [value] == [*options.values()]
                    kind = "Taken over" if is_same or not options else "Renamed or converted"
                    said += f" → {_set(options) or 'nothing to set'}"
                    said += f" ({note})" if note else ""
                case Inert(why):
                    kind, said = "No effect in the original", f"{said}: {why}"
                case NoEqual(why, way, options):
                    near = f" The nearest is {_set(options)}." if options else ""
                    kind, said = "No equal here", f"{said}: {why}.{near} {way}."
            sections[kind].append(said)
        told = [
            f"{kind} ({len(lines)}):\n" + "\n".join(f"  {line}" for line in lines)
            for kind, lines in sections.items()
            if lines
        ]
        return "\n".join(told) + "\n"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return "{" + ", ".join(f"{name}: {_shown(one)}" for name, one in items) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, cast('list[Any]', value)))}]"
    return str(value)


def _set(options: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_shown(value)}" for name, value in options.items())


def _unknown(key: str, near: str | None) -> str:
    return f"{key}, which was left out." + (f" Did you mean '{near}'?" if near else "")


class Migration(Command):
    """A command that writes the experiment equal to a configuration of another program.

    Attributes:
        program: what the other program is called.
    """

    program: ClassVar[str]

    @abstractmethod
    def rules(self, original: Original) -> Sequence[Rule]:
        """What becomes of each setting, in the order to report; also of those that are not given.

        Where two set the same option, the later one counts.
        """

    def constants(self, original: Original) -> Mapping[str, tuple[Any, str]]:
        """What the original does without a setting: full key here → (value, why)."""
        del original
        return {}

    @abstractmethod
    def choices(self, original: Original) -> Mapping[str, str]:
        """The members to choose, `{"dm": "perturbation", "model/backbone": "llama"}`.

        Raises:
            UserError: the configuration is of a kind that has no equal here at all.
        """

    def migrated(self, original: Original) -> Migrated:
        """What becomes of a configuration.

        Raises:
            UserError: as `choices`.
        """
        choices = self.choices(original)
        rules = self.rules(original)
        fates = [
            (rule.key, original.get(rule.key, rule.absent), original.has(rule.key), fate)
            for rule in rules
            if (fate := rule.fate(original)) is not None
        ]
        known = {rule.key for rule in rules}
        unknown = {
            key: nearest(key, known, cutoff=0.8)
            for key, _ in leaves(dict(original.values))
            if not any(f"{key}.".startswith(f"{one}.") for one in known)
        }
        return Migrated(choices, fates, self.constants(original), unknown)

    @override
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the files and overrides, and where to write."""
        parser.add_argument(
            "arguments",
            nargs="+",
            metavar="CONFIG.yaml | key=value",
            help="a configuration that it saved, or its main file with the group files beside it, "
            "and overrides as on its command line; of several files a later one has precedence",
        )
        parser.add_argument(
            "--out",
            type=Path,
            default=None,
            metavar="FILE",
            help="experiment file to write, conf/experiment/mine.yaml; otherwise it is printed",
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="replace FILE if it exists and is different"
        )

    @override
    def run(self, args: argparse.Namespace) -> None:
        """Read, migrate, try the experiment, write it.

        Raises:
            UserError: the configuration cannot be read, it is of a kind without an equal, what it
                says is refused here, or FILE exists.
        """
        arguments = cast("list[str]", args.arguments)
        files = [Path(one) for one in arguments if Path(one).is_file() or not _is_override(one)]
        overrides = [one for one in arguments if Path(one) not in files]
        if not files:
            raise UserError(
                f"Name a configuration of {self.program}, config.yaml, besides the overrides."
            )
        migrated = self.migrated(Original(read_original(files, overrides)))
        source = shlex.join([*map(str, files), *overrides])
        text = migrated.experiment(source)
        _try(text, migrated.choices)
        out = cast("Path | None", args.out)
        if out is None:
            print(text, end="")
            print(f"\n{migrated.report()}", end="", file=sys.stderr)
            return
        _write(out, text, overwrite=args.overwrite)
        print(f"{migrated.report()}\nWrote {out}. {_use(out)}")


def _is_override(argument: str) -> bool:
    return "=" in argument or (argument.startswith("~") and "/" not in argument)


def read_original(files: Sequence[Path], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Compose files and overrides as Hydra does, with interpolations resolved.

    Args:
        files: one that was saved, or a main file whose `defaults` list names group files beside
            it; of several, a later one has precedence.
        overrides: as on the command line, `model=large`, `training.lr=1e-3`.

    Raises:
        UserError: a file is missing or none that Hydra reads, or an override does not fit.
    """
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: there is no such file.")
        if file.suffix != ".yaml":
            raise UserError(f"{file}: the name of a configuration ends in .yaml.")
    if len(files) == 1:
        return _composed(files[0], overrides)
    from omegaconf import OmegaConf

    merged = OmegaConf.merge(*(_composed(file, ()) for file in files))
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "config.yaml")
        OmegaConf.save(merged, whole)
        return _composed(whole, overrides)


def _composed(file: Path, overrides: Sequence[str]) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    folder = str(file.parent.resolve())
    try:
        with initialize_config_dir(folder):
            composed = hydra_compose(file.stem, overrides=list(overrides))
        return cast("dict[str, Any]", OmegaConf.to_container(composed, resolve=True))
    except (HydraException, OmegaConfBaseException, YAMLError, OSError) as error:
        said = str(error).partition("\nConfig search path:")[0]  # of no use to a reader
        raise UserError(f"{file} does not compose: {said}") from error


def _try(experiment: str, choices: Mapping[str, str]) -> None:
    """Compose the experiment, so that what is refused here is told now."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "experiment", f"{_NAME}.yaml")
        path.parent.mkdir()
        path.write_text(experiment)
        chosen = [{name: member} for name, member in choices.items() if "/" not in name]
        main = to_yaml({"defaults": ["config_schema", *chosen, "_self_"]})
        Path(folder, "config.yaml").write_text(main)
        try:
            compose([f"+experiment={_NAME}"], conf=folder)
        except ConfigError as error:
            raise UserError(f"What the configuration becomes is refused here.\n{error}") from error


def _write(out: Path, text: str, *, overwrite: bool) -> None:
    content = text.encode()
    try:
        if out.exists() and not overwrite and out.read_bytes() != content:
            raise UserError(
                f"{out} exists and is different. Name another file, or replace it with --overwrite."
            )
        write_bytes(out, content)
    except OSError as error:
        raise UserError(f"{out}: {error.strerror}.") from error


def _use(out: Path) -> str:
    parts = list(_parts_below_experiment(out))
    if not parts:
        return "In a folder conf/experiment it can be chosen with +experiment=…"
    return f"Use it with:\n  python main.py +experiment={'/'.join(parts)}"


def _parts_below_experiment(out: Path) -> Iterator[str]:
    parts = out.resolve().with_suffix("").parts
    if "experiment" in parts[:-1]:
        yield from parts[parts.index("experiment") + 1 :]
