"""How long `--help` and `--cfg job` take, as a ratio to an empty Hydra application.

    taskset -c 0 python benchmarks/startup.py

Both are run in turn, each in its own process; the ratios are medians over the pairs, of CPU time,
which depends less than the time that passes on what else the machine does. They are taken again
with a domain of 60 factories more, a package of its own with an entry point and YAML files.

Last, how long it takes to be told of a typo, as a ratio to `--cfg job` of the same program.

The empty application does not load runwright's plugins, which Hydra would load into every program
of an environment where runwright is installed.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
ROUNDS = 15
MISTAKE = 2  # the exit status of a program that was told a wrong option

EMPTY = """
import importlib.metadata as metadata

installed = metadata.entry_points

def without_runwright(**chosen):
    points = installed(**chosen)
    return metadata.EntryPoints(p for p in points if not p.value.startswith("runwright."))

metadata.entry_points = without_runwright

import hydra

@hydra.main(config_path=None)
def main(cfg):
    pass

main()
"""


FACTORY = """
@rw.factory("generated_{number}")
class Generated{number}({interface}):
    "One of many."

    width: int = rw.option(default=64, ge=1, doc="units of a layer")
    depth: int = rw.option(default=2, ge=1, doc="number of layers")
    dropout: float = rw.option(default=0.1, ge=0, lt=1, doc="share of the units that are dropped")
    kind: str = rw.option(default="a", choices=("a", "b"), doc="which of two")
    source: Path | None = rw.option(default=None, doc="where it is from")
    sizes: list[int] = rw.option(default=[1, 2], doc="widths of the layers")

    def build(self, dims: object) -> object:
        return dims
"""
MODULE = """
from pathlib import Path

import runwright as rw


class OwnStage(rw.Stage):
    def run(self, trained: object) -> float:
        return 0.0
"""


def write_domain(folder: Path) -> None:
    """Write an installed package with a domain of 60 factories and 20 YAML files."""
    package = folder / "generated_domain"
    experiments = package / "conf" / "experiment" / "generated"
    experiments.mkdir(parents=True)
    (package / "__init__.py").touch()
    interfaces = ("rw.DataModule", "rw.ModelFactory", "OwnStage")
    factories = [
        FACTORY.format(number=number, interface=interfaces[number % 3]) for number in range(60)
    ]
    (package / "choices.py").write_text(MODULE + "".join(factories))
    for number in range(20):
        (experiments / f"{number}.yaml").write_text("# @package _global_\nseed: 1\n")
    about = folder / "generated_domain-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: generated\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[runwright.domains]\ngenerated = generated_domain\n")


def seconds(script: Path, *flags: str, on_path: Path | None = None) -> float:
    """The CPU time of a program from start to end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-W", "ignore", str(script), *flags]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # compiled once, as anybody's
    if on_path is not None:
        found = (str(on_path), environment.get("PYTHONPATH", ""))
        environment["PYTHONPATH"] = os.pathsep.join(one for one in found if one)
    done = subprocess.run(
        command, check=False, cwd=script.parent, env=environment, capture_output=True
    )
    if done.returncode not in (0, MISTAKE):
        raise RuntimeError(done.stderr.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(empty: Path, flags: list[str], on_path: Path | None) -> None:
    """Print the ratio of the repository's program to an empty one."""
    # The first pair compiles what is not compiled yet.
    pairs = [
        (seconds(empty, *flags), seconds(REPOSITORY / "main.py", *flags, on_path=on_path))
        for _ in range(ROUNDS + 1)
    ][1:]
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    ours = statistics.median(ours for _, ours in pairs)
    theirs = statistics.median(theirs for theirs, _ in pairs)
    more = "" if on_path is None else " with 60 factories more"
    print(
        f"{' '.join(flags):10} runwright{more} {ours:.3f} s, empty Hydra app {theirs:.3f} s, "
        f"ratio {ratio:.2f} (target ≤ 1.3)",
        flush=True,
    )


def compare_typo() -> None:
    """Print how long a typo takes, beside showing what was composed."""
    script = REPOSITORY / "main.py"
    pairs = [(seconds(script, "--cfg", "job"), seconds(script, "opt.lrr=1")) for _ in range(ROUNDS)]
    ratio = statistics.median(typo / shown for shown, typo in pairs)
    typo = statistics.median(typo for _, typo in pairs)
    print(f"a typo     runwright {typo:.3f} s, ratio to --cfg job {ratio:.2f}", flush=True)


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY)
        domain = Path(folder) / "installed"
        write_domain(domain)
        for on_path in (None, domain):
            for flags in (["--help"], ["--cfg", "job"]):
                compare(empty, flags, on_path)
        compare_typo()


if __name__ == "__main__":
    main()
