"""The TOML file that says which files hold the cells, and which of them are held out."""

import glob
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast

import attrs

from runwright import UserError, did_you_mean

SplitName = Literal["train", "val", "test"]

_SPLITS: Final = ("train", "val", "test")
_SECTIONS: Final = ("datasets", "training", "zeroshot", "fewshot")
_SUFFIXES: Final = (".h5ad", ".h5")


@attrs.frozen(kw_only=True)
class DataPlan:
    """Which cells belong to which split.

    Attributes:
        path: the TOML file.
        files: the files of each data set, in order.
        training: the data sets whose cells are trained on, unless they are held out.
        zeroshot: the split of all cells of a (data set, cell type).
        fewshot: the split of some perturbations of a (data set, cell type); the others are trained
            on.
    """

    path: Path
    files: Mapping[str, tuple[Path, ...]]
    training: frozenset[str]
    zeroshot: Mapping[tuple[str, str], SplitName]
    fewshot: Mapping[tuple[str, str], Mapping[str, SplitName]]

    def split_of(self, data_set: str, cell_type: str, perturbation: str) -> SplitName | None:
        """The split of cells; None if they are used for nothing."""
        pair = data_set, cell_type
        if pair in self.zeroshot:
            return self.zeroshot[pair]
        usual: SplitName | None = "train" if data_set in self.training else None
        if pair in self.fewshot:
            return self.fewshot[pair].get(perturbation, "train")
        return usual

    def check_names(
        self,
        cell_types: Mapping[str, Iterable[str]],
        perturbations: Mapping[tuple[str, str], Iterable[str]],
        control: str,
    ) -> None:
        """Check that what is held out is in the files, and that it is perturbed.

        Args:
            cell_types: the cell types of each data set.
            perturbations: the perturbations of each (data set, cell type).
            control: the perturbation of the control cells.

        Raises:
            UserError: names everything that is not there, with what is.
        """
        wrong: list[str] = []
        for section, pairs in (("zeroshot", self.zeroshot), ("fewshot", self.fewshot)):
            for data_set, cell_type in pairs:
                known = list(cell_types[data_set])
                if cell_type not in known:
                    hint = did_you_mean(cell_type, known)
                    where = f"[{section}] {data_set}.{cell_type}"
                    wrong.append(f"{where}: '{data_set}' has no cell type '{cell_type}'. {hint}")
        for (data_set, cell_type), named in self.fewshot.items():
            known = list(perturbations.get((data_set, cell_type), ()))
            perturbed = [name for name in known if name != control]
            for perturbation, split in named.items():
                where = f"[fewshot] {data_set}.{cell_type}, {split}"
                if perturbation == control:
                    wrong.append(
                        f"{where}: '{control}' is the control (dm.control_pert), which cannot be "
                        "held out: its cells are what others are predicted from. Remove it."
                    )
                elif known and perturbation not in known:
                    wrong.append(
                        f"{where}: there is no perturbation '{perturbation}' of these cells. "
                        f"{did_you_mean(perturbation, perturbed)}"
                    )
        _refuse(self.path, wrong)


