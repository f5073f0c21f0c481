"""`${hydra:…}` stands for the values of the job itself, never for those of another one."""

from pathlib import Path

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig

from conftest import Run, run_dirs
from runwright.compose.hydra_values import HydraOfJob, hydra_of

SHORT = ("training.max_steps=1", "gpu=-1", "pictures=false")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${hydra:runtime.choices.model}-${seed}", ["fcn-1", "cnn-1"]),
        ("${hydra:job.num}", ["0", "1"]),
        ("${hydra:job.name} in ${hydra:runtime.choices.dm}", ["main in cmnist"] * 2),
    ],
)
def test_each_job_of_a_multirun_has_its_own_values(
    run_main: Run, tmp_path: Path, value: str, expected: list[str]
) -> None:
    done = run_main(
        "-m", "model=fcn,cnn", "seed=1", f"wandb.name={value}", "hydra.sweep.dir=sweep", *SHORT
    )
    assert done.returncode == 0, done.stderr
    found = [
        yaml.safe_load((path / "config.yaml").read_text())["wandb"]["name"]
        for path in run_dirs(tmp_path, "sweep")
    ]
    assert found == expected


def test_what_hydra_was_told_of_before_is_back_afterwards() -> None:
    from omegaconf import OmegaConf

    before = HydraConfig.instance().cfg
    composed = OmegaConf.create({"hydra": {"job": {"name": "mine", "num": "???"}}, "name": "x"})
    with hydra_of(composed) as own:
        assert isinstance(HydraConfig.instance().cfg, HydraOfJob)
        assert own.unknown(composed) == []
        assert HydraConfig.get().job.name == "mine"
        composed.name = "${hydra:job.num}"
        assert own.unknown(composed) == ["name"]
    assert HydraConfig.instance().cfg is before
