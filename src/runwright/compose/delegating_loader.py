"""A loader of Hydra's public kind that leaves everything to Hydra's own."""

from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig
from typing_extensions import override

from runwright.compose._hydra import Composer


class DelegatingLoader(ConfigLoader):
    """Hydra's loader, as it is."""

    def __init__(self, path: ConfigSearchPath) -> None:
        """Look for configurations along this path."""
        self.composer = Composer(path)

    @override
    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        return self.composer.loader.load_configuration(
            config_name, overrides, run_mode, from_shell, validate_sweep_overrides
        )

    @override
    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        return self.composer.loader.load_sweep_config(master_config, sweep_overrides)

    @override
    def get_mode(self, config_name: str | None, overrides: list[str]) -> Any:
        return self.composer.mode(config_name, overrides)

    @override
    def get_search_path(self) -> ConfigSearchPath:
        return self.composer.loader.get_search_path()

    @override
    def get_sources(self) -> list[ConfigSource]:
        return self.composer.loader.get_sources()

    @override
    def list_groups(self, parent_name: str) -> list[str]:
        return self.composer.loader.list_groups(parent_name)

    @override
    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        return self.composer.loader.get_group_options(
            group_name, results_filter, config_name, overrides
        )

    @override
    def compute_defaults_list(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode
    ) -> Any:
        return self.composer.loader.compute_defaults_list(config_name, overrides, run_mode)
