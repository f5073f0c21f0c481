"""Tables as text, Markdown and LaTeX."""

import pytest

from runwright.comparison.formats import as_latex, as_markdown, as_text
from runwright.comparison.table import Column

TABLE = [
    Column(name="model.kind", kind="option", cells=["fcn|wide", "a_very_long_name_of_a_model"]),
    Column(name="opt.lr", kind="option", cells=["0.1", "100 %"]),
    Column(name="val_accuracy", kind="measure", cells=["0.91 ± 0.01", "–"]),
    Column(name="directory", kind="about", cells=["multirun/2026-11-28/12-00-00/0", "x"]),
]


def test_a_wide_terminal_shows_everything() -> None:
    first, second, _ = as_text(TABLE, width=200).splitlines()
    assert first.split() == ["model.kind", "opt.lr", "val_accuracy", "directory"]
    assert second.endswith("0.91 ± 0.01   multirun/2026-11-28/12-00-00/0")
    assert as_text(TABLE) == as_text(TABLE, width=200)


@pytest.mark.parametrize("width", [60, 70])
def test_a_narrow_one_cuts_texts_but_no_number(width: int) -> None:
    lines = as_text(TABLE, width=width).splitlines()
    assert max(map(len, lines)) <= max(width, 14 + 5 + 13 + 14 + 6)
    assert "0.91 ± 0.01" in lines[1]
    assert lines[0].split()[:2] == ["kind", "lr"]
    assert lines[1].endswith("12-00-00/0")


def test_markdown_escapes_what_would_end_a_cell() -> None:
    lines = as_markdown(TABLE[:3]).splitlines()
    assert lines == [
        "| kind | lr | val_accuracy |",
        "| --- | --- | ---: |",
        "| fcn\\|wide | 0.1 | 0.91 ± 0.01 |",
        "| a_very_long_name_of_a_model | 100 % | – |",
    ]


def test_latex_escapes_its_own_marks() -> None:
    lines = as_latex(TABLE[:3]).splitlines()
    assert lines[:3] == [r"\begin{tabular}{llr}", r"\toprule", r"kind & lr & val\_accuracy \\"]
    assert lines[4] == r"fcn|wide & 0.1 & 0.91 $\pm$ 0.01 \\"
    assert lines[5] == r"a\_very\_long\_name\_of\_a\_model & 100 \% & -- \\"
