"""The table of what was measured."""

from pathlib import Path

import pytest

from runwright import UserError
from runwright.training.metrics_csv import MetricsCsv


def test_a_new_measure_adds_a_column(tmp_path: Path) -> None:
    table = MetricsCsv(tmp_path / "metrics.csv")
    table.append({"step": 1, "loss": 0.5})
    table.append({"step": 2, "val": 1.0})
    table.append({"step": 3, "loss": 0.25, "val": 2.0})
    text = (tmp_path / "metrics.csv").read_text().splitlines()
    assert text == ["step,loss,val", "1,0.5,", "2,,1.0", "3,0.25,2.0"]


def test_the_columns_do_not_depend_on_what_is_measured_first(tmp_path: Path) -> None:
    first, second = {"lr": 0.1, "train_loss": 1.0}, {"val_accuracy": 0.5, "epoch": 1.0}
    headers: list[str] = []
    for name, order in (("a.csv", (first, second)), ("b.csv", (second, first))):
        table = MetricsCsv(tmp_path / name)
        for step, measures in enumerate(order):
            table.append({"step": step, **measures})
        headers.append((tmp_path / name).read_text().splitlines()[0])
    assert headers == ["step,epoch,lr,train_loss,val_accuracy"] * 2


def test_a_resumed_table_loses_the_rows_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    first = MetricsCsv(path)
    for step in (5, 10, 15):
        first.append({"step": step, "loss": step / 10})
    with path.open("a") as file:
        file.write("2")  # a crash in the middle of writing the row of step 20
    again = MetricsCsv(path)
    again.truncate(10)
    again.append({"step": 15, "loss": 1.5})
    assert path.read_text().splitlines() == ["step,loss", "5,0.5", "10,1.0", "15,1.5"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"step,loss\n5,0.5\n\xff\n", id="no text"),
        pytest.param(b"step,lo", id="half a header"),
        pytest.param(bytes(400), id="zeros"),
        pytest.param(b"loss\n0.5\n", id="no step"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match="metrics.csv is not as this run wrote it: "):
        MetricsCsv(path)
    assert path.read_bytes() == content
