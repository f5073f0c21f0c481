"""Which parameters are decayed, and how fast each block learns."""

from typing import Any

import pytest
from torch import nn
from torchvision.models import VisionTransformer

from runwright import ConfigError, TorchOptimizer, UserError


class Encoder(nn.Module):
    """A stem, a stack of blocks and a head, with a position embedding of the model itself."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(nn.Linear(4, 3).weight.detach())
        self.stem = nn.Linear(4, 4)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.GELU()) for _ in range(3)])
        self.head = nn.Linear(4, 2)


class Naming(Encoder):
    """Names what is not decayed, and a block of it too."""

    no_weight_decay = ("position", "token")

    def __init__(self) -> None:
        super().__init__()
        block: Any = self.blocks[1]
        block.no_weight_decay = lambda: {"re:^0"}


def rates(model: nn.Module, **options: Any) -> dict[str, tuple[float, float]]:
    """The learning rate and the weight decay of every parameter."""
    groups = TorchOptimizer(lr=1.0, **options).build(model).param_groups
    of = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    return {name: of[id(p)] for name, p in model.named_parameters() if id(p) in of}


def undecayed(model: nn.Module, **options: Any) -> set[str]:
    return {n for n, (_, decay) in rates(model, weight_decay=0.1, **options).items() if not decay}


BIASES = {f"{place}.bias" for place in ("stem", "blocks.0.0", "blocks.1.0", "blocks.2.0", "head")}


def test_parameters_are_not_decayed_by_name() -> None:
    assert undecayed(Encoder()) == BIASES
    assert undecayed(Encoder(), no_decay=["pos", "re:^stem"]) == {
        *BIASES,
        "position",
        "stem.weight",
    }
    assert undecayed(Encoder(), no_decay=["head"], decay_bias_and_norm=True) == {
        "head.weight",
        "head.bias",
    }


def test_a_model_says_itself_what_is_not_decayed() -> None:
    assert undecayed(Naming()) == {*BIASES, "position", "blocks.1.0.weight"}


def test_a_pattern_that_names_nothing_is_an_error() -> None:
    options = TorchOptimizer(weight_decay=0.1, no_decay=["postion", "head", "blok"])
    with pytest.raises(ConfigError) as caught:
        options.build(Encoder())
    first, second = caught.value.problems
    assert first.startswith("opt.no_decay: 'postion' matches no parameter of the model. Did you")
    assert "'position'" in first
    assert "'blok'" in second
    with pytest.raises(UserError, match="is not a valid regular expression"):
        TorchOptimizer(no_decay=["re:("])


def test_each_block_learns_slower_than_the_next() -> None:
    found = {name: lr for name, (lr, _) in rates(Encoder(), layer_decay=0.5).items()}
    assert {name: lr for name, lr in found.items() if not name.endswith("bias")} == {
        "position": 0.5**5,
        "stem.weight": 0.5**4,
        "blocks.0.0.weight": 0.5**3,
        "blocks.1.0.weight": 0.5**2,
        "blocks.2.0.weight": 0.5,
        "head.weight": 1.0,
    }
    assert found["stem.bias"] == found["stem.weight"]


def test_the_blocks_of_a_vision_transformer_are_its_layers() -> None:
    model = VisionTransformer(8, 4, num_layers=2, num_heads=1, hidden_dim=4, mlp_dim=8)
    lrs = rates(model, layer_decay=0.5, weight_decay=0.1)
    order = list(dict.fromkeys(lr for lr, _ in sorted(lrs.values())))
    places = {name: order.index(lr) for name, (lr, _) in lrs.items()}
    first, second = (f"encoder.layers.encoder_layer_{n}.mlp.0.weight" for n in (0, 1))
    assert places["encoder.pos_embedding"] < places[first] < places[second]
    assert places[second] < places["encoder.ln.weight"] < places["heads.head.weight"]


def test_a_model_says_itself_how_deep_a_parameter_is() -> None:
    class Told(Encoder):
        def layer_of(self, name: str) -> int:
            return 1 if name.startswith("head") else 0

    found = {lr for name, (lr, _) in rates(Told(), layer_decay=0.1).items() if "head" not in name}
    assert found == {0.1}

    class Wrong(Encoder):
        def layer_of(self, name: str) -> str:
            return name

    with pytest.raises(
        UserError, match=r"layer_of\('position'\) must return an integer ≥ 0, got 'pos"
    ):
        rates(Wrong(), layer_decay=0.1)


def test_a_model_of_one_block_has_no_depths() -> None:
    with pytest.raises(UserError, match=r"opt.layer_decay=0.5: all parameters .* layer_of\(name\)"):
        rates(nn.Linear(2, 2), layer_decay=0.5)


def test_what_is_frozen_has_no_place_in_the_optimiser() -> None:
    model = Encoder()
    model.blocks.requires_grad_(requires_grad=False)
    found = rates(model, layer_decay=0.5, weight_decay=0.1, no_decay=["blocks.0"])
    assert not [name for name in found if name.startswith("blocks")]
    assert found["stem.weight"][0] == 0.5**4  # as deep as before


def test_the_learning_rate_of_named_parameters_is_scaled() -> None:
    found = rates(Encoder(), weight_decay=0.1, lr_scale={"bias": 64.0, "re:^head.w": 0.5})
    assert {name for name, (lr, _) in found.items() if lr == 64} == BIASES
    assert {name for name, (lr, _) in found.items() if lr == 0.5} == {"head.weight"}
    assert found["head.weight"] == (0.5, 0.1)
    layered = rates(Encoder(), layer_decay=0.5, lr_scale={"head": 10.0})
    plain = rates(Encoder(), layer_decay=0.5)
    assert {n: 10 * lr if "head" in n else lr for n, (lr, _) in plain.items()} == {
        name: lr for name, (lr, _) in layered.items()
    }


def test_scales_that_name_nothing_or_disagree_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"opt\.lr_scale: 'baises' matches no parameter"):
        rates(Encoder(), lr_scale={"baises": 2.0})
    with pytest.raises(UserError, match=r"'bias' and 'head' both name head\.bias, with 2 and 3"):
        rates(Encoder(), lr_scale={"bias": 2.0, "head": 3.0})
    assert rates(Encoder(), lr_scale={"bias": 2.0, "head.b": 2.0})["head.bias"][0] == 2
