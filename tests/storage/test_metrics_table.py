"""What a run measured, as a table to look at and to draw."""

import math
from pathlib import Path

import numpy as np
import pytest

from programs import run_python
from runwright import MetricsTable, UserError

FEW = "step,lr,train_loss,val_loss\n50,0.1,2.5,\n60,,,1.25\n100,0.1,2.0,1.0\n"


@pytest.fixture
def few(tmp_path: Path) -> MetricsTable:
    (tmp_path / "metrics.csv").write_text(FEW)
    return MetricsTable.read(tmp_path)


def test_columns_are_arrays_with_a_row_a_step(few: MetricsTable) -> None:
    assert list(few) == ["step", "lr", "train_loss", "val_loss"]
    assert few.num_rows == 3
    assert few["step"].tolist() == [50, 60, 100]
    assert few["step"].dtype == np.int64
    assert few["train_loss"].tolist()[::2] == [2.5, 2.0]
    assert math.isnan(few["train_loss"][1])


def test_a_curve_has_the_steps_at_which_something_was_measured(few: MetricsTable) -> None:
    steps, losses = few.curve("val_loss")
    assert steps.tolist() == [60, 100]
    assert losses.tolist() == [1.25, 1.0]


def test_it_is_read_while_a_run_writes_its_last_row(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(FEW + "110,0.")
    assert MetricsTable.read(path)["step"].tolist() == [50, 60, 100]


def test_it_becomes_a_frame_of_pandas(few: MetricsTable) -> None:
    frame = few.to_pandas()
    assert frame.index.tolist() == [50, 60, 100]
    assert frame["val_loss"].dropna().tolist() == [1.25, 1.0]


def test_without_pandas_it_says_how_to_go_on(few: MetricsTable) -> None:
    script = (
        "import sys; sys.modules['pandas'] = None\n"
        "from runwright import MetricsTable\nMetricsTable.read('.').to_pandas()"
    )
    done = run_python("-c", script)
    assert "UserError: to_pandas needs pandas: `pip install pandas`." in done.stderr


def test_it_is_shown_in_full_or_by_its_ends(few: MetricsTable) -> None:
    assert repr(few) == (
        "step   lr  train_loss  val_loss\n"
        "  50  0.1         2.5          \n"
        "  60                       1.25\n"
        " 100  0.1           2         1\n"
        "3 rows, 4 columns"
    )
    many = MetricsTable({"step": np.arange(10**6, 10**6 + 11), "<a>": np.zeros(11)})
    shown = repr(many).splitlines()
    assert len(shown) == 1 + 5 + 1 + 5 + 1
    assert shown[6].split() == ["…", "…"]
    assert shown[11].split() == ["1000010", "0"]
    assert "<td>&lt;a&gt;</td>" in many._repr_html_()  # pyright: ignore[reportPrivateUsage]  # as Jupyter calls it
    assert repr(MetricsTable({})).endswith("0 rows, 0 columns")


@pytest.mark.parametrize("text", ["50,0.1,much,\n", "5x,0.1,1,\n", "50.5,,,\n"])
def test_a_table_that_was_changed_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(FEW + text)
    with pytest.raises(UserError, match=f"{path} is not as a run wrote it"):
        MetricsTable.read(path)


def test_what_is_not_there_is_named_with_what_is(few: MetricsTable, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no column 'val_los'. Did you mean 'val_loss'?"):
        few["val_los"]
    assert few.get("val_los") is None
    assert "val_los" not in few
    with pytest.raises(UserError, match="elsewhere does not exist"):
        MetricsTable.read(tmp_path / "elsewhere")
