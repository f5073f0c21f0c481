"""`main.py` as a person uses it: what it prints, and the status that it ends with."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from conftest import SMALL, Run

SEEDS_FCN = """\
Model architecture:
Sequential(
  (0): Flatten(start_dim=1, end_dim=-1)
  (1): Sequential(
    (0): Linear(in_features=2352, out_features=10, bias=True)
    (1): LayerNorm((10,), eps=1e-05, elementwise_affine=True, bias=True)
    (2): GELU(approximate='none')
  )
  (2): Linear(in_features=10, out_features=10, bias=True)
)
"""
TINY = ("model.hidden_dim=10", "training.epochs=1", "pictures=false")


def run_dirs(tmp_path: Path, kind: str = "outputs") -> list[Path]:
    return sorted(path.parent for path in (tmp_path / kind).rglob("config.yaml"))


@pytest.mark.slow
def test_the_cnn_experiment_is_above_95_percent(run_main: Run) -> None:
    done = run_main("+experiment=cmnist/cnn")
    accuracy = re.search(r"Best val_accuracy: (0\.\d+)", done.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.95


def test_the_output_begins_with_seed_and_gpu_and_shows_the_architecture(run_main: Run) -> None:
    done = run_main("seed=123", "gpu=1", *TINY)
    assert done.stdout.startswith("Starting a run with seed 123 and GPU 1.\n")
    assert SEEDS_FCN in done.stdout
    import torch

    if not torch.cuda.is_available():
        assert done.stdout.count("No CUDA device was found") == 1


def test_the_cpu_can_be_chosen(run_main: Run) -> None:
    done = run_main("gpu=-1", *TINY)
    assert done.stdout.startswith("Starting a run with seed 42 on the CPU.\n")
    assert "CUDA" not in done.stdout


def test_a_mistake_ends_with_status_2_and_no_traceback(run_main: Run, tmp_path: Path) -> None:
    done = run_main("model=cnn", "model.hidden_dim=10")
    assert done.returncode == 2
    assert done.stderr.startswith("Could not override 'model.hidden_dim'.\n")
    assert "reference_type=ModelFactory" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not run_dirs(tmp_path)


def test_a_mistake_that_only_the_run_can_see_ends_with_status_2_too(run_main: Run) -> None:
    done = run_main("model=cnn", "dm.default_res=9")
    assert done.returncode == 2
    assert done.stderr.startswith("model.kernel_size=5 and model.pool_stride=2 leave no pixels")
    assert "Traceback" not in done.stderr + done.stdout


def test_a_failure_of_the_run_ends_with_status_1(run_main: Run) -> None:
    done = run_main(*SMALL, "opt.lr=1e38", "opt.schedule=constant")
    assert done.returncode == 1
    assert done.stderr.startswith("The training loss is nan at step 2")
    assert "Traceback" not in done.stderr


def test_the_greatest_seed_trains(run_main: Run) -> None:
    done = run_main(*SMALL, "training.max_steps=2", f"seed={2**64 - 1}")
    assert done.returncode == 0, done.stderr


def test_a_model_larger_than_the_memory_is_the_users_mistake(run_main: Run) -> None:
    done = run_main("gpu=-1", f"model.hidden_dim={10**11}")
    assert done.returncode == 2
    assert done.stderr.startswith("model=fcn does not fit into memory with these options: ")
    assert "you tried to allocate 940800000000000 bytes" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        "import toy_domain\n"
        "from runwright import app\n"
        "def broken(*_): raise AssertionError('a bug')\n"
        "toy_domain.SquaredDistance.losses = broken\n"
        "app.main(conf=None)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), "dm=toy_sets", "model=set_encoder", "gpu=-1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "AssertionError: a bug" in done.stderr
    (log,) = tmp_path.rglob("log.txt")
    assert "AssertionError: a bug" in log.read_text()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_a_checkpoint_and_the_command_to_go_on(
    tmp_path: Path, repository: Path, number: signal.Signals, status: int
) -> None:
    arguments = ["main.py", *SMALL, "training.epochs=500", "hydra.run.dir=run"]
    arguments[0] = str(repository / "main.py")
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        while "val_loss" not in said:
            said += process.stdout.readline()
        process.send_signal(number)
        said += process.stdout.read()
        assert process.wait(timeout=60) == status, said
    assert "stopping after this step" in said
    assert "A checkpoint is saved. To go on: python" in said
    assert "hydra.run.dir=" in said
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").exists()


def test_multirun_makes_a_job_for_every_combination(run_main: Run, tmp_path: Path) -> None:
    done = run_main(
        "--multirun", "seed=42,43", "model.num_hidden=1,2,3", "gpu=0", *TINY, "training.max_steps=2"
    )
    assert done.returncode == 0, done.stderr
    assert "[HYDRA] Launching 6 jobs locally" in done.stdout
    assert "\t#0 : seed=42 model.num_hidden=1" in done.stdout
    assert done.stdout.count("Model architecture:") == 6
    assert done.stdout.count("Starting a run with seed 43 and GPU 0.") == 3
    assert len(run_dirs(tmp_path, "multirun")) == 6


def test_a_typo_in_a_multirun_stops_it_before_the_first_job(run_main: Run, tmp_path: Path) -> None:
    done = run_main("--multirun", "model=fcn,cnn", "model.hidden_dim=10", "gpu=-1")
    assert done.returncode == 2
    assert "Key 'hidden_dim' not in 'SimpleCNNFactory'" in done.stderr
    assert "Starting a run" not in done.stdout
    assert not run_dirs(tmp_path, "multirun")


def test_jobs_that_cannot_be_built_stop_a_multirun_before_the_first(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main("--multirun", "model.kernel_size=3,30", "opt.optimizer_cls=SGD,Adan", *SMALL)
    assert done.returncode == 2
    assert done.stderr.startswith("The configuration has 2 mistakes:")
    assert "torch.optim has no 'Adan'" in done.stderr
    assert "(and 1 like it)" in done.stderr
    assert "model.kernel_size=30 and model.pool_stride=2 leave no pixels" in done.stderr
    assert "Starting a run" not in done.stdout
    assert not run_dirs(tmp_path, "multirun")


def test_a_measure_that_only_some_jobs_misspell_stops_a_multirun_before_the_first(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main("--multirun", "training.monitor=val_loss,val_lss", *SMALL)
    assert done.returncode == 2
    assert "training.monitor=val_lss: no such thing" in done.stderr
    assert "Starting a run" not in done.stdout
    assert not run_dirs(tmp_path, "multirun")


def test_a_job_that_fails_does_not_stop_the_others(run_main: Run, tmp_path: Path) -> None:
    lr = next(one for one in SMALL if one.startswith("opt.lr="))
    others = [one for one in SMALL if one != lr]
    done = run_main("--multirun", f"{lr.replace('=', '=1e38,')}", "opt.schedule=constant", *others)
    assert done.returncode == 1
    assert "Job #0 failed: The training loss is nan at step 2" in done.stderr
    assert len(list(tmp_path.glob("multirun/*/*/1/checkpoints/last.safetensors"))) == 1


def test_the_stock_optuna_sweeper_runs_the_seeds_search_space(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main(
        "--multirun", "hydra/sweeper=fcn_params", "hydra.sweeper.n_trials=4", "gpu=-1", *TINY
    )
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.glob("multirun/*/*/optimization_results.yaml")
    text = results.read_text()
    assert all(key in text for key in ("opt.lr", "model.num_hidden", "model.dropout_prob"))
    best = float(re.findall(r"best_value: (\S+)", text)[0])
    values = [float(v) for v in re.findall(r"Best val_accuracy: (\S+),", done.stdout)]
    assert len(values) == 4
    assert best == max(values)


def test_help_lists_the_groups_and_describes_every_option(run_main: Run) -> None:
    text = run_main("--help").stdout
    assert "== Configuration groups ==\nCompose your configuration from those groups" in text
    for line in (
        "dm: celeba, celeba_male_blond, celeba_male_smiling, celeba_male_smiling_small, cmnist",
        "experiment: good_run",
        "experiment/cmnist: cnn",
        "model: cnn, fcn, resnet, single_linear_layer, torchvision",
    ):
        assert f"\n{line}\n" in text
    assert re.search(r"\n  num_hidden: 1 +# int ≥ 0: number of hidden layers", text)
    assert re.search(r"\n  root: data +# path: ", text)
    assert "!!python" not in text
    options = text.split("== Config ==")[1].split("\n\n")[1].splitlines()
    assert len(options) > 60
    assert all("  # " in line for line in options)


@pytest.mark.parametrize(("columns", "width"), [(90, 90), (40, 80), (300, 300)])
def test_on_a_terminal_help_is_broken_within_its_column(
    run_main: Run, repository: Path, columns: int, width: int
) -> None:
    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, str(repository / "main.py"), "--help"]
    with subprocess.Popen(command, stdout=inner, env=environment) as process:
        os.close(inner)
        shown = b""
        with contextlib.suppress(OSError):  # what a terminal says at the end, on Linux
            while part := os.read(terminal, 4096):
                shown += part
    os.close(terminal)
    assert process.returncode == 0
    options = shown.decode().split("== Config ==")[1].split("\r\n\r\n")[1].split("\r\n")
    assert max(map(len, options)) <= width
    assert all(line[34:].startswith("  # ") for line in options)
    whole = run_main("--help").stdout.split("== Config ==")[1].split("\n\n")[1]
    unbroken = "\n".join(options).replace(f"\n{'':34}  #", "")
    assert unbroken == whole


def test_help_shows_the_options_of_what_was_chosen(run_main: Run) -> None:
    text = run_main("model=cnn", "--help").stdout
    block = text.split("== Config ==")[1].split("\nmodel:")[1].split("\nobjective:")[0]
    names = [line.split(":")[0].strip() for line in block.splitlines()[1:]]
    assert names == ["kernel_size", "pool_stride", "activation"]
    assert "kernel_size: 5 " in block
    assert "activation: RELU " in block


def test_the_help_names_where_the_rest_is_listed(run_main: Run) -> None:
    assert "--hydra-help lists the rest" in run_main("--help").stdout
    done = run_main("--hydra-help")
    assert done.returncode == 0, done.stderr
    assert "--info" in done.stdout


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
    second = run_main("--config-dir", "first", "--config-name", "config", "hydra.run.dir=second")
    assert second.returncode == 0, second.stderr
    for name in ("config.yaml", "metrics.csv", "checkpoints/last.safetensors"):
        one, two = (tmp_path / run / name for run in ("first", "second"))
        skip = 2 if name == "config.yaml" else 0  # its first lines name the directory
        assert one.read_bytes().split(b"\n")[skip:] == two.read_bytes().split(b"\n")[skip:]


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


def complete(repository: Path, typed: str) -> list[str]:
    """What pressing the tabulator after `python main.py …` offers, in a real bash."""
    script = f"""
        eval "$(python main.py --shell-completion install=bash)"
        COMP_LINE="python main.py {typed}"; COMP_POINT=${{#COMP_LINE}}
        COMP_WORDS=($COMP_LINE); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        hydra_bash_completion
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": path},
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("mod", {"model."}),
        ("model=", {"model=cnn", "model=fcn", "model=single_linear_layer"}),
        ("model.num", {"model.num_hidden="}),
        ("model=cnn model.ker", {"model.kernel_size="}),
        ("+experiment=", {"+experiment=good_run"}),
        ("model.activation=", {"model.activation=GELU"}),
        ("pictures=", {"pictures=true", "pictures=false"}),
        ("opt.schedule=c", {"opt.schedule=constant", "opt.schedule=cosine"}),
        ("model.activation=", {"model.activation=GELU", "model.activation=RELU"}),
        ("model.norm=", {"model.norm=LN", "model.norm=BN", "model.norm=null"}),
        ("model=resnet model.depth=1", {"model.depth=18", "model.depth=101"}),
        ("++stage=", {"++stage=fit", "++stage=predict"}),
        ("seed=", {"seed=42"}),
        ("opt.lr=-1 model.act", {"model.activation="}),  # the bound is checked by the run
    ],
)
def test_the_tabulator_completes(repository: Path, typed: str, expected: set[str]) -> None:
    assert expected <= set(complete(repository, typed))


