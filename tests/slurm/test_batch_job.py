"""What is sent to the cluster."""

import pickle

import pytest
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import OmegaConf

from conftest import REPOSITORY
from runwright import Config
from runwright.compose import schema
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.domains import register_domains
from runwright.slurm.batch_job import fill_cache

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
