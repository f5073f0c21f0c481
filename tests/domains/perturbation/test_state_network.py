"""STATE's network: what each of its options does, and that the order of cells never matters."""

from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn

from runwright import UserError
from runwright.domains.perturbation.backbone import BackboneFactory
from runwright.domains.perturbation.batch import Prediction
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.gpt2 import GPT2Backbone
from runwright.domains.perturbation.llama import LlamaBackbone
from runwright.domains.perturbation.pertsets import (
    PertSetsFactory,
    StateFactory,
    StateSmallFactory,
)
from runwright.domains.perturbation.state_network import StateNetwork, build_mlp

GENES = PerturbationDims(features=17, perturbation_features=5, num_batches=3)
ALL = attrs.evolve(GENES, output_space="all")
EMBEDDING = attrs.evolve(GENES, output_space="embedding")
DECODED = attrs.evolve(GENES, decoded_genes=11)
SPACES = {"gene": GENES, "all": ALL, "embedding": EMBEDDING, "decoded": DECODED}

PERTSETS = PertSetsFactory()  # pyright: ignore[reportCallIssue]  # it knows no usual members
STATE_SM = StateSmallFactory()  # pyright: ignore[reportCallIssue]
LLAMA = LlamaBackbone(num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
GPT2 = GPT2Backbone(n_layer=1, n_head=2)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"predict_residual": False},
    {"use_basal_projection": True},
    {"batch_encoder": True},
    {"confidence_token": True},
    {"n_encoder_layers": 1, "n_decoder_layers": 1},
    {"n_encoder_layers": 3, "batch_encoder": True, "confidence_token": True},
]


def built(
    dims: PerturbationDims = GENES, backbone: BackboneFactory = LLAMA, **options: Any
) -> StateNetwork:
    """A small network in double precision, in evaluation mode."""
    torch.manual_seed(0)
    network = PertSetsFactory(hidden_dim=16, backbone=backbone, **options).build(dims)
    return network.double().eval()


