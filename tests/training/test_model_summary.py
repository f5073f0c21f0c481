"""What is printed about a model."""

from torch import nn

from runwright.training.model_summary import architecture


def blocks(count: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Sequential(nn.Linear(3, 2), nn.ReLU()) for _ in range(count)))


def test_a_small_model_is_printed_whole() -> None:
    assert architecture(blocks(9), how="summary") == str(blocks(9))


def test_a_large_model_is_summed_up_by_its_parts() -> None:
    model = blocks(20)
    model[3].requires_grad_(requires_grad=False)
    first, *parts, last = architecture(model, how="summary").splitlines()
    assert first == "Sequential: 160 parameters, 152 of them trainable"
    assert parts == [f"  {name:<2}  Sequential  8" for name in range(20)]
    assert last == "(82 lines; print_model=whole prints them all)"
    assert architecture(model, how="whole") == str(model)


def test_a_wrapper_is_looked_into_and_a_long_list_is_cut() -> None:
    wrapped = nn.ModuleDict({"net": blocks(50)})
    _, first, *_, last, _ = architecture(wrapped, how="summary").splitlines()
    assert first == "  net.0   Sequential  8"
    assert last == "  … and 10 more, 80 parameters"
