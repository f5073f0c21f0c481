"""From the command line and the YAML files to a checked, frozen `Config`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runwright.errors import ConfigError, UserError

if TYPE_CHECKING:
    from runwright.config import Config

CONFIG_NAME: Final = "config"

_NO_CONF: Final = (
    "(There is no conf/{name}.yaml here or in a folder above to name the usual choices; "
    "compose(conf=…) takes another folder.)"
)
_HYDRAS: Final = re.compile(r"[+~]*hydra(?![A-Za-z0-9_])")


def compose(
    overrides: Sequence[str] = (),
    *,
    conf: Path | str | None = None,
    config_name: str = CONFIG_NAME,
    config: "type[Config] | None" = None,
) -> "Config":
    """Compose a configuration as the command line does.

    Args:
        overrides: what would be on the command line, e.g. `["model=cnn", "seed=1"]`.
        conf: the folder of YAML files; by default the `conf/` with the primary configuration in
            the working directory or the nearest above it, if there is one.
        config_name: the primary configuration, without `.yaml`.
        config: the class of the configuration, `Config` by default.

    Raises:
        ConfigError: with everything that is wrong.
        UserError: an argument is not what `compose` takes.
    """
    if isinstance(overrides, str):
        raise UserError(
            f"compose takes a list of overrides, not one string: compose({overrides.split()!r})."
        )
    wrong = [one for one in overrides if not isinstance(one, str)]  # pyright: ignore[reportUnnecessaryIsInstance]  # Python does not check it
    if wrong:
        raise UserError(f"compose takes strings such as 'model=cnn', got {wrong[0]!r}.")
    for one in overrides:
        if _HYDRAS.match(one):
            raise UserError(
                f"{one}: Hydra's own options have no effect here; pass a run_dir to .run()."
            )
    from hydra.types import RunMode

    from runwright.compose import schema
    from runwright.compose._hydra import search_path
    from runwright.compose.convert import without_hydra
    from runwright.compose.loader import StrictConfigLoader
    from runwright.compose.of_run import recorded_config
    from runwright.compose.overrides import as_meant
    from runwright.config import Config
    from runwright.domains import register_domains
    from runwright.plain import given_path

    register_domains()
    schema.store(config or Config)
    folder = nearest_conf(config_name) if conf is None else given_path(conf, "compose").resolve()
    is_open = conf is None and config_name == CONFIG_NAME
    record = recorded_config(overrides) if is_open else None
    if record is not None:
        config_name = schema.store_record(record)
    if folder is not None and not folder.is_dir():
        raise UserError(f"conf={conf}: there is no such folder.")
    loader = StrictConfigLoader(search_path(folder))
    written_out = [as_meant(one) for one in overrides]
    try:
        composed = loader.load_configuration(
            config_name, written_out, RunMode.RUN, from_shell=False
        )
    except ConfigError as error:
        lacks_choices = any(" must be chosen" in text for text in error.problems)
        names_usual = record is not None or not (lacks_choices or config_name != CONFIG_NAME)
        if folder is not None or names_usual:
            raise
        *others, last = error.problems
        said = f"{last}\n{_NO_CONF.format(name=config_name)}"
        raise ConfigError([*others, said]) from None
    return loader.take_config(composed.hydra.overrides.task, without_hydra(composed))


def nearest_conf(config_name: str = CONFIG_NAME) -> Path | None:
    """The `conf/` with this primary configuration, in the working directory or above it."""
    here = Path.cwd()
    candidates = (folder / "conf" for folder in (here, *here.parents))
    return next((conf for conf in candidates if (conf / f"{config_name}.yaml").is_file()), None)
