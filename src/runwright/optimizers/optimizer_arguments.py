"""What is wrong with the extra arguments of an optimiser, found before training starts.

torch checks some of them when the optimiser is made, others in its first step, and some (dampening
without momentum) never. So their types are compared with those that the optimiser declares, and
two steps are taken on small parameters.
"""

import inspect
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from runwright import hints
from runwright.plain import plain_values, shown

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer

Given: TypeAlias = Mapping[str, Any]
Make: TypeAlias = "Callable[[list[torch.Tensor], Given], Optimizer]"
"""Makes the optimiser for some parameters with these extra arguments."""

_KEY: Final = "opt.optimizer_kwargs"
_WORDS: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    types.NoneType: "null",
}


def mistyped(cls: "type[Optimizer]", given: Given) -> Iterator[str]:
    """Arguments of another type than the optimiser declares, a sentence each."""
    declared = typing.get_type_hints(cls.__init__)
    for name, value in given.items():
        hint = declared.get(name, Any)
        if not _fits(value, hint):
            yield f"{_KEY}.{name} must be {_demand(hint)}, got {shown(value)}. {_usual(cls, name)}"


def failing(
    cls: "type[Optimizer]", given: Given, make: Make, device: "torch.device"
) -> Iterator[str]:
    """Arguments that fail when the optimiser is made or in its first steps, a sentence each.

    Args:
        cls: the optimiser.
        given: its extra arguments.
        make: makes it with them, or with some of them.
        device: where the parameters will be.
    """

    def problem(some: Given) -> str | None:
        return _problem_of_steps(lambda parameters: make(parameters, some), ndims, device)

    if not given:  # torch takes its own defaults, and a step imports what takes seconds
        return
    ndims = (2, 1)
    if problem({}) is not None:  # Muon takes matrices only
        ndims = (2,)
    whole = problem(given)
    if whole is None or problem({}) is not None:
        return
    if together := [name for name in given if problem(_without(given, name)) is None]:
        yield _refusal(cls, {name: given[name] for name in together}, whole)
        return
    for name, value in given.items():  # several are wrong, each by itself
        if (text := problem({name: value})) is not None:
            yield _refusal(cls, {name: value}, text)


def _problem_of_steps(
    make: "Callable[[list[torch.Tensor]], Optimizer]",
    ndims: tuple[int, ...],
    device: "torch.device",
) -> str | None:
    """The error of two steps on parameters with these numbers of dimensions, if any."""
    import torch

    parameters = [torch.ones((2,) * ndim, device=device, requires_grad=True) for ndim in ndims]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the training repeats them
            optimizer = make(parameters)
            for _ in range(2):
                for parameter in parameters:
                    parameter.grad = torch.full_like(parameter, 0.5)
                optimizer.step()
    except Exception as error:  # noqa: BLE001  # whatever a wrong value causes in torch
        return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
    if not all(bool(parameter.isfinite().all()) for parameter in parameters):
        return "a step makes the parameters infinite or NaN"
    return None


def _without(given: Given, name: str) -> Given:
    return {other: value for other, value in given.items() if other != name}


def _fits(value: object, hint: Any) -> bool:
    """As `hints.fits`, and a tuple has the length that it is declared with."""
    kinds = hints.alternatives(hint)
    if len(kinds) > 1:
        return any(_fits(value, kind) for kind in kinds)
    members = typing.get_args(hint)
    if typing.get_origin(hint) is not tuple or ... in members:
        return hints.fits(value, hint)
    if not isinstance(value, list | tuple):
        return False
    values = cast("list[object]", value)
    return len(values) == len(members) and all(map(_fits, values, members))


def _demand(hint: Any) -> str:
    """What a type allows, in words for a YAML value."""
    members = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        demands = [_demand(member) for member in members]
        if set(demands) == {"a number"}:
            return f"a list of {len(members)} numbers"
        return f"a list of {len(members)}: {', '.join(demands)}"
    kinds = hints.alternatives(hint)
    words = [word for kind, word in _WORDS.items() if kind in kinds]  # no tensors in YAML
    return " or ".join(words) or hints.written(hint)


def _refusal(cls: "type[Optimizer]", given: Given, why: str) -> str:
    texts = {name: _written(value) for name, value in given.items()}
    if len(texts) == 1:
        ((name, text),) = texts.items()
        said = f"{_KEY}.{name}={text}"
    else:
        listed = ", ".join(f"{name}: {text}" for name, text in texts.items())
        said = f"{_KEY}={{{listed}}}"
    usual = " ".join(_usual(cls, name) for name in given)
    return f"{said}: torch.optim.{cls.__name__} does not accept it ({why}). {usual}"


def _usual(cls: "type[Optimizer]", name: str) -> str:
    usual = inspect.signature(cls).parameters[name].default
    return f"The default of {name} is {_written(usual)}."


def _written(value: Any) -> str:
    """A value as it is typed: [0.9, 0.999], null, true."""
    import yaml

    text = yaml.safe_dump([plain_values(value)], default_flow_style=True, width=1e9)
    return text.strip().removeprefix("[").removesuffix("]")
