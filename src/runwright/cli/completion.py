"""Tab completion: what Hydra's plugins for the shells offer."""

from typing import Any, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from runwright.compose.explanation import values_to_choose


class CompletionLoader(ConfigLoaderImpl):
    """Composes what has been typed so far, with values as they are typed.

    It is not strict, as what is typed so far may be incomplete.
    """

    @override
    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """The members of a group; of an option that is one of a few values, these.

        Hydra asks for what stands before a "=", and by itself offers the present value only.
        """
        members = super().get_group_options(group_name, results_filter, config_name, overrides)
        if members or not group_name or results_filter is not ObjectType.CONFIG:
            return members
        composed = super().load_configuration(config_name, overrides or [], RunMode.RUN)
        return values_to_choose(group_name.lstrip("+"), composed)

    @override
    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        composed = super().load_configuration(*args, **kwargs)
        # GELU is typed where Hydra would offer Activation.GELU.
        plain = OmegaConf.to_container(composed, resolve=False, enum_to_str=True)
        return OmegaConf.create(cast("dict[str, Any]", plain))
