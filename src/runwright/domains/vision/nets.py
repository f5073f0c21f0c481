"""The networks for images."""

from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import nn

from runwright.domains.vision.dims import ImageDims
from runwright.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from runwright.domains.vision.choices import (
        Activation,
        FcnFactory,
        NormType,
        ResNetFactory,
        SimpleCNNFactory,
    )

_ACTIVATIONS: Final[dict[str, type[nn.Module]]] = {
    "RELU": nn.ReLU,
    "GELU": nn.GELU,
    "SELU": nn.SELU,
    "SILU": nn.SiLU,
    "ELU": nn.ELU,
    "TANH": nn.Tanh,
}
_NORMS: Final[dict[str, type[nn.Module]]] = {"LN": nn.LayerNorm, "BN": nn.BatchNorm1d}

# What a hidden layer "as wide as the input" may have; images of 224 pixels would make 22 billion.
_MOST_WEIGHTS: Final = 10_000_000


def activation(kind: "Activation") -> nn.Module:
    """The nonlinearity of that name."""
    return _ACTIVATIONS[kind.name]()


def _norm(kind: "NormType", width: int) -> nn.Module:
    return _NORMS[kind.name](width)


def fcn(options: "FcnFactory", dims: ImageDims) -> nn.Sequential:
    """Flatten, `num_hidden` blocks of (linear, normalisation, activation, dropout), linear."""
    in_features = dims.channels * dims.height * dims.width
    hidden = options.hidden_dim or min(in_features, max(1, _MOST_WEIGHTS // in_features))
    layers: list[nn.Module] = [nn.Flatten()]
    if options.input_norm and options.norm is not None:
        layers.append(_norm(options.norm, in_features))
    width = in_features
    for _ in range(options.num_hidden):
        block: list[nn.Module] = [nn.Linear(width, hidden)]
        if options.norm is not None:
            block.append(_norm(options.norm, hidden))
        block.append(activation(options.activation))
        if options.dropout_prob:
            block.append(nn.Dropout(options.dropout_prob))
        layers.append(nn.Sequential(*block))
        width = hidden
    layers.append(nn.Linear(width, dims.num_classes, bias=options.final_bias))
    return nn.Sequential(*layers)


def simple_cnn(options: "SimpleCNNFactory", dims: ImageDims) -> nn.Module:
    """Two blocks of (convolution, activation, max-pooling), then linear layers of 120 and 84.

    The proportions are those of LeNet-5 (LeCun et al. 1998), for every shape of the image.

    Raises:
        UserError: the convolutions or poolings leave no pixel.
    """
    layers: list[nn.Module] = []
    sizes = [f"input {dims.height}×{dims.width}"]
    height, width, channels = dims.height, dims.width, dims.channels
    for block, out_channels in enumerate((6, 16), start=1):
        height, width = (side - options.kernel_size + 1 for side in (height, width))
        sizes.append(f"convolution {block} → {height}×{width}")
        if min(height, width) >= 1:
            height, width = ((side - 2) // options.pool_stride + 1 for side in (height, width))
            sizes.append(f"pooling {block} → {height}×{width}")
        if min(height, width) < 1:
            raise UserError(
                f"model.kernel_size={options.kernel_size} and model.pool_stride="
                f"{options.pool_stride} leave no pixels: {', '.join(sizes)}. Use a smaller kernel "
                "or stride, or larger images (dm.default_res)."
            )
        layers += [
            nn.Conv2d(channels, out_channels, options.kernel_size),
            activation(options.activation),
            nn.MaxPool2d(2, stride=options.pool_stride),
        ]
        channels = out_channels
    layers.append(nn.Flatten())
    in_features = channels * height * width
    for out_features in (120, 84):
        layers += [nn.Linear(in_features, out_features), activation(options.activation)]
        in_features = out_features
    layers.append(nn.Linear(in_features, dims.num_classes))
    # Not channels-last: with so few channels a step of training is slower so on a CPU; see
    # benchmarks/layout.py.
    return nn.Sequential(*layers)


def resnet(options: "ResNetFactory", dims: ImageDims) -> nn.Module:
    """Torchvision's residual network, with a first layer that suits the size of the image."""
    model: Any = torchvision_classifier(f"resnet{options.depth}", options.weights, dims)
    small = options.small_images
    if small or (small is None and min(dims.height, dims.width) < 64 and options.weights is None):
        # The stem of He et al. (2016) for CIFAR: it keeps the few pixels that there are.
        model.conv1 = nn.Conv2d(dims.channels, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    return _channels_last(model)


def torchvision_classifiers() -> list[str]:
    """The names of torchvision's image classifiers."""
    from torchvision import models

    return models.list_models(module=models)


def torchvision_classifier(name: str, weights: str | None, dims: ImageDims) -> nn.Module:
    """Build one of torchvision's classifiers for these Dims.

    The last layer has `num_classes` outputs, and the first takes `channels` inputs; with
    pretrained weights these layers are new when their shapes differ from the pretrained ones.

    Raises:
        UserError: the network cannot take images of this shape, or the weights cannot be had.
    """
    from torchvision import models

    builder: Any = models.get_model_builder(name)
    arguments: dict[str, Any] = {}
    # Some take these only through **kwargs of the class that they build.
    if name.startswith("vit_") and weights is None:
        arguments["image_size"] = dims.height
    if name in ("googlenet", "inception_v3"):
        arguments |= {"aux_logits": False, "init_weights": True}
    try:
        if weights is None:
            model: nn.Module = builder(num_classes=dims.num_classes, **arguments)
        else:
            model = builder(weights=weights)
            _replace_last_linear(model, dims.num_classes)
    except KeyError as error:
        known = models.get_model_weights(name).__members__
        raise UserError(
            f"model.weights={weights}: torchvision has no such weights of {name}. "
            + did_you_mean(str(weights), known)
        ) from error
    except OSError as error:
        raise UserError(f"model.weights={weights} of {name} cannot be had: {error}") from error
    except (ValueError, AssertionError) as error:
        raise _cannot_take(name, dims, error) from error
    if dims.channels != 3:
        _replace_first_conv(model, dims.channels)
    _try_shape(name, model, dims)
    return _channels_last(model)


def _replace_first_conv(model: nn.Module, channels: int) -> None:
    modules = _modules(model)
    name, first = next((n, m) for n, m in modules if isinstance(m, nn.Conv2d))
    old = cast("Any", first)  # torch declares its sizes as tuples of any length, and takes pairs
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


def _channels_last(model: nn.Module) -> nn.Module:
    """The same network with its kernels laid out (O, H, W, I): wide convolutions are faster so.

    https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html
    """
    return cast("Any", model).to(memory_format=torch.channels_last)


def _modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return list(cast("Any", model).named_modules())


def _try_shape(name: str, model: nn.Module, dims: ImageDims) -> None:
    """Let two imaginary images pass, to name the clash of sizes before any data are read."""
    import copy

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