def inputs(size: int = 6, count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Control cells (B, S, G), perturbations (B, P) and batches (B, S)."""
    generator = torch.Generator().manual_seed(1)
    basal = torch.rand(count, size, 17, generator=generator).double()
    perturbation = torch.randn(count, 5, generator=generator).double()
    return basal, perturbation, torch.randint(3, (count, size), generator=generator)


def given(prediction: Prediction) -> dict[str, Tensor]:
    """What is predicted, by name."""
    return {name: v for name, v in prediction._asdict().items() if v is not None}


@pytest.mark.parametrize(
    ("features", "perturbation_features", "space", "parameters"),
    [
        (2000, 5120, "gene", 37_752_944),
        (2000, 2024, "gene", 35_672_432),
        (18_080, 5120, "all", 141_122_484),
    ],
)
def test_state_sm_has_the_published_number_of_parameters(
    features: int, perturbation_features: int, space: Any, parameters: int
) -> None:
    dims = PerturbationDims(
        features=features, perturbation_features=perturbation_features, output_space=space
    )
    with torch.device("meta"):
        network = STATE_SM.build(dims)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == parameters
    layers: Any = network.backbone.layers
    assert [sum(p.numel() for p in layer.parameters()) for layer in layers] == [7_226_688] * 4


def test_the_two_sizes_have_their_backbones() -> None:
    assert StateSmallFactory(cell_set_len=128, hidden_dim=672, backbone=LlamaBackbone()) == STATE_SM
    assert PertSetsFactory(cell_set_len=512, hidden_dim=328, backbone=GPT2Backbone()) == PERTSETS


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("backbone", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_permuted_cells_give_permuted_predictions(
    options: dict[str, Any], backbone: BackboneFactory, space: str
) -> None:
    network = built(SPACES[space], backbone, **options)
    basal, perturbation, batch = inputs()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    plain = given(network(basal, perturbation, batch))
    permuted = given(network(basal[:, order], perturbation, batch[:, order]))
    expected = {n: v if n == "confidence" else v[:, order] for n, v in plain.items()}
    torch.testing.assert_close(permuted, expected)
    assert plain["cells"].shape == (2, 6, 17)
    assert ("genes" in plain) == (space == "decoded")
    assert ("confidence" in plain) == ("confidence_token" in options)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("backbone", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_padding_changes_nothing_for_the_real_cells(
    options: dict[str, Any], backbone: BackboneFactory, space: str
) -> None:
    network = built(SPACES[space], backbone, **options)
    basal, perturbation, batch = inputs()
    padded = torch.cat([basal, torch.full((2, 3, 17), torch.nan)], dim=1)
    batches = torch.cat([batch, batch[:, :3]], dim=1)
    mask = torch.arange(9).expand(2, 9) < 6
    found = given(network(padded, perturbation, batches, mask))
    found = {n: v if n == "confidence" else v[:, :6] for n, v in found.items()}
    torch.testing.assert_close(found, given(network(basal, perturbation, batch)))
    torch.cat([v.flatten() for v in found.values()]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_an_mlp_has_as_many_linear_layers_as_it_is_told(number: int) -> None:
    mlp = build_mlp(3, 8, 2, number)
    linear = [m for m in mlp.modules() if isinstance(m, nn.Linear)]
    widths = [(m.in_features, m.out_features) for m in linear]
    assert widths == list(zip([3, *[8] * (number - 1)], [*[8] * (number - 1), 2], strict=True))
    assert sum(isinstance(m, nn.GELU) for m in mlp.modules()) == number - 1
    dropouts = [m.p for m in mlp.modules() if isinstance(m, nn.Dropout)]
    assert dropouts == [0.1] * (number - 1)


def without_output(network: StateNetwork) -> StateNetwork:
    """The network with a projection that gives zero, so only the residual is left."""
    for parameter in network.project_out.parameters():
        nn.init.zeros_(parameter)
    return network


def test_the_residual_is_added_to_expression_where_all_genes_are_predicted() -> None:
    basal, perturbation, _ = inputs()
    network = without_output(built(ALL))
    assert network.bottleneck is not None
    expected = network.bottleneck(basal).relu()
    torch.testing.assert_close(network(basal, perturbation).cells, expected)
    plain = without_output(built(ALL, predict_residual=False))
    assert plain.bottleneck is not None
    expected = plain.bottleneck(torch.zeros_like(basal)).relu()
    torch.testing.assert_close(plain(basal, perturbation).cells, expected)


@pytest.mark.parametrize("dims", [GENES, EMBEDDING], ids=["gene", "embedding"])
def test_the_residual_is_added_to_the_tokens_elsewhere(dims: PerturbationDims) -> None:
    basal, perturbation, _ = inputs()
    network = built(dims)
    assert network.bottleneck is None
    network.backbone = Nothing()
    cells = network.project_out(network.basal_encoder(basal))
    expected = cells.relu() if dims is GENES else cells
    torch.testing.assert_close(network(basal, perturbation).cells, expected)
    network.predict_residual = False
    cells = network.project_out(torch.zeros(2, 6, 16).double())
    expected = cells.relu() if dims is GENES else cells
    torch.testing.assert_close(network(basal, perturbation).cells, expected)


class Nothing(nn.Module):
    """A backbone that gives zeros."""

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        return torch.zeros_like(tokens)


def test_only_expression_is_clipped_at_zero() -> None:
    basal, perturbation, _ = inputs()
    for space, dims in SPACES.items():
        prediction = built(dims)(basal, perturbation)
        is_clipped = bool((prediction.cells >= 0).all())
        assert is_clipped == (space in {"gene", "all"})
        if space == "decoded":
            assert prediction.genes is not None
            assert (prediction.genes >= 0).all()
            assert prediction.genes.shape == (2, 6, 11)


def test_the_encoder_of_cells_is_linear_unless_it_is_to_be_an_mlp() -> None:
    assert isinstance(built().basal_encoder, nn.Linear)
    assert isinstance(built(use_basal_projection=True).basal_encoder, nn.Sequential)
    assert (
        str(built(use_basal_projection=True, n_encoder_layers=3).basal_encoder).count("GELU") == 2
    )


def test_the_batch_encoder_tells_batches_apart_and_is_needed_for_it() -> None:
    basal, perturbation, batch = inputs()
    network = built(batch_encoder=True)
    one, other = (network(basal, perturbation, batch * 0 + number).cells for number in (0, 1))
    assert not torch.allclose(one, other)
    plain = built()
    one, other = (plain(basal, perturbation, batch * 0 + number).cells for number in (0, 1))
    torch.testing.assert_close(one, other)
    with pytest.raises(ValueError, match="needs the batch of each cell"):
        network(basal, perturbation)


def test_the_gene_decoder_has_the_widths_that_it_is_told() -> None:
    decoder = built(DECODED, decoder_hidden_dims=[7, 4]).gene_decoder
    assert decoder is not None
    assert [type(m).__name__ for m in decoder.children()] == [
        *("Linear", "LayerNorm", "GELU", "Dropout") * 2,
        *("Linear", "ReLU"),
    ]
    linear = [m for m in decoder.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(17, 7), (7, 4), (4, 11)]
    with torch.device("meta"):
        usual: Any = PERTSETS.build(DECODED).gene_decoder
    assert [m.out_features for m in usual if isinstance(m, nn.Linear)] == [1024, 1024, 512, 11]


@pytest.mark.parametrize("detach", [False, True])
def test_a_detached_decoder_trains_nothing_but_itself(detach: bool) -> None:
    basal, perturbation, _ = inputs()
    network = built(DECODED, detach_decoder=detach)
    network(basal, perturbation).genes.sum().backward()
    trained = {
        name.partition(".")[0] for name, p in network.named_parameters() if p.grad is not None
    }
    assert ("pert_encoder" in trained) is not detach
    assert "gene_decoder" in trained


def test_a_frozen_backbone_is_all_that_is_frozen() -> None:
    network = built(freeze_pert_backbone=True)
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {f"backbone.{name}" for name, _ in network.backbone.named_parameters()}


def test_the_confidence_is_one_number_a_set_and_depends_on_its_cells() -> None:
    basal, perturbation, _ = inputs()
    network = built(confidence_token=True)
    assert network.confidence is not None
    confidence = network(basal, perturbation).confidence
    assert confidence.shape == (2,)
    assert (network.train()(basal, perturbation).confidence < 0).any()
    assert (confidence >= 0).all()  # as every loss is
    nn.init.constant_(network.get_parameter("confidence.head.8.bias"), 5)
    confidence = network.eval()(basal, perturbation).confidence
    assert (network(basal * 2, perturbation).confidence != confidence).all()
    linear = [m for m in network.confidence.head if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(16, 8), (8, 4), (4, 1)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_network_is_one_graph(options: dict[str, Any]) -> None:
    network = built(DECODED, **options)
    basal, perturbation, batch = inputs()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(
        given(compiled(basal, perturbation, batch)), given(network(basal, perturbation, batch))
    )


@pytest.mark.parametrize("factory", [PERTSETS, STATE_SM], ids=["pertsets", "state_sm"])
@pytest.mark.parametrize("space", SPACES)
def test_a_network_builds_and_runs_without_memory(factory: StateFactory, space: str) -> None:
    with torch.device("meta"):
        network = factory.build(SPACES[space])
        cells = network(torch.rand(2, 6, 17), torch.rand(2, 5)).cells
    assert (cells.shape, cells.device.type) == ((2, 6, 17), "meta")


def test_options_of_a_decoder_that_does_not_exist_are_refused() -> None:
    factory = PertSetsFactory(backbone=LLAMA, decoder_hidden_dims=[8], detach_decoder=True)
    with pytest.raises(UserError) as caught:
        factory.build(GENES)
    assert str(caught.value) == (
        "model.decoder_hidden_dims and model.detach_decoder would have no effect: with these data "
        "no genes are decoded from an embedding. Leave it out, or choose data that are an "
        "embedding of cells and have the genes besides."
    )
    with torch.device("meta"):
        assert factory.build(DECODED).gene_decoder is not None
