"""The private parts of Hydra and OmegaConf that are used have not changed."""

# pyright: reportPrivateUsage=false, reportOptionalMemberAccess=false

import inspect
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.defaults_list import create_defaults_list
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import get_omega_conf_dumper, split_key
from omegaconf._yaml import get_yaml_loader

from conftest import REPOSITORY
from runwright import Config
from runwright.compose._hydra import Composer, search_path
from runwright.compose._omegaconf import drop_defaults_list, dump_yaml, structured
from runwright.compose.schema import store
from runwright.domains import register_domains
from runwright.plain import plain_values

WAY = (
    "{name} of {library} has changed: it takes {now}, and took {before}. It is used in "
    "src/runwright/compose/{file} only. Read what has changed in {library}'s source, change that "
    "file, and then the table in this test."
)

TOUCHED: list[tuple[Any, str | None]] = [
    (ConfigLoaderImpl.__init__, "self, config_search_path"),
    (ConfigLoaderImpl.parse_overrides, "self, config_name, overrides, alias_start"),
    (ConfigLoaderImpl.get_mode, "self, config_name, overrides, parsed_overrides"),
    (
        ConfigLoaderImpl._parse_overrides_and_create_caching_repo,
        "self, config_name, overrides, parsed_overrides",
    ),
    (
        ConfigLoaderImpl._load_configuration,
        (
            "self, config_name, overrides, run_mode, from_shell, validate_sweep_overrides, "
            "skip_missing_defaults, activate_config_repository, parsed_overrides"
        ),
    ),
    (ConfigLoaderImpl._load_single_config, "self, default, repo"),
    (ConfigLoaderImpl._apply_overrides_to_config, "overrides, cfg"),
    (ConfigLoaderImpl.validate_sweep_overrides_legal, "overrides, run_mode, from_shell"),
    (
        ConfigLoaderImpl._ensure_sweep_config_controller_unchanged,
        "master_config, sweep_config",
    ),
    (
        create_defaults_list,
        "repo, config_name, overrides_list, prepend_hydra, skip_missing",
    ),
    (CachingConfigRepository.__init__, "self, delegate"),
    (CachingConfigRepository.get_group_options, "self, group_name, results_filter"),
    (CachingConfigRepository.group_exists, "self, config_path"),
    (CachingConfigRepository.config_exists, "self, config_path"),
    (CachingConfigRepository.load_config, "self, config_path"),
    (CachingConfigRepository.get_sources, "self"),
    (ConfigSearchPathImpl.prepend, "self, provider, path, anchor"),
    (create_config_search_path, "search_path_dir"),
    (get_args_parser, ""),
    (Hydra.create_main_hydra2, "task_name, config_search_path"),
    (
        Hydra.compose_config,
        (
            "self, config_name, overrides, run_mode, with_log_configuration, from_shell, "
            "validate_sweep_overrides, activate_config_repository, skip_missing_defaults, "
            "parsed_overrides"
        ),
    ),
    (
        Hydra.run,
        "self, config_name, task_function, overrides, with_log_configuration, parsed_overrides",
    ),
    (
        Hydra.multirun,
        "self, config_name, task_function, overrides, with_log_configuration, parsed_overrides",
    ),
    (Hydra.get_mode, "self, config_name, overrides, parsed_overrides"),
    (Hydra.get_sanitized_cfg, "self, cfg, cfg_type"),
    (Hydra.hydra_help, "self, config_name, args_parser, args, parsed_overrides"),
    (
        Hydra.show_info,
        "self, info, config_name, overrides, run_mode, parsed_overrides, alias_start",
    ),
    (Hydra.shell_completion, "self, config_name, overrides"),
    (Hydra.format_config_groups, "self, predicate, compact"),
    (BasicLauncher.setup, "self, hydra_context, task_function, config"),
    (BasicSweeper.sweep, "self, arguments"),
    (
        DictConfig._get_node,
        "self, key, validate_access, validate_key, throw_on_missing_value, throw_on_missing_key",
    ),
    (
        ListConfig._get_node,
        "self, key, validate_access, validate_key, throw_on_missing_value, throw_on_missing_key",
    ),
    (DictConfig._get_flag, "self, flag"),
    (DictConfig._set_flag, "self, flags, values"),
    (DictConfig._set_parent, "self, parent"),
    (split_key, "key"),
    (get_omega_conf_dumper, ""),
    (get_yaml_loader, None),
]


