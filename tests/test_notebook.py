"""The Python API works in a notebook, in a real Jupyter kernel."""

from pathlib import Path

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
from runwright import ConfigError
try:
    compose(["dm=cmnist", "model=cnn", "model.kernel=3"])
except ConfigError as error:
    print(error)
"""
# A cell that is run twice defines its factory twice.
CELLS = [COMPOSE, RUN, DEFINE, DEFINE, MISTAKE]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own
def test_cells_compose_run_and_define_factories(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()

    def shown(number: int) -> str:
        outputs = notebook.cells[number].outputs
        return "".join(o.get("text") or o["data"]["text/plain"] for o in outputs)

    assert "SimpleCNNFactory(kernel_size=5" in shown(0)
    assert "Starting a run with seed 42 on the CPU." in shown(1)
    assert "val_accuracy" in shown(1)
    assert shown(2) == shown(3) == "0"
    assert "Key 'kernel' not in 'SimpleCNNFactory'" in shown(4)
    assert (tmp_path / "first" / "pictures" / "learning_curves.png").exists()
