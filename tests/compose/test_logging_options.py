"""What Python's logging would not take is refused with its key and what is allowed."""

import logging
from pathlib import Path

import pytest
from hydra.types import RunMode

from conftest import SMALL, Run
from runwright import Config, ConfigError
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.compose.schema import store
from runwright.domains import register_domains

LEVELS = ", ".join(logging.getLevelNamesMapping())

WRONG = {
    "{part}.version=2": ["{part}.version must be 1, got 2"],
    "{part}.root=3": ["{part}.root must be a dictionary, got 3"],
    "{part}.root.level=debug": [
        "{part}.root.level=debug: there is no such level. Did you mean 'DEBUG'? Allowed: CRITICAL, "
    ],
    "+{part}.loggers={{a:{{level:3.5,propagate:3}},b:3}}": [
        "{part}.loggers.b must be a dictionary, got 3",
        f"{{part}}.loggers.a.level=3.5: there is no such level. Allowed: {LEVELS}.",
        "{part}.loggers.a.propagate must be true or false, got 3",
    ],
    "++{part}.handlers.mine={{class:logging.StreamHandler,formatter:f}}": [
        "{part}.handlers.mine.formatter=f: there is no such formatter. "
    ],
    "++{part}.handlers.mine={{class:logging.StreamHandle}}": [
        "{part}.handlers.mine.class must be a class such as logging.StreamHandler, got 'logging.S"
    ],
    "++{part}.handlers.mine={{class:nowhere.Handler}}": [
        "{part}.handlers.mine.class must be a class such as logging.StreamHandler, got 'nowhere.H"
    ],
    "{part}.root.handlers=[nobody]": ["{part}.root.handlers: there is no handler 'nobody'. "],
    "{part}.root.handlers=nobody": ["{part}.root.handlers must be a list of names, got 'nobody'"],
    "++{part}.formatters.f={{format:'%(foo'}}": ["{part}.formatters.f is no format: Invalid"],
    "{part}.disable_existing_loggers=3": [
        "{part}.disable_existing_loggers must be true or false, got 3"
    ],
    "+{part}.handlerss={{}}": [
        "{part}.handlerss: logging has no such part. Did you mean 'handlers"
    ],
    "~{part}.root": ["{part}.root must be given"],
    "hydra.verbose=3": ["hydra.verbose must be true, false, or names of loggers, got 3"],
}


@pytest.fixture
def loader(repository: Path) -> StrictConfigLoader:
    register_domains()
    store(Config)
    return StrictConfigLoader(search_path(repository / "conf"))


@pytest.mark.parametrize("mode", list(RunMode))
@pytest.mark.parametrize("part", ["hydra.job_logging", "hydra.hydra_logging"])
@pytest.mark.parametrize("override", WRONG)
def test_what_logging_does_not_take_is_refused(
    loader: StrictConfigLoader, override: str, part: str, mode: RunMode
) -> None:
    given = ["hydra/job_logging=stdout", override.format(part=part)]
    with pytest.raises(ConfigError) as caught:
        loader.load_configuration("config", given, mode)
    expected = [text.format(part=part) for text in WRONG[override]]
    for text, start in zip(caught.value.problems, expected, strict=True):
        assert text.startswith(start)


@pytest.mark.parametrize(
    "given",
    [
        ["hydra/job_logging=default", "hydra.job_logging.root.level=10"],
        ["hydra/job_logging=none", "hydra/hydra_logging=none"],
        ["+hydra.job_logging.handlers={a:{class:logging.handlers.SysLogHandler,address:x}}"],
        ["+hydra.job_logging.loggers={a:{level:'${oc.env:LEVEL}'}}"],
        ["hydra.verbose=[a,b]"],
    ],
    ids=" ".join,
)
def test_what_logging_takes_is_left_alone(loader: StrictConfigLoader, given: list[str]) -> None:
    assert loader.load_configuration("config", given, RunMode.RUN).seed == 42


@pytest.mark.parametrize("flags", [(), ("--multirun",)])
def test_what_only_logging_itself_can_tell_ends_in_a_sentence(
    run_main: Run, flags: tuple[str, ...]
) -> None:
    file = "hydra.job_logging.handlers.file.filename=/nowhere/log"
    done = run_main(*flags, *SMALL, "hydra/job_logging=default", file)
    assert done.returncode == 2
    said = "hydra.job_logging: Unable to configure handler 'file': [Errno 2] No such file or"
    assert said in done.stderr
    assert "Traceback" not in done.stderr
