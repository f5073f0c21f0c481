"""What is typed but would have no effect is refused; what has one is checked where it has it."""

from pathlib import Path

import pytest

from conftest import REPOSITORY, TINY, Run, run_dirs
from programs import run_python

SMALLEST = ("training.max_steps=1", "gpu=-1", "pictures=false")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["hydra/launcher=basic"],
            "hydra/launcher=basic has no effect on a single run. Add",
        ),
        (["hydra/sweeper=runwright"], "has no effect on a single run. Add --multirun (-m)."),
        (["hydra.sweep.dir=here"], "hydra.sweep.dir=here has no effect on a single run."),
        (["+hydra.sweeper.n_trials=3"], "has no effect on a single run."),
        (
            ["hydra.sweeper.params.opt.lr=0.1"],
            "what a sweep varies stands by itself. Write --multirun opt.lr=0.1",
        ),
        (
            ["-m", "+experiment=glob(cmnist/*)"],
            "It does not look into folders. Name the members: +experiment=cmnist/cnn",
        ),
        (["hydra={sweep:{dir:x}}"], "hydra={sweep:{dir:x}} has no effect on a single run. Add"),
        (["~hydra/launcher"], "~hydra/launcher has no effect on a single run. Add --multirun"),
        (["-m", "seed=1", "hydra={run:{dir:x}}"], "{dir:x}} has no effect on a multirun, whose"),
        (["-m", "seed=1,2", "hydra.run.dir=x"], "whose directory is hydra.sweep.dir."),
        (["--resolve"], "--resolve has no effect without --cfg"),
        (["--package", "opt"], "--package has no effect without --cfg"),
        (["--experimental-rerun", "x"], "--experimental-rerun: no run leaves a pickled job."),
        (["--run", "hydra.mode=MULTIRUN"], "--run contradicts hydra.mode=MULTIRUN."),
        (["--multirun", "hydra.mode=RUN"], "--multirun contradicts hydra.mode=RUN. Leave one"),
        (["--multirun", "--run"], "--multirun contradicts --run. Leave one of them out."),
    ],
    ids=str,
)
def test_what_has_no_effect_is_refused(
    run_main: Run, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = run_main(*SMALLEST, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert run_dirs(tmp_path) == run_dirs(tmp_path, "multirun") == []


def test_a_sweeper_in_the_primary_configuration_is_fine(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: cnn}, {override hydra/sweeper: basic}, "
        "_self_]\nhydra: {sweep: {dir: elsewhere}}\n"
    )
    (tmp_path / "main.py").write_text("from runwright import app\n\napp.main()\n")
    done = run_python("main.py", *SMALLEST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_fixed_option_beside_a_swept_group_is_judged_in_the_jobs(
    run_main: Run, tmp_path: Path
) -> None:
    options = ("-m", "model=resnet,torchvision", "model.weights=null", *SMALLEST)
    done = run_main(*options, "dm.default_res=32")
    assert done.returncode == 0, done.stderr
    assert len(run_dirs(tmp_path, "multirun")) == 2


def test_only_the_classes_that_a_job_has_are_named(run_main: Run) -> None:
    done = run_main("-m", "model=resnet,torchvision", "model.kernel_size=3", *SMALLEST)
    assert done.returncode == 2
    assert "SimpleCNNFactory" not in done.stderr
    assert "FcnFactory" not in done.stderr
    assert "ResNetFactory" in done.stderr


def test_all_members_of_a_group_can_be_swept_by_a_pattern(run_main: Run, tmp_path: Path) -> None:
    done = run_main(
        "-m", "model=glob(*n, exclude=[c*,p*,t*,w*])", "gpu=-1", *TINY[1:], "training.max_steps=1"
    )
    assert "ConfigLoader" not in done.stderr
    assert done.returncode == 0, done.stderr
    (only,) = run_dirs(tmp_path, "multirun")
    assert "- model: fcn" in (only / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("checkpoint.load", "null"),
        ("pictures", "false"),
        ("model.activation", "GELU"),
        ("dm.root", "data"),
    ],
)
def test_the_value_of_an_option_is_printed_as_yaml(run_main: Run, key: str, value: str) -> None:
    done = run_main("--cfg", "job", "-p", key, "pictures=false", "model.activation=GELU")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"# @package {key}\n{value}\n"


def complete(line: str, cwd: Path) -> list[str]:
    done = run_python(
        REPOSITORY / "main.py",
        *("--shell-completion", "query=bash"),
        cwd=cwd,
        env={"COMP_LINE": line, "COMP_POINT": str(len(line))},
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_goes_on_after_a_quoted_override(tmp_path: Path) -> None:
    found = complete("python main.py 'wandb.name=\"a b\"' model=", tmp_path)
    assert {"model=cnn", "model=fcn"} <= set(found)


def test_completion_offers_what_lies_in_folders(tmp_path: Path) -> None:
    found = complete("python main.py +experiment=", tmp_path)
    assert {"+experiment=cmnist/cnn", "+experiment=good_run"} <= set(found)


def test_completion_heeds_the_folder_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "more" / "model").mkdir(parents=True)
    (tmp_path / "more" / "model" / "wide.yaml").write_text("defaults: [fcn]\nhidden_dim: 300\n")
    found = complete(f"python main.py --config-dir {tmp_path / 'more'} model=wid", tmp_path)
    assert found == ["model=wide"]


def test_completion_says_nothing_of_what_is_half_typed(tmp_path: Path) -> None:
    found = complete("python main.py --config-dir half model=cn", tmp_path)
    assert found == ["model=cnn"]
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "config.yaml").write_text("defaults: [config_schema\n")
    assert complete("python main.py --config-dir more opt.l", tmp_path) == []


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("hydra/launcher=joblib", "it starts processes of its own. Leave it out, or torchrun."),
        ("hydra/sweeper=optuna", "a sweep is started by one process. Leave out torchrun; hydra."),
        ("hydra/sweeper=runwright", "a sweep is started by one process. Leave out torchrun; hydra"),
    ],
)
def test_what_is_started_once_is_refused_to_processes_that_train_together(
    tmp_path: Path, choice: str, said: str
) -> None:
    search = ("-m", choice, "opt.lr=1e-3,1e-4", *SMALLEST)
    together = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    done = run_python(REPOSITORY / "main.py", *search, cwd=tmp_path, env=together)
    assert done.returncode == 2
    assert f"{choice}: {said}" in done.stderr
    assert not (tmp_path / "multirun").exists()


@pytest.mark.slow
def test_processes_that_train_together_leave_no_directory_of_their_own(tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    arguments = (str(REPOSITORY / "main.py"), "-m", "seed=1,2", "model=cnn", *SMALLEST)
    done = run_python(*torchrun, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("multirun/*/*"))) == 1
    assert len(list(tmp_path.glob("multirun/*/*/*/result.json"))) == 2
