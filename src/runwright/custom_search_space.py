"""Functions that suggest more values for a trial, chosen by name in a configuration.

    from runwright import search_space

    @search_space("decay_below_lr")
    def decay(config: DictConfig, trial: optuna.Trial) -> None:
        largest = trial.params["opt.lr"] / 10
        trial.suggest_float("opt.weight_decay", largest / 2, largest)

A configuration chooses among the registered functions, so it cannot execute any other.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from runwright.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import optuna
    from omegaconf import DictConfig

Extend: TypeAlias = Callable[["DictConfig", "optuna.Trial"], None]
ExtendT = TypeVar("ExtendT", bound=Extend)

_REGISTERED: Final[dict[str, Extend]] = {}


def search_space(name: str) -> Callable[[ExtendT], ExtendT]:
    """Register a function(config, trial) as `hydra.sweeper.custom_search_space=name`.

    Raises:
        TypeError: another function has this name.
    """

    def register(function: ExtendT) -> ExtendT:
        other = _REGISTERED.get(name, function)
        # The same function may be registered again: a notebook cell run twice, an imported script.
        if _place(other) != _place(function):
            raise TypeError(
                f"custom_search_space={name} is already {_place(other)}. "
                f"Choose another name for {_place(function)}."
            )
        _REGISTERED[name] = function
        return function

    return register


def registered(name: str | None) -> Extend | None:
    """The function that `hydra.sweeper.custom_search_space` names.

    Raises:
        UserError: none is registered under that name.
    """
    if name is None:
        return None
    if name not in _REGISTERED:
        way = (
            f'Write @search_space("{name.rpartition(".")[2]}") above the function, in main.py or '
            "in a module passed to app.main(factories=[…])."
        )
        raise UserError(
            f"hydra.sweeper.custom_search_space={name}: no function is registered under that name. "
            f"{did_you_mean(name, _REGISTERED) or 'None is.'} {way}"
        )
    return _REGISTERED[name]


def _place(function: Extend) -> str:
    return f"{getattr(function, '__qualname__', function)} in {inspect.getsourcefile(function)}"
