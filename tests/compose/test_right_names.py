"""Whether a name that is unknown is answered with the option that was meant."""

import pytest

from conftest import Run
from runwright import ConfigError, compose

CMNIST = ("dm=cmnist", "model=fcn")
EPOCHS = "'training.epochs' (passes over the training data)"
GPU = "'gpu' (index of the CUDA device; -1 is the CPU)"


def problem(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose([*CMNIST, *overrides])
    (text,) = caught.value.problems
    return text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lr=0.1", "'opt.lr'"),
        ("epochs=3", "'training.epochs'"),
        ("batch_size=32", "'dm.batch_size'"),
        ("weight_decay=0.1", "'opt.weight_decay'"),
        ("opt.epochs=3", "'training.epochs'"),
        ("+batch_siz=32", "'dm.batch_size'"),
        ("model.hidden_dmi=3", "'model.hidden_dim'"),
        ("dm.batchsize=4", "'dm.batch_size'"),
        ("num_epochs=3", EPOCHS),
        ("max_epochs=3", EPOCHS),
        ("n_epochs=3", EPOCHS),
        ("model.maxEpochs=3", EPOCHS),
        ("device=cuda", GPU),
        ("gpus=1", GPU),
        ("data=cmnist", "'dm=…' (the data)"),
        ("dataset=cmnist", "'dm=…' (the data)"),
        ("net=cnn", "'model=…' (the model)"),
        ("loss=mse", "'objective=…' (the loss and the measures; follows from the data)"),
        ("optimizer=SGD", "'opt.optimizer_cls'"),
        ("optimiser=SGD", "'opt.optimizer_cls'"),
        ("learning_rate=0.1", "'opt.lr' (peak learning rate)"),
        ("opt.learning_rate=0.1", "'opt.lr' (peak learning rate)"),
        ("train_batch_size=3", "'dm.batch_size' (images per batch)"),
        ("wandb_project=x", "'wandb.project' (project that the run belongs to)"),
        ("dropout=0.1", "'model.dropout_prob'"),
        ("opt.batchsize=4", "'dm.batch_size'"),
        ("run_dir=x", "'hydra.run.dir'"),
        ("sweep=x", "'hydra.sweep'"),
        ("launcher=joblib", "'hydra/launcher=…'"),
        ("verbose=true", "'hydra.verbose'"),
    ],
)
def test_the_option_that_was_meant_is_named_first_and_with_its_full_key(
    typed: str, meant: str
) -> None:
    text = problem(typed)
    key = typed.partition("=")[0].lstrip("+")
    assert text.startswith(f"{key} is not an option: ")
    assert f". Did you mean {meant}? It has: " in text
    assert "append" not in text


def test_an_argument_of_the_optimiser_is_named_where_it_belongs() -> None:
    key = "'opt.optimizer_kwargs.momentum'"
    assert f"Did you mean {key}? It" in problem("momentum=0.9", "opt.optimizer_cls=SGD")
    with_others = f"Did you mean {key} (with opt.optimizer_cls=Muon|RMSprop|SGD)? It"
    assert with_others in problem("momentum=0.9")
    assert with_others in problem("opt.momentum=0.9")
    assert "Did you mean 'opt.optimizer_kwargs.fused'?" in problem("fused=true")


@pytest.mark.parametrize("typed", ["foo=1", "training.foo=1"])
def test_what_resembles_nothing_is_answered_with_what_there_is(typed: str) -> None:
    text = problem(typed)
    assert "Did you mean" not in text
    assert " It has: " in text


@pytest.mark.parametrize(
    ("typed", "model", "meant"),
    [
        ("model.layers=3", "state_sm", "'model.n_encoder_layers' (layers that"),
        ("model.layers=3", "fcn", "'model.num_hidden' (number of hidden layers; 0 is a linear m"),
        ("model.backbone.layer=3", "state_sm", "'model.backbone.num_hidden_layers' (number of"),
        ("model.rank=3", "fcn", "'finetune.lora.rank'?"),
        ("model.dtype=3", "fcn", ""),
        ("opt.epochs=3", "fcn", "'training.epochs'?"),
    ],
)
def test_what_is_here_is_named_before_what_is_deep_in_another_branch(
    run_main: Run, typed: str, model: str, meant: str
) -> None:
    """In a process of its own: other tests register models with other options."""
    dm = "simulated_cells" if model == "state_sm" else "cmnist"
    said = run_main(f"dm={dm}", f"model={model}", typed).stderr
    assert f"{typed.partition('=')[0]} is not an option: " in said
    assert f"Did you mean {meant}" in said if meant else "Did you mean" not in said


def test_an_option_of_a_member_that_is_not_chosen_is_named_with_it() -> None:
    assert "Did you mean 'model.kernel_size' (with model=cnn)? It has: " in problem("kernel_size=3")
    weights = "Did you mean 'model.weights' (with model=resnet or model=torchvision)? It has: "
    assert weights in problem("weights=DEFAULT")


@pytest.mark.parametrize("name", ["n_trials", "heartbeat", "storage"])
def test_an_option_of_a_search_is_named_with_the_sweeper(name: str) -> None:
    meant = f"'hydra.sweeper.{name}' (with --multirun hydra/sweeper=runwright)"
    assert f"Did you mean {meant}? It has: " in problem(f"{name}=3")


def test_the_name_of_a_class_is_given_to_the_option_that_takes_it() -> None:
    said = problem("opt=SGD")
    assert said.startswith("opt=SGD: there is no such opt. Allowed: ")
    assert (
        "If it is the name of a subclass of torch.optim.Optimizer, write opt.optimizer_cls=SGD. If "
        "a module of your own"
    ) in said
