"""Folders with simulated faces."""

import shutil
from pathlib import Path

import pytest

from domains.vision.faces import NUM_IMAGES, Faces, build
from runwright.domains.vision.simulated_celeba import simulate_celeba


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `root` with simulated faces, and no cache; not to be written to."""
    root = tmp_path_factory.mktemp("faces")
    simulate_celeba(root, num_images=NUM_IMAGES, seed=0, correlation=0.5)
    return root


@pytest.fixture
def root(simulated: Path, tmp_path: Path) -> Path:
    """A copy of the faces that a test may change."""
    return shutil.copytree(simulated, tmp_path / "root")


@pytest.fixture
def real(root: Path) -> Path:
    """The same, with nothing that says that they are simulated."""
    (root / "celeba" / "SIMULATED.txt").unlink()
    return root


@pytest.fixture
def faces(root: Path) -> Faces:
    return build(root)