def test_an_option_can_name_what_hydra_knows_of_the_job(run_main: Run, tmp_path: Path) -> None:
    place = "wandb.dir=${hydra:runtime.output_dir}/wandb"
    done = run_main(*SMALL, "training.max_steps=1", place, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert f"dir: {tmp_path}/run/wandb\n" in (tmp_path / "run" / "config.yaml").read_text()


def test_what_can_be_known_before_is_reported_together_and_leaves_no_directory(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main(
        "model=cnn",
        "model.kernel_size=11",
        "model.pool_stride=3",
        "objective.class_weights=[1,2]",
        "hydra.run.dir=run",
    )
    assert done.returncode == 2
    assert done.stderr.startswith("The configuration has 2 mistakes:\n1. model.kernel_size=11")
    assert "class_weights has 2 weights for 10 classes" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_run_directory_that_cannot_be_made_is_the_users_mistake(
    run_main: Run, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run_main(*SMALL, f"hydra.run.dir={place}")
    assert done.returncode == 2
    assert done.stderr.startswith("hydra.run.dir: ")
    assert "Traceback" not in done.stderr


def test_the_home_directory_may_be_written_as_in_a_shell(run_main: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = run_main(*SMALL, "hydra.run.dir=~/run", "dm.root=~/data", HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert f"root: {home}/data\n" in (home / "run" / "config.yaml").read_text()
    assert not (tmp_path / "~").exists()
    many = run_main("-m", *TINY, "gpu=-1", "checkpoint.load=~/a,~/b", HOME=str(home))
    assert all(f"checkpoint.load={home}/{name}" in many.stdout for name in "ab")


@pytest.mark.parametrize("deleted", ["~seed", "~model", "~dm"])
def test_what_is_deleted_must_be_given(run_main: Run, deleted: str) -> None:
    done = run_main(deleted, "model.hidden_dim=3")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_run_goes_on_when_nobody_reads_its_output(tmp_path: Path, repository: Path) -> None:
    command = " ".join([sys.executable, str(repository / "main.py"), *SMALL])
    for redirection in ("| head -1", ">&-", "2>&-"):
        run_dir = tmp_path / str(len(redirection))
        subprocess.run(
            f"{command} hydra.run.dir={run_dir} {redirection}",
            shell=True,
            cwd=tmp_path,
            check=False,
            capture_output=True,
        )
        assert '"finished"' in (run_dir / "result.json").read_text(), redirection
    many = f"{command} --multirun seed=1,2 hydra.sweep.dir=sweep | head -1"
    done = subprocess.run(many, shell=True, cwd=tmp_path, check=False, capture_output=True)
    assert '"finished"' in (tmp_path / "sweep" / "1" / "result.json").read_text()
    assert b"Traceback" not in done.stderr


def test_help_can_be_printed_in_plain_ascii(run_main: Run) -> None:
    done = run_main("--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "num_hidden: 1" in done.stdout


def test_the_command_to_go_on_survives_blanks_and_umlauts(run_main: Run, tmp_path: Path) -> None:
    run_dir = tmp_path / "a  b=ü"
    first = run_main(*SMALL, "training.max_steps=3", f"hydra.run.dir='{run_dir}'")
    assert first.returncode == 0, first.stderr
    command = (run_dir / "command.txt").read_text().replace("python ", f"{sys.executable} ", 1)
    again = subprocess.run(
        command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "This run has finished." in again.stdout, again.stderr
    assert len(list(tmp_path.iterdir())) == 1


def test_the_command_of_a_job_of_a_multirun_continues_that_job(
    run_main: Run, tmp_path: Path
) -> None:
    run_main("--multirun", "seed=1,2", *SMALL, "training.max_steps=3", "hydra.sweep.dir=sweep")
    command = (tmp_path / "sweep" / "1" / "command.txt").read_text()
    assert "--multirun" not in command
    again = subprocess.run(
        command.replace("python ", f"{sys.executable} ", 1),
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
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
    again = subprocess.run(
        command.replace("python ", f"{sys.executable} ", 1),
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "This run has finished." in again.stdout, again.stderr


def test_what_hydra_sends_to_other_processes_can_be_pickled() -> None:
    import cloudpickle
    from hydra.core.singleton import Singleton

    from runwright import compose

    compose(["dm=cmnist", "model=cnn"])
    state = cloudpickle.loads(cloudpickle.dumps(Singleton.get_state()))
    assert state
