"""The JSON Schemas: what composes is valid, what does not is flagged, and they are up to date."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, ValidationError, validate
from omegaconf import OmegaConf

from runwright import compose
from runwright.rundir.record import config_yaml
from runwright.tools import schema

REPOSITORY = Path(__file__).parents[2]
SCHEMAS = REPOSITORY / ".vscode" / "schemas"
CONF = REPOSITORY / "conf"


def plain(text: str) -> Any:
    """YAML as Hydra reads it, with keys as JSON has them."""
    return json.loads(json.dumps(OmegaConf.to_container(OmegaConf.create(text), resolve=False)))


def check(kind: str, text: str) -> None:
    validate(plain(text), json.loads((SCHEMAS / f"{kind}.json").read_text()), Draft7Validator)


def associated() -> dict[Path, list[str]]:
    """The YAML files of the repository, each with the kinds that the editor applies to it."""
    settings = json.loads((REPOSITORY / ".vscode" / "settings.json").read_text())
    kinds: dict[Path, list[str]] = {path: [] for path in sorted(CONF.rglob("*.yaml"))}
    for file, patterns in settings["yaml.schemas"].items():
        for path in {path for pattern in patterns for path in REPOSITORY.glob(pattern)}:
            if path in kinds:
                kinds[path].append(Path(file).stem)
    return kinds


def test_the_committed_schemas_are_up_to_date() -> None:
    # In a process of its own: other tests register factories of their own.
    done = subprocess.run(
        [sys.executable, "-m", "runwright", "schema", "--check"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_every_schema_is_one(path: Path) -> None:
    Draft7Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize(
    "path", sorted(CONF.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONF))
)
def test_every_yaml_file_of_the_repository_has_one_schema_and_keeps_to_it(path: Path) -> None:
    (kind,) = associated()[path]
    check(kind, path.read_text())


LAUNCHER = "hydra.launcher"
SWEEPER = "hydra.sweeper"
CNN = "defaults: [cnn]\n"
OVER_CNN = "defaults:\n- override /model: cnn\n"

VALID = {
    "a number": ("model", CNN + "kernel_size: 3"),
    "an interpolation": ("model", CNN + "kernel_size: ${dm.default_res}"),
    "a value still to be given": ("model", "defaults: [fcn]\nhidden_dim: ???"),
    "null where it may be": ("model", "defaults: [fcn]\nhidden_dim: null\nnorm: null"),
    "the options of what is inherited": ("model", "defaults: [single_linear_layer]\nnorm: BN"),
    "an absolute path in the defaults": ("model", "defaults: [/model/cnn@_here_]\nkernel_size: 3"),
    "whole numbers as keys": ("dm", "defaults: [cmnist]\nlabel_map: {3: 0, 8: 1}"),
    "an int for a float": ("experiment", "opt: {lr: 1}"),
    "an exponent without a point": ("experiment", "opt: {lr: 1e-3}"),
    "a number as a name": ("experiment", "wandb: {name: 12, tags: [a, 3]}"),
    "any argument of an optimiser": (
        "experiment",
        "opt: {optimizer_kwargs: {betas: [0.9, 0.95], amsgrad: true}}",
    ),
    "options of the chosen model": ("experiment", OVER_CNN + "model: {kernel_size: 3}"),
    "options of some model": ("experiment", "model: {kernel_size: 3}"),
    "nothing but a comment": ("experiment", "# nothing yet"),
    "settings of Hydra": ("experiment", "hydra: {sweeper: {params: {seed: 'range(1, 5)'}}}"),
    "a launcher": ("experiment", "defaults:\n- override /hydra/launcher: submitit_slurm"),
    "an empty choice": ("config", "defaults:\n- config_schema\n- model: ???"),
    "a sweeper with its pruner": (
        SWEEPER,
        "defaults: [runwright, override pruner: hyperband]\npruner: {max_resource: auto}",
    ),
    "a sweeper that builds on another": (SWEEPER, "defaults: [fcn_params]\nn_trials: 3"),
    "a sweeper's group with its path": (
        SWEEPER,
        "defaults: [/hydra/sweeper/runwright@_here_, override /hydra/sweeper/sampler: random]",
    ),
    "a sampler of one's own": (SWEEPER, "defaults: [optuna]\nsampler: {_target_: my.S, a: 1}"),
    "a search space": (
        SWEEPER,
        "defaults: [runwright]\nparams: {seed: 'range(1, 5)'}\nwhen: {model=cnn: {opt.lr: 1}}",
    ),
    "anything for Slurm": (
        LAUNCHER,
        "defaults: [runwright_slurm@_here_]\nadditional_parameters: {mail-type: FAIL}",
    ),
    "a plugin that no file uses": (LAUNCHER, "defaults: [joblib]\nn_jobs: 2"),
    "a plugin of one's own": (LAUNCHER, "_target_: my_lab.Launcher\nspeed: 9"),
}


@pytest.mark.parametrize(("kind", "text"), VALID.values(), ids=VALID.keys())
def test_what_composes_is_valid(kind: str, text: str) -> None:
    check(kind, text)


# kind, YAML, and where the mistake is.
INVALID = {
    "a misspelt option": ("model", CNN + "kernal_size: 3", ""),
    "an option of another model": ("model", CNN + "num_hidden: 3", ""),
    "an option of another model, inherited": (
        "model",
        "defaults: [single_linear_layer]\nkernel_size: 3",
        "",
    ),
    "an option of no model": ("model", "kernal_size: 3", ""),
    "an unknown member": ("model", "defaults: [cnnn]", "defaults.0"),
    "a wrong type": ("model", CNN + "kernel_size: high", "kernel_size"),
    "a fraction for an int": ("model", CNN + "kernel_size: 1.5", "kernel_size"),
    "a bound broken": ("model", CNN + "kernel_size: 0", "kernel_size"),
    "an excluded bound": ("model", "defaults: [fcn]\ndropout_prob: 1", "dropout_prob"),
    "null where it may not be": ("model", CNN + "kernel_size: null", "kernel_size"),
    "an unknown name": ("model", CNN + "activation: GELLU", "activation"),
    "a number that is not offered": ("model", "defaults: [resnet]\ndepth: 19", "depth"),
    "a bound broken in a list": ("dm", "defaults: [cmnist]\ncolors: [1, 10]", "colors.1"),
    "a key that is no number": ("dm", "defaults: [cmnist]\nlabel_map: {a: 0}", "label_map"),
    "a misspelt key": ("experiment", "sede: 1", ""),
    "a misspelt key in a block": ("experiment", "opt: {lrr: 1}", "opt"),
    "a bound broken in a block": ("experiment", "opt: {lr: -1}", "opt.lr"),
    "an option of another model in a block": (
        "experiment",
        OVER_CNN + "model: {num_hidden: 3}",
        "model",
    ),
    "an unknown choice": (
        "experiment",
        "defaults:\n- override /model: cnnn",
        "defaults.0",
    ),
    "an unknown group": ("experiment", "defaults:\n- override /modle: cnn", "defaults.0"),
    "a sweeper where an experiment is expected": (
        "experiment",
        "defaults: [fcn_params]",
        "defaults.0",
    ),
    "a relative group": ("experiment", "defaults:\n- override model: cnn", "defaults.0"),
    "an unknown member of the primary configuration": (
        "config",
        "defaults: [config_schema, model: cnnn]",
        "defaults.1",
    ),
    "an option of another model than the primary configuration's": (
        "config",
        "defaults: [config_schema, model: cnn]\nmodel: {num_hidden: 3}",
        "model",
    ),
    "a misspelt option of a sweeper": (SWEEPER, "defaults: [runwright]\nntrials: 3", ""),
    "an option of another sweeper": (SWEEPER, "defaults: [optuna]\nretries: 3", ""),
    "an option of another sweeper, inherited": (SWEEPER, "defaults: [fcn_params]\nretries: 3", ""),
    "an option of no pruner": (SWEEPER, "defaults: [runwright]\npruner: {n_strtup: 1}", "pruner"),
    "an unknown sampler": (SWEEPER, "defaults: [optuna, sampler: tp]", "defaults.1.sampler"),
    "an unknown sweeper": (SWEEPER, "defaults: [optun]", "defaults.0"),
    "a misspelt resource": (LAUNCHER, "defaults: [slurm/cpu]\ngpus_pernode: 1", ""),
    "a word for a number": (
        LAUNCHER,
        "defaults: [runwright_slurm@_here_]\ntimeout_min: long",
        "timeout_min",
    ),
}


@pytest.mark.parametrize(("kind", "text", "where"), INVALID.values(), ids=INVALID.keys())
def test_what_does_not_compose_is_flagged_where_it_stands(kind: str, text: str, where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check(kind, text)
    assert ".".join(map(str, caught.value.absolute_path)) == where


@pytest.mark.parametrize(
    "overrides",
    [[], ["model=cnn"], ["model=resnet", "model.depth=50"], ["dm.label_map={3: 0, 8: 1}"]],
    ids=str,
)
def test_the_config_of_a_run_directory_is_valid(overrides: list[str], tmp_path: Path) -> None:
    check("config", config_yaml(compose(overrides, conf=CONF), tmp_path))


def test_an_option_explains_itself() -> None:
    content = json.loads((SCHEMAS / "model.json").read_text())
    shown = content["definitions"]["model.cnn"]["properties"]["kernel_size"]
    assert (
        shown["description"] == "width and height of the kernels, in pixels\n\nint ≥ 1; default 5"
    )
    assert shown["default"] == 5


def test_an_option_of_a_plugin_says_what_its_source_says() -> None:
    content = json.loads((SCHEMAS / "hydra.sweeper.json").read_text())
    shown = content["definitions"]["SweeperCfg"]["properties"]["retries"]
    said = "How often a trial whose process died is retried.\n\nint; default 2"
    assert shown["description"] == said


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    conf = tmp_path / "conf"
    (conf / "model").mkdir(parents=True)
    defaults = "defaults: [config_schema, {dm: cmnist}, {model: fcn}, _self_]\n"
    (conf / "config.yaml").write_text(defaults)
    (conf / "model" / "wide.yaml").write_text("defaults: [fcn]\nhidden_dim: 512\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_out_of_date_are_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert schema.main(["--check"]) == 2
    assert schema.main([]) == 0
    assert schema.main(["--check"]) == 0
    (project / "conf" / "model" / "wider.yaml").write_text("defaults: [wide]\n")
    capsys.readouterr()
    assert schema.main(["--check"]) == 2
    assert "Out of date: .vscode/schemas/model.json" in capsys.readouterr().err


def test_a_part_without_factories_gets_a_schema_when_it_has_files(project: Path) -> None:
    (project / "conf" / "opt").mkdir()
    (project / "conf" / "opt" / "sgd.yaml").write_text("optimizer_cls: SGD\n")
    schema.main([])
    content = json.loads((project / ".vscode" / "schemas" / "opt.json").read_text())
    validate({"optimizer_cls": "SGD"}, content)
    with pytest.raises(ValidationError):
        validate({"optimiser_cls": "SGD"}, content)
    (project / "conf" / "opt" / "sgd.yaml").unlink()
    schema.main([])
    assert not (project / ".vscode" / "schemas" / "opt.json").exists()


def test_files_below_hydra_get_the_schema_of_their_plugin(project: Path) -> None:
    for folder in ("hydra/launcher/sub", "hydra/sweeper/sampler", "hydra/job_logging"):
        (project / "conf" / folder).mkdir(parents=True)
    (project / "conf/hydra/launcher/sub/two.yaml").write_text("defaults: [joblib]\nn_jobs: 2\n")
    (project / "conf/hydra/sweeper/sampler/mine.yaml").write_text("defaults: [tpe]\nseed: 1\n")
    (project / "conf/hydra/job_logging/quiet.yaml").write_text("version: 1\n")
    schema.main([])
    settings = json.loads((project / ".vscode" / "settings.json").read_text())["yaml.schemas"]
    below = {file: patterns for file, patterns in settings.items() if "/hydra." in file}
    patterns = ["conf/hydra/launcher/*.yaml", "conf/hydra/launcher/sub/*.yaml"]
    assert below == {".vscode/schemas/hydra.launcher.json": patterns}
    content = json.loads((project / ".vscode" / "schemas" / "hydra.launcher.json").read_text())
    validate({"defaults": ["joblib"], "n_jobs": 3}, content)
    with pytest.raises(ValidationError):
        validate({"defaults": ["joblib"], "njobs": 3}, content)
    with pytest.raises(ValidationError):
        validate({"defaults": ["sub/two"], "njobs": 3}, content)


def test_the_users_own_settings_stay(project: Path) -> None:
    path = project / ".vscode" / "settings.json"
    path.parent.mkdir()
    own = {"editor.rulers": [100], "yaml.schemas": {"https://example.org/ci.json": ["ci.yaml"]}}
    path.write_text(json.dumps(own))
    schema.main([])
    written = json.loads(path.read_text())
    assert written["editor.rulers"] == [100]
    assert written["yaml.schemas"]["https://example.org/ci.json"] == ["ci.yaml"]
    assert written["yaml.schemas"][".vscode/schemas/model.json"] == ["conf/model/**/*.yaml"]


def test_settings_with_comments_are_left_alone_and_told_what_to_add(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / ".vscode" / "settings.json"
    path.parent.mkdir()
    path.write_text("{\n  // mine\n}\n")
    assert schema.main([]) == 0
    assert path.read_text() == "{\n  // mine\n}\n"
    assert '".vscode/schemas/model.json"' in capsys.readouterr().out


def test_a_labs_own_factories_are_in_the_schema_and_torch_is_not_loaded(project: Path) -> None:
    (project / "my_lab.py").write_text(
        "from runwright.factory import factory, option\n"
        "from runwright.model import ModelFactory\n"
        "from runwright.domains.vision.dims import ImageDims\n"
        "@factory('lab_net')\n"
        "class LabNetFactory(ModelFactory[ImageDims]):\n"
        "    '''The lab's network.'''\n"
        "    width: int = option(default=8, ge=1, le=64, doc='width')\n"
        "    def build(self, dims): ...\n"
    )
    program = (
        "import sys; from runwright.tools.schema import main; "
        "main(['--import', 'my_lab', '--out', 'out']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=project)
    content = json.loads((project / "out" / "model.json").read_text())
    validate({"defaults": ["lab_net"], "width": 64}, content)
    with pytest.raises(ValidationError):
        validate({"defaults": ["lab_net"], "width": 65}, content)