@pytest.mark.parametrize(("part", "before"), TOUCHED, ids=[p.__qualname__ for p, _ in TOUCHED])
def test_a_private_part_takes_what_it_took(part: Any, before: str | None) -> None:
    now = ", ".join(inspect.signature(part).parameters)
    library = part.__module__.partition(".")[0]
    said = WAY.format(
        name=part.__qualname__, library=library, now=now, before=before, file=f"_{library}.py"
    )
    assert before is None or now == before, said


def test_a_node_of_omegaconf_has_the_parts_that_are_looked_at() -> None:
    node = OmegaConf.create({"a": {"b": 1}, "c": None, "d": "???", "e": "${a.b}"})
    inner = node._get_node("a")
    assert isinstance(inner, DictConfig)
    assert set(vars(node)["_content"]) == {"a", "c", "d", "e"}
    assert inner._get_root() is node
    assert inner._metadata.ref_type is not None
    states = {key: node._get_node(key) for key in node}
    assert [key for key, one in states.items() if one._is_none()] == ["c"]
    assert [key for key, one in states.items() if one._is_missing()] == ["d"]
    assert [key for key, one in states.items() if one._is_interpolation()] == ["e"]
    assert states["e"]._value() == "${a.b}"


def test_the_loader_keeps_the_configurations_that_it_composed_from_last() -> None:
    register_domains()
    store(Config)
    loader = ConfigLoaderImpl(search_path(REPOSITORY / "conf"))
    composer = Composer(search_path(REPOSITORY / "conf"))
    assert loader._active_repository is None
    composer.compose("config", [], RunMode.RUN)
    assert isinstance(composer.loader._active_repository, CachingConfigRepository)
    assert composer.last_repository.has_config("config_schema")


def test_a_flag_of_a_node_is_set_and_taken_away() -> None:
    node = OmegaConf.create({"a": 1, "defaults": []})
    node._set_flag("HYDRA_REMOVE_TOP_LEVEL_DEFAULTS", True)
    assert node._get_flag("HYDRA_REMOVE_TOP_LEVEL_DEFAULTS")
    drop_defaults_list(node)
    assert node == {"a": 1}
    assert not node._get_flag("HYDRA_REMOVE_TOP_LEVEL_DEFAULTS")


def test_a_node_that_is_made_without_copies_is_the_one_that_omegaconf_makes() -> None:
    made, usual = structured(Config), OmegaConf.structured(Config)
    assert made._get_parent() is None
    assert not made._get_flag("no_deepcopy_set_nodes")
    assert OmegaConf.to_yaml(made) == OmegaConf.to_yaml(usual)
    assert _declarations(made) == _declarations(usual)
    assert made.training is not structured(Config).training


def _declarations(node: Any) -> dict[str, Any]:
    """Kind and declared types of every node below one, by key."""
    content = vars(node)["_content"] if isinstance(node, DictConfig) else None
    found: dict[str, Any] = {"": (type(node), node._metadata.ref_type, node._metadata.object_type)}
    for name, below in content.items() if isinstance(content, dict) else ():
        assert below._get_parent() is node
        found |= {f"{name}.{key}": what for key, what in _declarations(below).items()}
    return found


@pytest.mark.parametrize(
    "value", ["1e-3", "???", "\\???", "${a}", "yes", "a\nb", "≥", None, 1.5, []]
)
def test_plain_values_are_written_as_omegaconf_writes_them(value: Any) -> None:
    plain = {"a": value, "b": [{"c": value}]}
    assert dump_yaml(plain_values(plain)) == OmegaConf.to_yaml(OmegaConf.create(plain))
