"""The locks have what `pyproject.toml` requires, and the project installs and runs from them."""

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import REPOSITORY

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def pinned(lock: str) -> dict[str, str]:
    lines = (REPOSITORY / lock).read_text().splitlines()
    return dict(re.findall(r"^(\S+?)={2,3}(\S+)", "\n".join(lines), re.MULTILINE))


def asked_for(*, dev: bool) -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"]
    listed = [*PROJECT["project"]["dependencies"]]
    listed += [one for name, extra in extras.items() if name != "all" for one in extra]
    listed += PROJECT["dependency-groups"]["dev"] if dev else []
    return [Requirement(one) for one in listed]


@pytest.mark.parametrize(
    ("lock", "dev"), [("requirements.lock", False), ("requirements-dev.lock", True)]
)
def test_a_lock_has_every_package_that_is_asked_for(lock: str, dev: bool) -> None:
    versions = pinned(lock)
    for requirement in asked_for(dev=dev):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in {lock}: run scripts/lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{lock}: {requirement}"


def test_the_extra_that_has_all_names_every_other() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert Requirement(everything).extras == extras.keys() - {"all"}


def test_both_locks_have_the_same_versions() -> None:
    used, dev = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert used.items() <= dev.items()
