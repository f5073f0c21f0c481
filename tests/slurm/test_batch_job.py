"""What is sent to the cluster."""

import pickle
from typing import Any

import pytest
from hydra.core.utils import setup_globals
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from conftest import REPOSITORY
from runwright import Config
from runwright.compose import schema
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.domains import register_domains
from runwright.slurm.batch_job import fill_cache
from runwright.slurm.launcher import SlurmLauncher

TIME = "${now:%H-%M-%S-%f}"


@pytest.mark.parametrize(
    "overrides",
    [
        [f"wandb.name='{TIME}'"],
        [f"wandb.tags=['{TIME}']"],
        ["wandb.name='${now:${wandb.project}}'", "wandb.project='%f'"],
    ],
)
def test_the_time_in_what_a_job_is_sent_stands_still(overrides: list[str]) -> None:
    register_domains()
    schema.store(Config)
    setup_globals()
    loader = StrictConfigLoader(search_path(REPOSITORY / "conf"))
    multirun = loader.load_configuration("config", ["seed=1,2"], RunMode.MULTIRUN)
    filled = fill_cache(multirun.hydra)
    composed = loader.load_sweep_config(multirun, overrides)
    fill_cache(composed, filled)
    sent = pickle.dumps(composed)
    first, second = (pickle.loads(sent).wandb for _ in range(2))
    assert OmegaConf.to_container(first, resolve=True) == OmegaConf.to_container(
        second, resolve=True
    )


@pytest.mark.parametrize(("sweeper", "is_left"), [("basic", True), ("runwright", False)])
def test_a_job_is_left_to_the_launcher_where_hydra_would_compose_it_twice(
    sweeper: str, *, is_left: bool
) -> None:
    register_domains()
    schema.store(Config)
    setup_globals()
    loader = StrictConfigLoader(search_path(REPOSITORY / "conf"))
    options = ["hydra/launcher=runwright_slurm", f"hydra/sweeper={sweeper}"]
    multirun = loader.load_configuration("config", options, RunMode.MULTIRUN)
    unused: Any = None  # what is called while jobs run
    context = HydraContext(config_loader=loader, callbacks=unused)
    SlurmLauncher().setup(hydra_context=context, task_function=print, config=multirun)
    assert (loader.load_sweep_config(multirun, ["seed=1"]) is multirun) == is_left
    assert not pickle.loads(pickle.dumps(loader)).left_to_launcher
