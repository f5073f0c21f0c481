"""The tables of docs/perturbation.md, made of the rules and options that they show.

    PYTHONPATH=tests python tests/readme/perturbation_tables.py

writes them anew into the page.
"""

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import yaml

from domains.perturbation.state_seed import COMMAND, FILES, MAIN
from runwright import NoEqual, Original, Rule, Taken
from runwright.domains.perturbation.data_module import PerturbationDataModule
from runwright.domains.perturbation.migrate_state import MigrateState
from runwright.factory import described
from runwright.migration.migration import read_original
from runwright.plain import leaves

PAGE: Final = Path(__file__).parents[2] / "docs" / "perturbation.md"

_GROUPS: Final = ("data/perturbation", "model/pertsets", "model/state_sm")
_REST: Final = ("training/default", "wandb/default")


def tables() -> dict[str, str]:
    """Every table of the page, by the name in its marker."""
    found = {name: _of_file(name) for name in (*_GROUPS, *_REST)}
    return {**found, "config": _of_main(), "command": _of_command(), "options": _of_options()}


def in_page(text: str, made: Mapping[str, str]) -> str:
    """The page with these tables in the places of its own."""
    for name, table in made.items():
        pattern = rf"(<!-- table: {name} -->\n).*?(?=\n\n|\Z)"
        text, count = re.subn(pattern, lambda at, table=table: at[1] + table, text, flags=re.DOTALL)
        assert count == 1, name
    return text


def _rules(model: str, *overrides: str) -> tuple[Original, dict[str, Rule]]:
    original = Original(read_original([MAIN], [f"model={model}", *overrides]))
    return original, {rule.key: rule for rule in MigrateState().rules(original)}


def _of_file(name: str) -> str:
    group = name.partition("/")[0]
    original, rules = _rules("state_sm" if name.endswith("state_sm") else "pertsets")
    keys = [key for key, _ in leaves(_read(FILES / f"{name}.yaml"), group)]
    return _table(_row(key, original, rules) for key in keys)


def _of_main() -> str:
    original, rules = _rules("pertsets")
    keys = [key for key in _read(MAIN) if key != "defaults"]
    chosen = [f"| `defaults` | {group}: {name} | {here} | |" for group, name, here in _CHOSEN]
    return _table([*chosen, *(_row(key, original, rules) for key in keys)])


_CHOSEN: Final = (
    ("data", "perturbation", "`dm=perturbation`"),
    ("model", "pertsets", "`model=pertsets`"),
    ("training", "default", "nothing to set"),
    ("wandb", "default", "nothing to set"),
)


def _of_command() -> str:
    overrides = [one for one in COMMAND if not one.startswith("model=")]
    original, rules = _rules("state_sm", *overrides)
    rows = [
        "| `model` | state_sm | `model=state_sm` | |"
        if one == "model=state_sm"
        else _row(one.partition("=")[0], original, rules)
        for one in COMMAND
    ]
    return _table(rows)


def _of_options() -> str:
    hints = typing.get_type_hints(PerturbationDataModule)
    rows: list[str] = []
    for field in dataclasses.fields(cast("Any", PerturbationDataModule)):
        option = described(field)
        default = "" if field.default is dataclasses.MISSING else _shown(field.default)
        kind = option.written_type(hints[field.name]).replace("|", "\\|")
        rows.append(f"| `dm.{field.name}` | {kind} | {default} | {option.doc} |")
    return "\n".join(["| option | type | default | |", "|---|---|---|---|", *rows])


def _row(key: str, original: Original, rules: Mapping[str, Rule]) -> str:
    fate = rules[key].fate(original)
    shown = f"| `{key}` | {_shown(original.get(key))} |"
    if isinstance(fate, Taken):
        options = ", ".join(f"`{name}={_shown(value)}`" for name, value in fate.options.items())
        return f"{shown} {options or 'nothing to set'} | {fate.note} |"
    assert fate is not None
    assert not isinstance(fate, NoEqual), key
    return f"{shown} no effect | {fate.why} |"


def _table(rows: Iterator[str] | list[str]) -> str:
    return "\n".join(["| STATE | value | here | |", "|---|---|---|---|", *rows])


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, list) else str(value)


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


if __name__ == "__main__":
    PAGE.write_text(in_page(PAGE.read_text(), tables()))
