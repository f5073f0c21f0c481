"""How long `--help` and `--cfg job` take, as a ratio to an empty Hydra application.

    taskset -c 0 python benchmarks/startup.py

Both are run in turn, each in its own process; the ratios are medians over the pairs.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
ROUNDS = 15

EMPTY = """
import hydra

@hydra.main(config_path=None)
def main(cfg):
    pass

main()
"""


def seconds(script: Path, *flags: str) -> float:
    """How long a program takes from start to end."""
    started = time.perf_counter()
    command = [sys.executable, "-W", "ignore", str(script), *flags]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # compiled once, as anybody's
    subprocess.run(
        command, cwd=script.parent, env=environment, stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - started


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY)
        for flags in (["--help"], ["--cfg", "job"]):
            # The first pair compiles what is not compiled yet.
            pairs = [
                (seconds(empty, *flags), seconds(REPOSITORY / "main.py", *flags))
                for _ in range(ROUNDS + 1)
            ][1:]
            ratio = statistics.median(ours / theirs for theirs, ours in pairs)
            ours = statistics.median(ours for _, ours in pairs)
            theirs = statistics.median(theirs for theirs, _ in pairs)
            print(
                f"{' '.join(flags):10} runwright {ours:.3f} s, empty Hydra app {theirs:.3f} s, "
                f"ratio {ratio:.2f} (target ≤ 1.3)"
            )


if __name__ == "__main__":
    main()
