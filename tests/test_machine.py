"""The group `machine`: where things are here, for other options to refer to."""

import copy
import pickle
import re
from pathlib import Path

import pytest

from conftest import Run
from runwright import ConfigError, Machine, compose
from runwright.plain import plain_values

CLUSTER = """\
data_path: /big/data
num_workers: 16
scratch: /scratch/me
gpus: {a100: 4}
"""
USING = """\
# @package _global_
dm:
  root: ${machine.scratch}
  batch_size: ${machine.batch_size}
"""
SMALL = ("gpu=-1", "model=cnn", "pictures=false", "training.max_steps=2", "hydra.run.dir=run")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A project of a lab with a cluster."""
    for folder in ("machine", "experiment"):
        (tmp_path / "conf" / folder).mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text(
        "defaults:\n  - config_schema\n  - dm: cmnist\n  - model: fcn\n  - _self_\n"
    )
    (tmp_path / "conf" / "machine" / "cluster.yaml").write_text(CLUSTER)
    (tmp_path / "conf" / "experiment" / "using.yaml").write_text(USING)
    return tmp_path / "conf"


def mistakes(*overrides: str) -> str:
    with pytest.raises(ConfigError) as refused:
        compose(overrides)
    return str(refused.value)


def test_other_options_refer_to_it(conf: Path) -> None:
    config = compose(["dm.root=${machine.data_path}", "machine.data_path=/here"])
    assert plain_values(config)["dm"]["root"] == "/here"
    assert config.machine == Machine(data_path=Path("/here"))


@pytest.mark.parametrize("choice", ["machine=cluster", "+machine=cluster"])
def test_a_file_needs_no_defaults_list_and_may_have_keys_of_its_own(
    choice: str, conf: Path
) -> None:
    config = compose([choice, "+experiment=using", "machine.batch_size=8"])
    assert plain_values(config.machine) == {
        "data_path": "/big/data",
        "output_dir": ".",
        "num_workers": 16,
        "batch_size": 8,
        "scratch": "/scratch/me",
        "gpus": {"a100": 4},
    }
    assert plain_values(config)["dm"]["root"] == "/scratch/me"


def test_what_has_keys_of_its_own_is_like_any_settings(conf: Path) -> None:
    machine, other = (compose(["machine=cluster", *more]).machine for more in ([], ["seed=1"]))
    assert machine == other
    assert hash(machine) == hash(other)
    assert machine != compose().machine
    assert pickle.loads(pickle.dumps(machine)) == machine
    assert copy.deepcopy(machine) == machine
    assert "scratch='/scratch/me'" in repr(machine)


def test_a_file_of_the_defaults_list_of_an_experiment_sets_it(conf: Path) -> None:
    (conf / "experiment" / "there.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /machine/cluster\ndm:\n  root: ${machine.scratch}\n"
    )
    assert plain_values(compose(["+experiment=there"]))["dm"]["root"] == "/scratch/me"


def test_mistakes_are_told_with_the_nearest_name(conf: Path) -> None:
    assert "Did you mean 'cluster'? Allowed: cluster, local." in mistakes("machine=clustr")
    near = "machine.batchsize is not an option: Machine has no 'batchsize'. Did you mean "
    assert f"{near}'machine.batch_size'? A key of your own" in mistakes("machine.batchsize=3")
    assert near in mistakes("+machine.batchsize=3")
    assert "machine.num_workers must be ≥ 0, got -1" in mistakes("machine.num_workers=-1")
    (conf / "machine" / "cluster.yaml").write_text("num_worker: 3")
    said = mistakes("machine=cluster")
    assert "machine.num_worker is not an option" in said
    assert "Did you mean 'machine.num_workers'" in said


def test_a_reference_to_what_is_not_there_is_told_with_the_nearest_and_the_next_step(
    conf: Path,
) -> None:
    said = mistakes("machine=cluster", "dm.root=${machine.scrach}")
    assert "dm.root: Interpolation key 'machine.scrach' not found. Did you mean " in said
    assert (
        "'machine.scratch'? Give it a value with +machine.scrach=…, or in a file conf/mac" in said
    )
    nowhere = mistakes("dm.root=${seeed}")
    assert "dm.root: Interpolation key 'seeed' not found. Did you mean 'seed'?" in nowhere


@pytest.mark.parametrize(
    ("overrides", "unused"),
    [
        (["machine.num_workers=4"], ["machine.num_workers"]),
        (
            ["+machine.tape=/dev/st0", "machine.batch_size=8"],
            ["machine.tape", "machine.batch_size"],
        ),
        (["machine=cluster", "machine.gpus.a100=2"], ["machine.gpus.a100"]),
        (["machine=cluster", "+experiment=using", "machine.batch_size=8"], []),
        (["machine.batch_size=8", "dm.batch_size=${machine.batch_size}"], []),
        (["machine=cluster", "machine.gpus.a100=2", "dm.num_colors=${machine.gpus.a100}"], []),
        (["machine.output_dir=elsewhere"], []),
    ],
    ids=str,
)
def test_what_nothing_refers_to_is_refused(
    conf: Path, overrides: list[str], unused: list[str]
) -> None:
    if not unused:
        compose(overrides, conf=conf)
        return
    with pytest.raises(ConfigError) as caught:
        compose([*overrides, "seed=-1"], conf=conf)
    said = str(caught.value)
    assert all(f"{key} has no effect: no option refers to it." in said for key in unused)
    assert "seed must be ≥ 0" in said


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("machine.data_paht=x", "refers to it. Did you mean 'machine.data_path'? Let one do so"),
        ("machine.scratc=x", "refers to it. Did you mean 'machine.scratch'? Let one do so"),
        ("machine.bath_size=8", "machine.bath_size is not an option: "),
    ],
)
def test_what_nothing_refers_to_may_have_been_mistyped(
    conf: Path, override: str, said: str
) -> None:
    (conf / "machine" / "lab.yaml").write_text("scratch: /tmp\n")
    with pytest.raises(ConfigError) as caught:
        compose(["machine=lab", override], conf=conf)
    (problem,) = caught.value.problems
    assert said in problem


def test_a_run_is_written_where_the_machine_says_and_home_is_expanded(
    conf: Path, run_main: Run, tmp_path: Path
) -> None:
    (conf / "machine" / "cluster.yaml").write_text(f"{CLUSTER}output_dir: ~/runs\n")
    options = ("--config-path", str(conf), "machine=cluster", *SMALL[:-1])
    home = tmp_path / "home"
    home.mkdir()
    done = run_main(*options, HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert len([*home.glob("runs/outputs/*/*/result.json")]) == 1
    assert not Path("~").exists()
    config = compose(["model=cnn", "gpu=-1", "pictures=false", "training.max_steps=2"])
    object.__setattr__(config, "machine", Machine(output_dir=Path("mine")))
    config.run()
    assert len([*Path("mine").glob("outputs/*/*/result.json")]) == 1


def test_a_run_resumes_on_another_machine(conf: Path, run_main: Run) -> None:
    options = ("--config-path", str(conf), *SMALL)
    assert run_main(*options, "machine=cluster").returncode == 0
    record = Path("run/config.yaml").read_text()
    assert "- override machine: local\n" in record
    assert "  scratch: /scratch/me\n" in record
    longer = ("training.max_steps=3", "checkpoint.allow_changes=true")
    again = run_main(*options[:-2], options[-1], *longer)
    assert again.returncode == 0, again.stderr
    assert "training.max_steps: 2 → 3" in again.stdout
    assert "machine" not in again.stdout
    # What refers to it is another matter.
    record_runs = run_main("--config-dir", "run", "--config-name", "config", "hydra.run.dir=again")
    assert record_runs.returncode == 0, record_runs.stderr
    other = run_main(*options, "machine.batch_size=32", "dm.batch_size=${machine.batch_size}")
    assert other.returncode == 2
    assert "dm.batch_size: 64 → 32" in other.stderr


def test_help_shows_it_with_the_keys_of_ones_own(conf: Path, run_main: Run) -> None:
    said = run_main("--config-path", str(conf), "machine=cluster", "--help").stdout
    assert re.search(r"^machine:\n  cluster.*\n  local  ", said, re.MULTILINE)
    assert (
        "  num_workers: 16                   # int ≥ 0: number of processes that read data" in said
    )
    assert "  scratch: /scratch/me              # any: a key of one's own" in said


def test_jobs_on_different_machines_lie_in_the_folder_of_their_multirun(
    conf: Path, run_main: Run, tmp_path: Path
) -> None:
    (conf / "machine" / "cluster.yaml").write_text("output_dir: elsewhere\n")
    options = ("--config-path", str(conf), *SMALL[:-1], "-m", "machine=local,cluster")
    done = run_main(*options)
    assert done.returncode == 0, done.stderr
    assert len([*tmp_path.glob("multirun/*/*/*/result.json")]) == 2
    assert not (tmp_path / "elsewhere").exists()
