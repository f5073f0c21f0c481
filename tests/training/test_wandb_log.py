"""What W&B is told, and what happens to a run when W&B fails."""

import contextlib
import gzip
import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override
from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportAttributeAccessIssue]

from conftest import SMALL, Run, last_of_each
from programs import run_python, start_python
from runwright import UserError
from runwright.config import WandbCfg
from runwright.training import wandb_log

DIGITS = last_of_each("dm=cmnist", *SMALL, "training.epochs=1")


def records(wandb_file: Path) -> list[Record]:
    """Read a run's file: a LevelDB log, records cut into fragments within blocks of 32 KiB."""
    content, position, pending = wandb_file.read_bytes(), 7, b""  # after W&B's own header
    found: list[Record] = []
    while position + 7 <= len(content):
        if (left := 32768 - position % 32768) < 7:
            position += left
            continue
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]  # 1 whole, 2 first, 3 middle, 4 last
        pending += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(pending)
            found.append(record)
            pending = b""
    return found


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"project": "team/project"}, "wandb.project: .+ cannot contain characters"),
        ({"id": ""}, "wandb.id: Run ID cannot be empty"),
        ({"id": "a/b"}, "wandb.id: Run ID cannot contain"),
        ({"tags": ["x" * 80]}, "wandb.tags: .+ between 1 and 64 characters"),
    ],
)
def test_what_wandb_does_not_take_is_refused_before_any_data_is_read(
    options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        wandb_log.check(WandbCfg(mode="offline", **options))
    wandb_log.check(WandbCfg(mode="offline", project="p", id="a-b", tags=["x"], entity="e"))


def test_a_file_in_the_place_of_wandbs_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cfg = WandbCfg(mode="offline", dir=str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"wandb.dir=.+file: File exists"):
        wandb_log.start(cfg, config={}, resumed_id=None)


def test_an_id_that_no_folder_can_have_is_told(tmp_path: Path) -> None:
    cfg = WandbCfg(mode="offline", dir=str(tmp_path), id="a" * 300)
    with pytest.raises(UserError, match="File name too long. See wandb.dir and wandb.id."):
        wandb_log.start(cfg, config={}, resumed_id=None)


@pytest.mark.slow
def test_wandb_gets_the_best_weights_and_pictures_on_request(run_main: Run, tmp_path: Path) -> None:
    shown = ["wandb.log_model=true", "draw_every=1", "pictures=true"]
    done = run_main(
        *last_of_each(*DIGITS, "wandb.mode=offline", "hydra.run.dir=run", *shown),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "local_logging").rglob("*.wandb")
    (request,) = [r.artifact for r in records(file) if r.HasField("artifact")]
    assert request.type == "model"
    (entry,) = request.manifest.contents
    best = tmp_path / "run" / "checkpoints" / "best.safetensors"
    assert (entry.path, entry.size) == (best.name, best.stat().st_size)
    images = [path.name for path in (tmp_path / "local_logging").rglob("media/images/*.png")]
    assert len(images) == len(list((tmp_path / "run" / "pictures").glob("step-*/*.png"))) > 0


@pytest.mark.slow
def test_wandb_works_offline_and_a_resumed_run_keeps_its_id(run_main: Run, tmp_path: Path) -> None:
    arguments = [*DIGITS, "wandb.mode=offline", "hydra.run.dir=run", "wandb.tags=[a,b]"]
    done = run_main(*arguments, "opt.schedule=constant")
    assert done.returncode == 0, done.stdout + done.stderr
    (first,) = (tmp_path / "local_logging").rglob("*.wandb")
    logged = [
        {".".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        for record in records(first)
        if record.HasField("history")
    ]
    accuracies = [float(row["val_accuracy"]) for row in logged if "val_accuracy" in row]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert max(accuracies) == result["value"]
    config = next(r.run for r in records(first) if r.HasField("run"))
    assert {"dm", "model", "opt"} <= {item.key for item in config.config.update}
    longer = ["training.epochs=2", "checkpoint.allow_changes=true", "opt.schedule=constant"]
    assert run_main(*last_of_each(*arguments, *longer)).returncode == 0
    ids = {path.stem.removeprefix("run-") for path in (tmp_path / "local_logging").rglob("*.wandb")}
    assert len(ids) == 1


@pytest.mark.slow
def test_every_job_of_a_multirun_has_an_id_of_its_own(run_main: Run, tmp_path: Path) -> None:
    short = (*SMALL, "training.max_steps=2", "wandb.mode=offline")
    done = run_main("--multirun", "seed=1,2", *short)
    assert done.returncode == 0, done.stderr
    assert len({path.stem for path in (tmp_path / "local_logging").rglob("*.wandb")}) == 2


@pytest.mark.slow
def test_wandb_may_write_below_the_home_directory(run_main: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = run_main(*SMALL, "wandb.mode=offline", "wandb.dir='~/logs'", HOME=str(home))
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((home / "logs").rglob("*.wandb"))
    assert not (tmp_path / "~").exists()


def test_wandb_online_without_a_key_is_refused_before_training(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main(
        *DIGITS,
        "wandb.mode=online",
        HOME=str(tmp_path),
        NETRC=str(tmp_path / "none"),
        WANDB_API_KEY="",
    )
    assert done.returncode == 2
    assert "needs an API key, and there is none" in done.stderr
    assert "wandb.mode=offline" in done.stderr
    assert "Model architecture" not in done.stdout


@pytest.mark.slow
def test_an_unreachable_wandb_server_does_not_stop_the_training(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main(
        *DIGITS,
        "wandb.mode=online",
        HOME=str(tmp_path),
        WANDB_API_KEY="0" * 40,
        WANDB_BASE_URL="http://127.0.0.1:9",
        WANDB_INIT_TIMEOUT="5",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Best val_accuracy" in done.stdout


class Server(ThreadingHTTPServer):
    """Takes what W&B sends, as its server would, and has nothing to tell."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.got_history = threading.Event()


class Answer(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if b"wandb-history.jsonl" in body:
            self.server.got_history.set()
        uploads = {"runID": "", "uploadHeaders": [], "files": []}
        content = json.dumps({"data": {"createRunFiles": uploads}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Generator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def history(folder: Path) -> list[int]:
    """The steps at which W&B's file has something measured."""
    (file,) = folder.rglob("*.wandb")
    return [r.history.step.num for r in records(file) if r.HasField("history")]


UNTIL_TOLD = """
from pathlib import Path
from runwright import Caller, compose, run

class UntilTold:
    more = 3

    def report(self, step: int, value: float) -> bool:
        self.more -= Path("gone").exists()
        return self.more == 0

options = ["dm=cmnist", "gpu=-1", "model=cnn", "pictures=false", "wandb.mode=online"]
length = ["training.epochs=10000", "training.log_every=10"]
run(compose([*options, *length]), "run", Caller(reporter=UntilTold()))
"""


@pytest.mark.slow
def test_a_server_that_goes_away_does_not_stop_the_training(tmp_path: Path) -> None:
    with serving() as server:
        env = {"HOME": str(tmp_path), "WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": server.url}
        env["WANDB_FINISH_TIMEOUT"] = "3"
        training = start_python("-c", UNTIL_TOLD, env=env)
        try:
            assert server.got_history.wait(60)
        except AssertionError:
            training.kill()
            pytest.fail(training.communicate()[0])
    (tmp_path / "gone").touch()
    output, _ = training.communicate(timeout=60)
    assert training.returncode == 0, output
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "pruned"
    assert "wandb sync" in output
    last = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[-1]
    assert history(tmp_path / "local_logging")[-1] == int(last.partition(",")[0])


WITHOUT_PROCESS = """
import os, subprocess
from runwright import Caller, compose, run

class KillOnce:
    def report(self, step: int, value: float) -> bool:
        subprocess.run(["pkill", "-KILL", "-P", str(os.getpid()), "wandb"])
        return False

options = ["dm=cmnist", "gpu=-1", "model=cnn", "pictures=false", "wandb.mode=offline"]
length = ["training.epochs=5", "training.log_every=10"]
run(compose([*options, *length]), "run", Caller(reporter=KillOnce()))
"""


@pytest.mark.slow
def test_the_death_of_wandbs_process_does_not_stop_the_training(tmp_path: Path) -> None:
    done = run_python("-c", WITHOUT_PROCESS)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "finished"
    assert done.stdout.count("W&B has stopped recording") == 1
    assert "`wandb sync " in done.stdout
