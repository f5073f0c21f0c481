"""A training step as a CUDA graph: nothing in it waits for the device, and shapes are static."""

import pytest
import torch

from domains.perturbation.test_objective import DECODED, objective, sets
from runwright.domains.perturbation.backbone import BackboneFactory
from runwright.domains.perturbation.gpt2 import GPT2Backbone
from runwright.domains.perturbation.llama import LlamaBackbone
from runwright.domains.perturbation.pertsets import PertSetsFactory

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

LLAMA = LlamaBackbone(num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
GPT2 = GPT2Backbone(n_layer=1, n_head=2)


@pytest.mark.parametrize("loss", ["energy", "sinkhorn", "gaussian", "laplacian", "mse", "se"])
@pytest.mark.parametrize("backbone", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_a_captured_step_computes_the_same(backbone: BackboneFactory, loss: str) -> None:
    device = torch.device("cuda")
    torch.manual_seed(0)
    factory = PertSetsFactory(
        hidden_dim=32, backbone=backbone, batch_encoder=True, confidence_token=True
    )
    model = factory.build(DECODED).to(device).eval()  # without dropout, which draws anew
    minimised = objective(DECODED, loss=loss, regularization=0.1)
    batch = sets(dims=DECODED).to(device)

    def step() -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            value = minimised.losses(model, batch)["loss"]
        value.backward()
        return value

    def gradients() -> list[torch.Tensor]:
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):  # the first makes what libraries allocate once
            step()
        model.zero_grad(set_to_none=True)
        expected = step().item()
    torch.cuda.current_stream().wait_stream(side)
    of_eager = gradients()
    model.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    graph.replay()
    assert captured.item() == pytest.approx(expected, rel=1e-2)
    torch.testing.assert_close(gradients(), of_eager, rtol=0.05, atol=1e-2)
