"""What the tests of composing share: a folder of YAML files, and what a mistake is told as."""

from pathlib import Path

import pytest

from runwright import ConfigError, compose

CMNIST = ["dm=cmnist", "model=fcn"]


def mistakes(*overrides: str, **options: str) -> tuple[str, ...]:
    chosen = {one.lstrip("+~").partition("=")[0] for one in overrides if one not in CMNIST}
    kept = [one for one in overrides if one not in CMNIST or one.partition("=")[0] not in chosen]
    with pytest.raises(ConfigError) as caught:
        compose(kept, **options)  # pyright: ignore[reportArgumentType]  # conf and config_name
    return caught.value.problems


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A project's folder of YAML files, to which a test adds its own."""
    folder = tmp_path / "conf"
    (folder / "model").mkdir(parents=True)
    (folder / "experiment").mkdir()
    (folder / "config.yaml").write_text(
        "defaults:\n  - config_schema\n  - dm: cmnist\n  - model: fcn\n  - _self_\n"
    )
    return folder
