"""The Python API works in a notebook, in a real Jupyter kernel."""

import base64
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

COMPOSE = """
from runwright import compose
config = compose(["dm=cmnist", "model=cnn", "training.epochs=1", "gpu=-1"])
config.model
"""
RUN = """
accuracy = config.run("first")
"""
DEFINE = """
from runwright import factory, option
from runwright.domains.vision.choices import FcnFactory

@factory("of_a_notebook")
class OfANotebook(FcnFactory):
    "A model made in a cell."
    num_hidden: int = option(default=0, ge=0, doc="number of hidden layers")

compose(["dm=cmnist", "model=of_a_notebook"]).model.num_hidden
"""
MISTAKE = """
compose(["dm=cmnist", "model=cnn", "model.kernel=3"])
"""
LOAD = """
import runwright
run = runwright.load("first")
run.metrics
"""
NO_COLUMN = """
run.metrics["val_acc"]
"""
# A cell that is run twice defines its factory twice.
CELLS = [COMPOSE, RUN, DEFINE, DEFINE, MISTAKE, LOAD, NO_COLUMN]

TRAIN = """
import gc, os, pathlib, signal, threading, time, weakref
import torch
from runwright import compose

config = compose(["dm=cmnist", "model=fcn", "training.epochs=3", "gpu=-1", "pictures=false"])
models = weakref.WeakSet()
torch.nn.modules.module.register_module_module_registration_hook(
    lambda module, name, submodule: models.add(module)
)
"""
# What the button does: a signal to the kernel.
INTERRUPT = """
def interrupt_later():
    metrics = pathlib.Path("run/metrics.csv")
    while not metrics.exists() or "val_loss" not in metrics.read_text():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt_later).start()
config.run("run")
"""
RESUME = """
gc.collect()
print(len(models), "models are left")
config.run("run")
"""


def executed(cells: list[str], folder: Path) -> list[list[Any]]:
    """What each cell shows, in a kernel of its own."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, allow_errors=True, resources=resources).execute()
    return [cell.outputs for cell in notebook.cells]


def text(outputs: list[Any]) -> str:
    return "".join(
        "\n".join(o["traceback"]) if o.output_type == "error" else o.get("text") or plain(o)
        for o in outputs
    )


def plain(output: Any) -> str:
    return output["data"]["text/plain"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own
def test_cells_compose_run_and_define_factories(tmp_path: Path) -> None:
    composed, run, defined, again, mistake, loaded, no_column = executed(CELLS, tmp_path)
    assert "SimpleCNNFactory(kernel_size=5" in text(composed)
    assert "Starting a run with seed 42 on the CPU." in text(run)
    assert "val_accuracy" in text(run)
    assert text(defined) == text(again) == "0"
    assert (tmp_path / "first" / "pictures" / "learning_curves.png").exists()

    # A bar that is full, and the curves, above what is printed of the validations.
    kinds = [output.output_type for output in run]
    first = kinds.index("display_data")
    bar, curves = run[first : first + 2]
    assert "<progress value='62' max='62'" in bar["data"]["text/html"]
    assert plain(bar).startswith("step 62/62  train_loss ")
    assert base64.b64decode(curves["data"]["image/png"]).startswith(b"\x89PNG")
    assert kinds.count("display_data") == 2
    assert "val_accuracy" not in text(run[:first])

    # A mistake is its sentence, and nothing of this library's or of another's code.
    assert text(mistake).startswith("model.kernel is not an option: SimpleCNNFactory has")
    assert text(mistake).endswith("It has: kernel_size, pool_stride, activation.")
    assert text(no_column).startswith("There is no column 'val_acc'. Did you mean 'val_accuracy'?")

    assert text(loaded).endswith("2 rows, 8 columns")
    assert "<td>val_worst_group_accuracy</td>" in loaded[0]["data"]["text/html"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_an_interrupted_cell_says_how_to_go_on_and_leaves_nothing_behind(tmp_path: Path) -> None:
    _, interrupted, resumed = executed([TRAIN, INTERRUPT, RESUME], tmp_path)
    said = text(interrupted)
    assert "A checkpoint was saved. To resume: compose(…).run('run')" in said
    assert said.endswith("Run directory: run\nInterrupted.")
    assert text(resumed).startswith("0 models are left\n")
    assert "Resuming after step " in text(resumed)
    assert "at step" in text(resumed)
    assert not (tmp_path / "run" / "pictures").exists()
