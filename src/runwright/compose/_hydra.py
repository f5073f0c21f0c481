"""All of Hydra's private parts that are used; a test checks their signatures.

Hydra has no public way to compose one piece at a time, to return a parsed command line, or to run
an application with a loader and a search path of its own.
"""

# pyright: reportPrivateUsage=false
# pyright: reportUnusedImport=false
# ruff: noqa: F401, TC002  # some are imported from here unchanged

import argparse
import re
from pathlib import Path
from typing import Any, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.defaults_list import DefaultsList, create_defaults_list
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import GroupDefault, ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig
from typing_extensions import override

from runwright.domains import conf_folders


def search_path(conf: Path | None, config_dir: Path | None = None) -> ConfigSearchPath:
    """Where to look for configurations.

    `config_dir` first, then `conf`, then the folders of the registered domains, then the schema.
    """
    path = create_config_search_path(None if conf is None else f"file://{conf}")
    for folder in conf_folders():
        cast("ConfigSearchPathImpl", path).prepend("domain", f"file://{folder}", "schema")
    if config_dir is not None:
        # Before the project's own folder, so that a run directory's config.yaml takes precedence.
        cast("ConfigSearchPathImpl", path).prepend("command-line", f"file://{config_dir}")
    return path


def arguments_parser() -> argparse.ArgumentParser:
    """The parser of Hydra's own flags."""
    return get_args_parser()


def flag_names() -> list[str]:
    """All long flags, without their dashes."""
    return re.findall(r"--([a-z-]+)", get_args_parser().format_usage())


class _WithoutOtherFolders(CachingConfigRepository):
    """Takes no folder for a group that has no configuration in it.

    A run directory on the search path has `pictures/`, which is also an option.
    """

    def __init__(self, repository: CachingConfigRepository) -> None:  # pyright: ignore[reportMissingSuperCall]  # it copies what is a copy
        self.delegate = repository.delegate
        self.cache = repository.cache

    @override
    def group_exists(self, config_path: str) -> bool:
        return any(
            source.is_group(config_path)
            and (source.scheme() != "file" or _has_files(Path(source.path) / config_path))
            for source in self.get_sources()
        )


def _has_files(folder: Path) -> bool:
    return any(folder.rglob("*.y*ml"))  # one that ends in .yml is reported


class Repository:
    """The configurations along a search path, each read once."""

    def __init__(self, repository: CachingConfigRepository) -> None:
        self._repository = _WithoutOtherFolders(repository)

    def has_group(self, group: str) -> bool:
        """Whether there is a group, a folder."""
        return self._repository.group_exists(group)

    def has_config(self, path: str) -> bool:
        """Whether there is a configuration, such as `model/cnn`."""
        return self._repository.config_exists(path)

    def configs_in(self, group: str) -> list[str]:
        """The configurations in a group."""
        return self._repository.get_group_options(group)

    def groups_in(self, group: str) -> list[str]:
        """The groups in a group; "" is the top level."""
        return self._repository.get_group_options(group, ObjectType.GROUP)

    def entries_of(self, path: str) -> list[str]:
        """What the defaults list of a configuration chooses for or names, in order.

        E.g. `model`, `override /model`, `aug@train_aug`, `_self_`.
        """
        loaded = self._repository.load_config(path)
        entries = [] if loaded is None else loaded.defaults_list or []
        return [
            ("override " if entry.is_override() else "")
            + str(entry.group if isinstance(entry, GroupDefault) else getattr(entry, "path", ""))
            + (f"@{entry.package}" if entry.package else "")
            for entry in entries
        ]

    @property
    def sources(self) -> list[ConfigSource]:
        """Their sources, in order."""
        return self._repository.get_sources()


class Composer:
    """Hydra's own composing, whole and in pieces."""

    def __init__(self, path: ConfigSearchPath) -> None:
        self.loader = ConfigLoaderImpl(path)

    def parse(self, config_name: str | None, overrides: list[str]) -> list[Override]:
        """Parse overrides, expanding those that stand for others."""
        return self.loader.parse_overrides(config_name, overrides)

    def mode(self, config_name: str | None, overrides: list[str]) -> Any:
        """What `hydra.mode` is, without composing."""
        parsed = self.parse(config_name, overrides)
        return self.loader.get_mode(config_name, overrides, parsed)

    @property
    def usual_repository(self) -> Repository:
        """The configurations along the search path, when nothing adds to it."""
        return Repository(CachingConfigRepository(self.loader.repository))

    @property
    def last_repository(self) -> Repository:
        """Those that were used in the last composition, as they were read."""
        last = self.loader._active_repository
        assert isinstance(last, CachingConfigRepository)
        return Repository(last)

    def repository(self, config_name: str | None, overrides: list[Override]) -> Repository:
        """The configurations, including those that `hydra.searchpath` adds."""
        texts = [str(one.input_line) for one in overrides]
        _, found = self.loader._parse_overrides_and_create_caching_repo(
            config_name, texts, overrides
        )
        return Repository(found)

    def compose(
        self,
        config_name: str | None,
        overrides: list[Override],
        run_mode: RunMode,
    ) -> DictConfig:
        """Compose as Hydra does, without checking for several values of one option."""
        return self.loader._load_configuration(
            config_name=config_name,
            overrides=[str(one.input_line) for one in overrides],
            run_mode=run_mode,
            from_shell=True,
            validate_sweep_overrides=False,
            skip_missing_defaults=False,
            activate_config_repository=True,
            parsed_overrides=overrides,
        )

    def defaults(
        self, repository: Repository, config_name: str | None, overrides: list[Override]
    ) -> DefaultsList:
        """What the defaults lists choose; missing choices are not reported."""
        return create_defaults_list(
            repo=repository._repository,
            config_name=config_name,
            overrides_list=overrides,
            prepend_hydra=True,
            skip_missing=True,
        )

    def load(self, default: ResultDefault, repository: Repository) -> ConfigResult:
        """The content of an entry of the defaults lists, at the place where it belongs."""
        return self.loader._load_single_config(default, repository._repository)

    def apply(self, override: Override, composed: DictConfig) -> None:
        """Apply an override to what was composed, in place."""
        self.loader._apply_overrides_to_config([override], composed)

    def check_sweeps(self, overrides: list[Override], run_mode: RunMode) -> None:
        """Refuse several values where only one can be taken."""
        self.loader.validate_sweep_overrides_legal(overrides, run_mode, from_shell=True)

    def check_controllers(self, multirun: DictConfig, job: DictConfig) -> None:
        """Refuse a job that would change the launcher or the sweeper of its multirun."""
        self.loader._ensure_sweep_config_controller_unchanged(multirun, job)