def read_plan(path: Path) -> DataPlan:
    """Read and check a TOML file.

    Raises:
        UserError: it is not there, or wrong; names every mistake.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"dm.toml_config_path={path} does not exist. It says which h5ad files there are; "
            "`python -m runwright simulate perturbation` makes simulated cells with one."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"dm.toml_config_path={path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error
    wrong = [
        f"[{section}] means nothing here. {did_you_mean(section, _SECTIONS)}"
        for section in content
        if section not in _SECTIONS
    ]
    sections = {name: _section(content, name, wrong) for name in _SECTIONS}
    files = dict(_data_sets(path, sections["datasets"], wrong))
    known = list(sections["datasets"])
    training = _training(sections["training"], known, wrong)
    zeroshot = dict(_zeroshot(sections["zeroshot"], known, wrong))
    fewshot = dict(_fewshot(sections["fewshot"], known, wrong))
    wrong += [
        f'"{data_set}.{cell_type}" is in both [zeroshot] and [fewshot]. Keep it in one: [zeroshot] '
        "holds out all its cells, [fewshot] some perturbations."
        for data_set, cell_type in sorted(zeroshot.keys() & fewshot.keys())
    ]
    if not wrong and not training and "train" not in zeroshot.values() and not fewshot:
        wrong.append(f'[training] names no data set. Add, for instance, `{known[0]} = "train"`.')
    _refuse(path, wrong)
    return DataPlan(path=path, files=files, training=training, zeroshot=zeroshot, fewshot=fewshot)


def _refuse(path: Path, wrong: list[str]) -> None:
    if len(wrong) == 1:
        raise UserError(f"{path}: {wrong[0]}")
    if wrong:
        raise UserError(
            "\n".join([f"{path} has {len(wrong)} mistakes:", *(f"  {w}" for w in wrong)])
        )


def _section(content: Mapping[str, Any], name: str, wrong: list[str]) -> dict[str, Any]:
    section = content.get(name, {})
    if isinstance(section, dict):
        return cast("dict[str, Any]", section)
    wrong.append(f"{name} must be a table, [{name}], got {section!r}.")
    return {}


def _data_sets(
    path: Path, section: Mapping[str, Any], wrong: list[str]
) -> Iterator[tuple[str, tuple[Path, ...]]]:
    if not section:
        wrong.append('[datasets] is missing. It names the files: `name = "folder/of/h5ad"`.')
    for name, pattern in section.items():
        try:
            yield name, _files(path, name, pattern)
        except UserError as error:
            wrong.append(str(error))


def _zeroshot(
    section: Mapping[str, Any], known: list[str], wrong: list[str]
) -> Iterator[tuple[tuple[str, str], SplitName]]:
    for key, split in section.items():
        if isinstance(split, dict):
            wrong += [
                f'[zeroshot] {key}.{name} needs quotes, "{key}.{name}" = …: without them it is a '
                "table of TOML."
                for name in cast("dict[str, Any]", split)
            ]
            continue
        pair = _pair("zeroshot", key, known, wrong)
        if split not in _SPLITS:
            wrong.append(f'[zeroshot] "{key}" must be "train", "val" or "test", got {split!r}.')
        elif pair is not None:
            yield pair, split


def _training(section: Mapping[str, Any], known: list[str], wrong: list[str]) -> frozenset[str]:
    for name, value in section.items():
        if name not in known:
            wrong.append(
                f"[training] '{name}' is not among [datasets]. {did_you_mean(name, known)}"
            )
        elif value != "train":
            wrong.append(
                f'[training] {name} must be "train", got {value!r}. Cells are held out in '
                "[zeroshot] and [fewshot]."
            )
    return frozenset(section)


def _fewshot(
    section: Mapping[str, Any], known: list[str], wrong: list[str]
) -> Iterator[tuple[tuple[str, str], dict[str, SplitName]]]:
    for key, held_out in section.items():
        if tables := _names_of_tables(held_out):
            wrong += [
                f'[fewshot.{key}.{name}] needs quotes, [fewshot."{key}.{name}"].' for name in tables
            ]
            continue
        pair = _pair("fewshot", key, known, wrong)
        where = f'[fewshot."{key}"]'
        if not isinstance(held_out, dict):
            wrong.append(f"{where} must be a table with lists `val` and `test`, got {held_out!r}.")
            continue
        lists = cast("dict[str, Any]", held_out)
        named: dict[str, SplitName] = {}
        for split, perturbations in lists.items():
            if split not in ("val", "test"):
                hint = did_you_mean(split, ("val", "test"))
                wrong.append(f"{where} has '{split}', which is neither val nor test. {hint}")
                continue
            if not _are_texts(perturbations):
                wrong.append(f"{where} {split} must be a list of perturbations.")
                continue
            wrong += [
                f"{where}: '{perturbation}' is in both val and test."
                for perturbation in perturbations
                if named.setdefault(perturbation, split) != split
            ]
        if pair is not None:
            yield pair, named


def _names_of_tables(value: Any) -> list[str]:
    """What is a table within a table."""
    if not isinstance(value, dict):
        return []
    return [name for name, one in cast("dict[str, Any]", value).items() if isinstance(one, dict)]


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, str) for one in cast("list[object]", value)
    )


def _pair(section: str, key: str, known: list[str], wrong: list[str]) -> tuple[str, str] | None:
    """The data set and the cell type of "data_set.cell type"; either may have a point."""
    for name in sorted(known, key=len, reverse=True):
        if key.startswith(f"{name}.") and len(key) > len(name) + 1:
            return name, key[len(name) + 1 :]
    data_set, point, _ = key.partition(".")
    if not point:
        wrong.append(f'[{section}] "{key}" must be "data set.cell type".')
    else:
        hint = did_you_mean(data_set, known)
        wrong.append(f"[{section}] \"{key}\": '{data_set}' is not among [datasets]. {hint}")
    return None


def _files(toml: Path, name: str, pattern: Any) -> tuple[Path, ...]:
    """The files that a data set's path, folder, glob or brace pattern stands for.

    Raises:
        UserError: there are none.
    """
    if not isinstance(pattern, str) or not pattern:
        raise UserError(f"[datasets] {name} must be a path or a pattern, got {pattern!r}.")
    found: list[Path] = []
    for one in _alternatives(pattern):
        # A path is relative to the TOML file; those of the original, to where it is run.
        tried = [toml.parent / Path(one).expanduser(), Path(one).expanduser()]
        none: list[Path] = []
        files = next((there for path in tried if (there := list(_matches(path)))), none)
        if not files:
            places = " or ".join(dict.fromkeys(str(path) for path in tried))
            raise UserError(f"[datasets] {name}: there is no {_kinds()} file at {places}.")
        found += files
    return tuple(dict.fromkeys(found))


def _kinds() -> str:
    return " or ".join(_SUFFIXES)


def _matches(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    elif path.is_file():
        yield path
    elif glob.has_magic(str(path)):
        for match in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207  # an absolute pattern
            yield from _matches(Path(os.fspath(match)))


def _alternatives(pattern: str) -> Iterator[str]:
    """What a pattern with `{a,b}` stands for, in the order in which it is written."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces is None:
        yield pattern
        return
    for choice in braces.group(1).split(","):
        filled = pattern[: braces.start()] + choice.strip() + pattern[braces.end() :]
        yield from _alternatives(filled)
