"""What a run records of its command line reproduces it: `--cfg job`, config.yaml, command.txt."""

from pathlib import Path

import runwright
from conftest import SMALL, Run
from programs import run_shown


def test_cfg_job_prints_clean_yaml_that_composes_to_the_same(run_main: Run, tmp_path: Path) -> None:
    text = run_main("--cfg", "job", "model=cnn").stdout
    assert "!!python" not in text
    assert "  root: data\n" in text
    assert run_main("--cfg", "job", "--package", "model", "model=cnn").stdout == (
        "# @package model\nkernel_size: 5\npool_stride: 2\nactivation: RELU\n"
    )
    (tmp_path / "again").mkdir()
    header = "defaults:\n- config_schema\n- dm: cmnist\n- model: cnn\n- _self_\n"
    (tmp_path / "again" / "config.yaml").write_text(header + text)
    again = run_main("--config-dir", "again", "--config-name", "config", "--cfg", "job").stdout
    assert again == text


def test_the_recorded_configuration_reproduces_the_run_by_itself(
    run_main: Run, tmp_path: Path
) -> None:
    first = run_main(*SMALL, "objective.label_smoothing=0.1", "hydra.run.dir=first")
    assert first.returncode == 0, first.stderr
    recorded = ("--config-dir", "first", "--config-name", "config")
    second = run_main(*recorded, "hydra.run.dir=second", PYTHONHASHSEED="1")
    assert second.returncode == 0, second.stderr
    for name in ("config.yaml", "metrics.csv", "checkpoints/last.safetensors"):
        one, two = (tmp_path / run / name for run in ("first", "second"))
        skip = 2 if name == "config.yaml" else 0  # its first lines name the directory
        assert one.read_bytes().split(b"\n")[skip:] == two.read_bytes().split(b"\n")[skip:]


def test_a_folder_of_the_run_is_not_taken_for_a_group_of_the_option_of_its_name(
    run_main: Run, tmp_path: Path
) -> None:
    small = ("gpu=-1", "model=single_linear_layer", "training.max_steps=1")
    first = run_main(*small, "tensorboard=true", "hydra.run.dir=first")
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "first" / "pictures").is_dir()
    recorded = ("--config-dir", "first", "--config-name", "config")
    changed = ("pictures=false", "tensorboard=false")
    second = run_main(*recorded, *changed, "hydra.run.dir=second")
    assert second.returncode == 0, second.stderr
    assert not (tmp_path / "second" / "pictures").exists()
    swept = ("--multirun", "pictures=true,false", "hydra.sweep.dir=sweep")
    third = run_main(*recorded, *swept)
    assert third.returncode == 0, third.stderr
    assert [(tmp_path / "sweep" / job / "pictures").exists() for job in "01"] == [True, False]
    wrong = run_main(*recorded, *changed, "sead=1", "opt.lr=-1").stderr
    assert "no such" not in wrong
    assert "1. sead is not an option: Config has no 'sead'. Did you mean 'seed'?" in wrong
    assert "2. opt.lr must be > 0, got -1.0" in wrong
    loaded = runwright.load(tmp_path / "first", ["pictures=false"])
    assert not loaded.config.pictures


def test_text_with_escapes_on_the_command_line_is_reproduced(run_main: Run, tmp_path: Path) -> None:
    texts = (r'wandb.name="\${x}"', r'wandb.tags=["\???", "\\\${seed} ${seed}"]')
    first = run_main(*SMALL, "training.max_steps=1", *texts, "hydra.run.dir=first")
    assert first.returncode == 0, first.stderr
    text = (tmp_path / "first" / "config.yaml").read_text()
    assert "\n  name: \\${x}\n" in text
    assert "\n  - \\???\n  - \\\\\\${seed} 42\n" in text
    recorded = ("--config-dir", "first", "--config-name", "config", "--cfg", "job", "--resolve")
    again = run_main(*recorded, "--package", "wandb").stdout
    assert "\nname: \\${x}\n" in again
    assert "\n- \\???\n- \\\\\\${seed} 42\n" in again


def test_an_option_can_name_what_hydra_knows_of_the_job(run_main: Run, tmp_path: Path) -> None:
    place = "wandb.dir=${hydra:runtime.output_dir}/wandb"
    done = run_main(*SMALL, "training.max_steps=1", place, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert f"dir: {tmp_path}/run/wandb\n" in (tmp_path / "run" / "config.yaml").read_text()


def test_the_command_to_go_on_survives_blanks_and_umlauts(run_main: Run, tmp_path: Path) -> None:
    run_dir = tmp_path / "a  b=ü"
    first = run_main(*SMALL, "training.max_steps=3", f"hydra.run.dir='{run_dir}'")
    assert first.returncode == 0, first.stderr
    again = run_shown((run_dir / "command.txt").read_text())
    assert "This run has finished." in again.stdout, again.stderr
    assert len(list(tmp_path.iterdir())) == 1


def test_the_command_of_a_job_of_a_multirun_continues_that_job(
    run_main: Run, tmp_path: Path
) -> None:
    run_main("--multirun", "seed=1,2", *SMALL, "training.max_steps=3", "hydra.sweep.dir=sweep")
    command = (tmp_path / "sweep" / "1" / "command.txt").read_text()
    assert "--multirun" not in command
    again = run_shown(command)
    assert "This run has finished." in again.stdout, again.stderr
    assert f"Run directory: {tmp_path}/sweep/1\n" in again.stdout


def test_the_command_of_a_job_composes_from_the_same_files(run_main: Run, tmp_path: Path) -> None:
    folder = tmp_path / "my files"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: cnn}, _self_]\nopt: {lr: 0.07}\n"
    )
    flags = ["--config-dir", "my files", "--config-name=mine"]
    options = ["gpu=-1", "pictures=false", "training.max_steps=3"]
    run_main("--multirun", *flags, "seed=1,2", *options, "hydra.sweep.dir=sweep")
    command = (tmp_path / "sweep" / "1" / "command.txt").read_text()
    again = run_shown(command)
    assert "This run has finished." in again.stdout, again.stderr
