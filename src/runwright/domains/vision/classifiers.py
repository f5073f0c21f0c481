"""Torchvision's classifiers, fitted to Dims."""

import copy
from typing import Any, Final, cast

import torch
from torch import nn
from torchvision import models

from runwright import UserError, did_you_mean
from runwright.domains.vision.dims import ImageDims

# They are trained with a second output, which no loss here accepts.
_WITH_AUXILIARY_HEADS: Final = ("googlenet", "inception_v3")


def build_classifier(name: str, weights: str | None, dims: ImageDims) -> nn.Module:
    """Build one of torchvision's classifiers for these Dims.

    The last layer has `num_classes` outputs, and the first takes `channels` inputs; with
    pretrained weights these layers are new when their shapes differ from the pretrained ones.

    Raises:
        UserError: the network cannot take images of this shape, or the weights cannot be loaded.
    """
    try:
        if weights is None:
            model = _untrained(name, dims.num_classes, image_size=dims.height)
        else:
            model = _pretrained(name, weights)
            _replace_last_linear(model, dims.num_classes)
    except KeyError as error:
        known = models.get_model_weights(name).__members__
        raise UserError(
            f"model.weights={weights}: torchvision has no such weights of {name}. "
            + did_you_mean(str(weights), known)
        ) from error
    except OSError as error:
        raise UserError(f"model.weights={weights} of {name} cannot be loaded: {error}") from error
    except (ValueError, AssertionError) as error:
        raise _cannot_take(name, dims, error) from error
    if dims.channels != 3:
        _replace_first_conv(model, dims.channels)
    _try_shape(name, model, dims)
    return channels_last(model)


def channels_last(model: nn.Module) -> nn.Module:
    """The same network with kernels laid out (O, H, W, I), in which wide convolutions are faster.

    https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html
    """
    return cast("Any", model).to(memory_format=torch.channels_last)


def _untrained(name: str, num_classes: int, *, image_size: int) -> nn.Module:
    arguments: dict[str, Any] = {"num_classes": num_classes}
    # Some accept these only through **kwargs of the class that they build.
    if name.startswith("vit_"):
        arguments["image_size"] = image_size
    if name in _WITH_AUXILIARY_HEADS:
        arguments |= {"aux_logits": False, "init_weights": True}
    return models.get_model(name, **arguments)


def _pretrained(name: str, weights: str) -> nn.Module:
    chosen: Any = cast("Any", models.get_model_weights(name)).verify(weights)
    if torch.empty(0).is_meta:
        # Only the shapes are needed: do not download weights or read them into meta tensors.
        about = chosen.meta
        return _untrained(name, len(about["categories"]), image_size=about["min_size"][0])
    model: Any = models.get_model(name, weights=chosen)
    if name == "inception_v3":
        model.aux_logits, model.AuxLogits = False, None
    return model


def _replace_first_conv(model: nn.Module, channels: int) -> None:
    modules = _modules(model)
    name, first = next((n, m) for n, m in modules if isinstance(m, nn.Conv2d))
    old = cast("Any", first)  # torch declares its sizes as tuples of any length, but accepts pairs
    new = nn.Conv2d(
        channels,
        old.out_channels,
        kernel_size=old.kernel_size,
        stride=old.stride,
        padding=old.padding,
        bias=old.bias is not None,
    )
    model.set_submodule(name, new)


def _replace_last_linear(model: nn.Module, num_classes: int) -> None:
    modules = _modules(model)
    name, old = [(n, m) for n, m in modules if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    new: nn.Module
    if isinstance(old, nn.Linear):
        new = nn.Linear(old.in_features, num_classes)
    else:  # SqueezeNet ends in a convolution
        new = nn.Conv2d(old.in_channels, num_classes, kernel_size=1)
    model.set_submodule(name, new)


def _modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return list(cast("Any", model).named_modules())


def _try_shape(name: str, model: nn.Module, dims: ImageDims) -> None:
    """Pass two imaginary images, to report a clash of sizes before any data are read."""
    shape = (2, dims.channels, dims.height, dims.width)
    imaginary = copy.deepcopy(model).to("meta").eval()
    try:
        imaginary(torch.empty(shape, device="meta"))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise _cannot_take(name, dims, error) from error


def _cannot_take(name: str, dims: ImageDims, error: Exception) -> UserError:
    reason = str(error).splitlines()[0].rstrip(".! ")
    return UserError(
        f"model.name={name} cannot take images of {dims.height}×{dims.width} pixels: {reason}. "
        "Use images of another size (dm.default_res), usually larger ones, or another model."
    )
