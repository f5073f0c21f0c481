"""A file of weights is found on this machine, or fetched over https once and kept."""

import contextlib
import hashlib
import http.server
import ssl
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path

import attrs
import pytest
import torch
from typing_extensions import override

from runwright import ConfigError, RunError, UserError, compose
from runwright.rundir.tensor_files import read_weights
from runwright.training.finetune.source_files import cache_folder, checked_file
from training.finetune.conftest import OPTIONS, finetune, network


@attrs.define
class Server:
    """Files over https, at `url`; `asked` counts the requests."""

    url: str = ""
    asked: int = 0
    cut_short: bool = False


_ELSEWHERE = {"/away": "http://localhost:9/weights.pth", "/moved": "/base.pth", "/loop": "/loop"}


class _Quiet(http.server.ThreadingHTTPServer):
    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that does not trust it."""


# What becomes of the server's end of a connection to a client that does not trust it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Server]:
    folder, key, certificate = tmp_path / "served", tmp_path / "key.pem", tmp_path / "cert.pem"
    folder.mkdir()
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    make += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    subprocess.run(
        [*make, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True
    )
    told = Server()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # pyright: ignore[reportArgumentType]

        @override
        def do_GET(self) -> None:
            told.asked += 1
            if elsewhere := _ELSEWHERE.get(self.path):
                self.send_response(302)
                self.send_header("Location", elsewhere)
                self.end_headers()
            elif told.cut_short:
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.wfile.write(b"some")
            else:
                super().do_GET()

        @override
        def log_message(self, format: str, *args: object) -> None:  # its name
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _Quiet(("localhost", 0), Handler) as served:
        served.socket = context.wrap_socket(
            served.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        told.url = f"https://localhost:{served.server_address[1]}"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield told
        served.shutdown()
        thread.join()


def serve(name: str) -> str:
    """Put weights where they are served; returns their SHA-256."""
    torch.save(network().state_dict(), f"served/{name}")
    return hashlib.sha256(Path(f"served/{name}").read_bytes()).hexdigest()


def test_a_url_is_fetched_once_and_a_killed_run_would_not_ask_again(server: Server) -> None:
    digest = serve("base.pth")
    options = (f"finetune.checkpoint='{server.url}/base.pth?raw=1'", f"finetune.sha256={digest}")
    for run in ("first", "second"):
        finetune(run, *options, "training.max_steps=1", "opt.lr=1e-30")
    assert server.asked == 1
    loaded = read_weights(Path("second/checkpoints/last.safetensors"))
    assert torch.equal(loaded["head.2.weight"], network().state_dict()["head.2.weight"])
    kept = sorted(path.name for path in (cache_folder() / "checkpoints").iterdir())
    assert kept == [f"{digest[:16]}-base.pth", f"{digest[:16]}-base.pth.lock"]
    # What is in the cache is compared with the model before anything is made.
    with pytest.raises(ConfigError, match="shape of head"):
        finetune("third", *options, "model.head_width=9")
    # What is damaged there is told, and not loaded.
    (cache_folder() / "checkpoints" / kept[0]).write_bytes(b"damaged")
    with pytest.raises(UserError, match=kept[0]):
        checked_file(f"{server.url}/base.pth", digest, "finetune.checkpoint")


def test_a_file_may_have_moved(server: Server) -> None:
    digest = serve("base.pth")
    assert checked_file(f"{server.url}/moved", digest, "x.checkpoint")[1] == digest


def test_another_file_is_not_reported_as_if_it_had_been_compared(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    serve("base.pth")
    options = (f"finetune.checkpoint={server.url}/base.pth", "finetune.sha256=00000000")
    with pytest.raises(ConfigError, match="does not match finetune.sha256"):
        finetune("run", *options)
    assert "missing" not in capsys.readouterr().out
    assert not Path("run/finetune.json").exists()


def test_what_a_killed_download_left_is_removed(server: Server) -> None:
    digest = serve("base.pth")
    half = cache_folder() / "checkpoints" / f".{digest[:16]}-base.pth.12345.67890.tmp"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half of it")
    path, _ = checked_file(f"{server.url}/base.pth", digest, "x.checkpoint")
    assert sorted(one.name for one in half.parent.iterdir()) == [path.name, f"{path.name}.lock"]


def test_the_first_digits_of_the_sha256_will_do(server: Server) -> None:
    digest = serve("base-1234.pth")
    path, found = checked_file(f"{server.url}/base-1234.pth", digest[:8].upper(), "x.checkpoint")
    assert found == digest
    assert path.name == f"{digest[:8]}-base-1234.pth"


def test_another_file_than_was_asked_for_is_not_kept(server: Server) -> None:
    digest = serve("base.pth")
    other = "0" * 64
    with pytest.raises(
        UserError, match=rf"does not match x\.sha256: its SHA-256 is {digest}, not {other}"
    ):
        checked_file(f"{server.url}/base.pth", other, "x.checkpoint")
    assert not [path for path in cache_folder().rglob("*") if path.suffix == ".pth"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (
            "/nothing.pth",
            r"cannot be downloaded: File not found\. Try again later, or download it yourself",
        ),
        ("/away", "it redirects to http://localhost:9/weights.pth, which is not an https URL"),
        ("/loop", r"would lead to an infinite loop\. Try again later"),
    ],
)
def test_what_cannot_be_fetched_is_told(server: Server, address: str, said: str) -> None:
    with pytest.raises(RunError, match=said):
        checked_file(f"{server.url}{address}", "0" * 64, "finetune.checkpoint")


def test_a_connection_that_ends_too_early_leaves_nothing(server: Server) -> None:
    server.cut_short = True
    with pytest.raises(RunError, match=r"ended after 4 of 1,000,000 bytes|IncompleteRead"):
        checked_file(f"{server.url}/base.pth", "0" * 64, "finetune.checkpoint")
    assert not [path for path in cache_folder().rglob("*base*") if path.suffix != ".lock"]


def test_who_it_comes_from_is_checked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(RunError, match="certificate"):
        checked_file(f"{server.url}/base.pth", "0" * 64, "finetune.checkpoint")


def test_a_local_file_is_checked_too(weights: Path) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert checked_file(str(weights), digest[:12], "x.checkpoint") == (weights, digest)
    with pytest.raises(UserError, match="does not match finetune.sha256"):
        finetune("run", f"finetune.checkpoint={weights}", "finetune.sha256=0123456789")


def test_a_run_directory_stands_for_its_best_weights() -> None:
    finetune("base", "training.max_steps=2")
    finetune("run", "finetune.checkpoint=base", "training.max_steps=1", "opt.lr=1e-30")
    best = read_weights(Path("base/checkpoints/best.safetensors"))
    after = read_weights(Path("run/checkpoints/last.safetensors"))
    assert torch.equal(best["encoder.0.weight"], after["encoder.0.weight"])
    with contextlib.chdir(".."), pytest.raises(ConfigError, match="there is no such file"):
        compose([*OPTIONS, "finetune.checkpoint=base"]).run()
