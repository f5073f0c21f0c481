"""The cluster and the database of the tests in this folder: one of each, when first asked for."""

import importlib.util
import os
from collections.abc import Generator, Sequence

import pytest

from slurm import postgresql as postgresql_server
from slurm import slurm as slurm_cluster
from slurm.servers import find_program


def require(programs: Sequence[str], modules: Sequence[str] = ()) -> None:
    """Skip a test where something is not installed; in CI that is a failure."""
    missing = [name for name in programs if find_program(name) is None]
    missing += [name for name in modules if importlib.util.find_spec(name) is None]
    if not missing:
        return
    reason = (
        f"{', '.join(missing)}: not installed; tests/install and requirements-dev.lock "
        "bring what these tests need."
    )
    if os.environ.get("RUNWRIGHT_REQUIRE_CLUSTER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def slurm_of_session() -> Generator[slurm_cluster.Slurm]:
    require(slurm_cluster.PROGRAMS)
    with slurm_cluster.running_slurm() as slurm:
        yield slurm


@pytest.fixture
def slurm(slurm_of_session: slurm_cluster.Slurm) -> Generator[slurm_cluster.Slurm]:
    """The cluster, without a job of another test."""
    yield slurm_of_session
    slurm_of_session.cancel_everything()


@pytest.fixture(scope="session")
def postgresql() -> Generator[str]:
    """SQLAlchemy's URL of a database; what one test writes into it the next finds there."""
    require(postgresql_server.PROGRAMS, ["psycopg"])
    with postgresql_server.running_postgresql() as url:
        yield url
