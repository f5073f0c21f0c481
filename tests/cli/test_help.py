"""What can be chosen, as `--help` shows it and as tab completion offers it."""

import contextlib
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from conftest import REPOSITORY, Run
from programs import run_python


def test_help_lists_the_members_of_groups_and_describes_every_option(run_main: Run) -> None:
    text = run_main("--help").stdout
    assert "== Configuration groups ==\nCompose your configuration from those groups" in text
    for member in (
        "dm:\n  celeba                            # Photographs of faces: one attribute",
        "  celeba_male_blond                 # Is the hair blond?\n",  # a comment goes on
        "experiment:\n  good_run                          # A linear model on small faces",
        "experiment/cmnist:\n  cnn                               # A small CNN",
        "model:\n  cnn                               # Small convolutional network",
    ):
        assert f"\n{member}" in text
    assert re.search(r"\n  num_hidden: 1 +# int ≥ 0: number of hidden layers", text)
    assert re.search(r"\n  root: data +# path: ", text)
    assert "!!python" not in text
    options = text.split("== Config ==")[1].split("\n\n")[1].splitlines()
    assert len(options) > 60
    assert all("  # " in line for line in options)


def test_a_file_is_described_by_the_comment_at_its_head(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    files = {
        "plain": "defaults: [fcn]\n",
        "told": "\n# A wide one. It is slow.\ndefaults: [fcn]\n",
        "listed": "#  Start it with:\n#    python main.py\n---\n# no head\ndefaults: [fcn]\n",
    }
    for name, text in files.items():
        (tmp_path / "conf" / "model" / f"{name}.yaml").write_text(text)
    shutil.copy(REPOSITORY / "main.py", tmp_path)
    said = run_python("main.py", "--help", cwd=tmp_path).stdout
    assert f"\n  {'told':34}# A wide one.\n" in said
    assert f"\n  {'listed':34}# Start it with:\n" in said
    assert "\n  plain\n" in said


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


def test_help_can_be_printed_in_plain_ascii(run_main: Run) -> None:
    done = run_main("--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "num_hidden: 1" in done.stdout


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
        ("++print_model=", {"++print_model=summary", "++print_model=whole"}),
        ("stage=", {"stage=fit", "stage=predict"}),
        ("seed=", {"seed=42"}),
        ("opt.lr=-1 model.act", {"model.activation="}),  # the bound is checked by the run
    ],
)
def test_the_tabulator_completes(repository: Path, typed: str, expected: set[str]) -> None:
    assert expected <= set(complete(repository, typed))


def test_help_shows_the_options_of_what_is_not_complete_yet(run_main: Run) -> None:
    done = run_main("dm=perturbation", "--help")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\n  toml_config_path: \?\?\? +# path: TOML file", done.stdout)
    assert re.search(r"\n  pert_col: gene +# str: obs column of the perturbations\n", done.stdout)
    wrong = run_main("dm=perturbation", "dm.pert_coll=a", "--help")
    assert wrong.returncode == 2
    assert "Did you mean 'dm.pert_col'?" in wrong.stderr


@pytest.mark.parametrize(
    ("overrides", "value"),
    [
        (["model=state_sm"], "128"),
        (["model=state_sm", "model.cell_set_len=7"], "7"),
        (["model=fcn"], "128"),
        (["model=state_sm", "dm.cell_set_len=3"], "3"),
    ],
)
def test_help_shows_the_value_of_an_option_that_follows_another(
    run_main: Run, overrides: list[str], value: str
) -> None:
    shown = run_main("dm=perturbation", *overrides, "--help").stdout
    assert re.search(rf"\n  cell_set_len: {value} +# int ≥ 1: cells of a set; follows", shown)
