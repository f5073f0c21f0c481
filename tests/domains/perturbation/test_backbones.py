"""The backbones: transformers over a set that compute what the original blocks compute."""

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from runwright import compose
from runwright.domains.perturbation import gpt2_blocks, llama_blocks
from runwright.domains.perturbation.backbone import BackboneFactory
from runwright.domains.perturbation.gpt2 import GPT2Backbone
from runwright.domains.perturbation.llama import LlamaBackbone
from runwright.errors import ConfigError

H = 24
BACKBONES = [
    LlamaBackbone(num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4),
    LlamaBackbone(num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=5),
    GPT2Backbone(n_layer=2, n_head=4),
]


def built(factory: BackboneFactory, hidden_dim: int = H) -> nn.Module:
    torch.manual_seed(0)
    return factory.build(hidden_dim).double().eval()


def tokens(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("factory", BACKBONES, ids=str)
def test_permuted_cells_give_permuted_outputs(factory: BackboneFactory) -> None:
    backbone, cells = built(factory), tokens(2, 9, H)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(backbone(cells[:, order], None), backbone(cells, None)[:, order])
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    permuted = backbone(cells[:, order], mask[:, order])
    torch.testing.assert_close(permuted, backbone(cells, mask)[:, order])


@pytest.mark.parametrize("factory", BACKBONES, ids=str)
def test_every_cell_sees_every_other(factory: BackboneFactory) -> None:
    backbone, cells = built(factory), tokens(1, 5, H).requires_grad_()
    output = backbone(cells, None)
    for cell in range(5):
        (seen,) = torch.autograd.grad(output[0, cell, 0], cells, retain_graph=True)
        assert (seen.abs().amax(-1) > 1e-9).all()


@pytest.mark.parametrize("factory", BACKBONES, ids=str)
def test_no_cell_sees_the_padding(factory: BackboneFactory) -> None:
    backbone, cells = built(factory), tokens(1, 5, H)
    padded = torch.cat([cells, 1e6 * tokens(1, 3, H)], dim=1)
    mask = torch.arange(8)[None] < 5
    torch.testing.assert_close(backbone(padded, mask)[:, :5], backbone(cells, None))


@pytest.mark.parametrize(
    "factory",
    [
        LlamaBackbone(num_hidden_layers=1, attention_dropout=0.5),
        LlamaBackbone(num_hidden_layers=1, hidden_dropout=0.5),
        GPT2Backbone(n_layer=1, attn_pdrop=0.5),
        GPT2Backbone(n_layer=1, resid_pdrop=0.5),
        GPT2Backbone(n_layer=1, embd_pdrop=0.5),
    ],
    ids=str,
)
def test_each_dropout_drops_in_training_only(factory: BackboneFactory) -> None:
    backbone, cells = built(factory), tokens(1, 6, H)
    same = backbone(cells, None)
    torch.testing.assert_close(same, backbone(cells, None))
    backbone.train()
    assert not torch.allclose(backbone(cells, None), same)


@pytest.mark.parametrize(
    ("num_key_value_heads", "head_dim"), [(4, None), (2, None), (1, 10)], ids=str
)
def test_llama_computes_what_transformers_computes(
    num_key_value_heads: int, head_dim: int | None
) -> None:
    transformers = importlib.import_module("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=1,
        hidden_size=H,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=num_key_value_heads,
        rms_norm_eps=1e-6,
        **({} if head_dim is None else {"head_dim": head_dim}),
    )
    theirs: Any = shaken(transformers.LlamaModel(config).eval())
    ours = LlamaBackbone(
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=num_key_value_heads,
        head_dim=head_dim,
        intermediate_size=40,
    ).build(H)
    ours.load_state_dict(llama_blocks.from_hugging_face(theirs.state_dict()))
    cells, mask = tokens(2, 7, H).float(), torch.arange(7) < torch.tensor([[7], [5]])
    # All cells have position 0, so that the rotation of all queries and keys is the same.
    places = torch.zeros(2, 7, dtype=torch.int64)
    for given, visible in ((None, torch.ones(2, 7, dtype=torch.bool)), (mask, mask)):
        expected = theirs(
            inputs_embeds=cells,
            attention_mask=four_dimensional(visible),
            position_ids=places,
            use_cache=False,
        ).last_hidden_state
        found = ours(cells, given)
        torch.testing.assert_close(found[visible], expected[visible], rtol=0, atol=1e-5)


def test_gpt2_computes_what_transformers_computes() -> None:
    transformers = importlib.import_module("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=1, n_positions=7, n_embd=H, n_layer=3, n_head=4, attn_implementation="eager"
    )
    theirs: Any = shaken(transformers.GPT2Model(config).eval())
    nn.init.zeros_(theirs.wpe.weight)
    for block in theirs.h:
        block.attn.is_causal = False
        if hasattr(block.attn, "bias"):
            block.attn.bias.fill_(True)
    ours = GPT2Backbone(n_layer=3, n_head=4).build(H)
    ours.load_state_dict(gpt2_blocks.from_hugging_face(theirs.state_dict()))
    cells, mask = tokens(2, 7, H).float(), torch.arange(7) < torch.tensor([[7], [5]])
    for given, visible in ((None, torch.ones(2, 7, dtype=torch.bool)), (mask, mask)):
        expected = theirs(
            inputs_embeds=cells, attention_mask=four_dimensional(visible), use_cache=False
        ).last_hidden_state
        found = ours(cells, given)
        torch.testing.assert_close(found[visible], expected[visible], rtol=0, atol=1e-5)


def shaken(model: nn.Module) -> nn.Module:
    """The model with weights, biases and norms that are all different from those it begins with."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, mean=0.1, std=0.3)
    return model


def four_dimensional(visible: Tensor) -> Tensor:
    """A mask that transformers takes as it is: 0 where a cell is seen, else the lowest number."""
    size = visible.shape[1]
    mask = torch.zeros(len(visible), 1, size, size)
    return mask.masked_fill(~visible[:, None, None], torch.finfo(mask.dtype).min)


@pytest.mark.parametrize("factory", BACKBONES, ids=str)
def test_a_backbone_is_one_graph_and_builds_without_memory(factory: BackboneFactory) -> None:
    backbone, cells = built(factory), tokens(2, 4, H)
    compiled = torch.compile(backbone, fullgraph=True, backend="eager")
    mask = torch.arange(4) < torch.tensor([[4], [2]])
    torch.testing.assert_close(compiled(cells, mask), backbone(cells, mask))
    with torch.device("meta"):
        on_meta = factory.build(H)
    assert {parameter.device.type for parameter in on_meta.parameters()} == {"meta"}
    assert on_meta(tokens(2, 4, H).to("meta").float(), None).shape == (2, 4, H)


@pytest.mark.parametrize("factory", BACKBONES, ids=str)
def test_the_layers_are_blocks_that_can_be_sharded(factory: BackboneFactory) -> None:
    layers = built(factory).get_submodule("layers")
    assert isinstance(layers, nn.ModuleList)
    assert len(layers) == 2


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["model=pertsets", "model.hidden_dim=100"],
            "model.hidden_dim=100 must be a multiple of model.backbone.n_head=8",
        ),
        (
            ["model=state_sm", "model.hidden_dim=100"],
            "model.hidden_dim=100 must be a multiple of model.backbone.num_attention_heads=8",
        ),
        (
            ["model=state_sm", "model.backbone.num_key_value_heads=3"],
            "num_attention_heads=8 must be a multiple of model.backbone.num_key_value_heads=3",
        ),
        (
            ["model=state_sm", "model.backbone.attention_dropout=1"],
            "model.backbone.attention_dropout must be ≥ 0, < 1, got 1.0",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_the_full_keys(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert said in str(caught.value)
