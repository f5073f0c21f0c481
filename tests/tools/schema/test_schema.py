"""The JSON Schemas: what composes is valid, and what does not is flagged where it is written."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from jsonschema import Draft7Validator, ValidationError, validate
from omegaconf import OmegaConf

from conftest import REPOSITORY
from programs import run_python
from runwright.tools import schema

CONF = REPOSITORY / "conf"
FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))
Schemas: TypeAlias = dict[str, Any]


def written(folder: Path) -> Schemas:
    return {
        path.stem: json.loads(path.read_text())
        for path in sorted((folder / ".vscode" / "schemas" / "runwright").glob("*.json"))
    }


def associated(folder: Path) -> dict[str, list[str]]:
    """What the editor is told: kind of schema → patterns of files."""
    settings = json.loads((folder / ".vscode" / "settings.json").read_text())
    return {Path(file).stem: patterns for file, patterns in settings["yaml.schemas"].items()}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's YAML files, with the schemas that a clone of it gets."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(CONF, folder / "conf")
    shutil.copy(REPOSITORY / "main.py", folder)
    # In a process of its own: other tests register factories of their own.
    run_python("-m", "runwright", "schema", cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def schemas(clone: Path) -> Schemas:
    return written(clone)


def check(content: dict[str, Any], text: str) -> None:
    """Validate YAML as Hydra reads it, with keys as JSON has them."""
    plain = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    validate(json.loads(json.dumps(plain)), content, Draft7Validator)


def test_every_schema_is_one(schemas: Schemas) -> None:
    assert {"config", "experiment", "dm", "model", "hydra.launcher"} < set(schemas)
    for content in schemas.values():
        Draft7Validator.check_schema(content)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_yaml_file_of_the_repository_has_one_schema_and_keeps_to_it(
    clone: Path, schemas: Schemas, file: Path
) -> None:
    (kind,) = [
        kind
        for kind, patterns in associated(clone).items()
        if any(clone / "conf" / file in clone.glob(pattern) for pattern in patterns)
    ]
    check(schemas[kind], (CONF / file).read_text())


def test_the_settings_in_the_repository_name_the_schemas_that_are_written(clone: Path) -> None:
    assert associated(REPOSITORY) == associated(clone)


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
def test_what_composes_is_valid(schemas: Schemas, kind: str, text: str) -> None:
    check(schemas[kind], text)


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
    "an unknown sampler": (SWEEPER, "defaults: [optuna, sampler: tp]", "defaults.1"),
    "an unknown sweeper": (SWEEPER, "defaults: [optun]", "defaults.0"),
    "a misspelt resource": (LAUNCHER, "defaults: [slurm/cpu]\ngpus_pernode: 1", ""),
    "a word for a number": (
        LAUNCHER,
        "defaults: [runwright_slurm@_here_]\ntimeout_min: long",
        "timeout_min",
    ),
}


@pytest.mark.parametrize(("kind", "text", "where"), INVALID.values(), ids=INVALID.keys())
def test_what_does_not_compose_is_flagged_where_it_stands(
    schemas: Schemas, kind: str, text: str, where: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        check(schemas[kind], text)
    assert ".".join(map(str, caught.value.absolute_path)) == where


def test_an_option_explains_itself(schemas: Schemas) -> None:
    cnn = "runwright.domains.vision.cnn.SimpleCNNFactory"
    shown = schemas["experiment"]["definitions"][cnn]["properties"]["kernel_size"]
    assert (
        shown["description"] == "width and height of the kernels, in pixels\n\nint ≥ 1; default 5"
    )
    assert shown["default"] == 5


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    conf = tmp_path / "conf"
    (conf / "model").mkdir(parents=True)
    defaults = "defaults: [config_schema, {dm: cmnist}, {model: fcn}, _self_]\n"
    (conf / "config.yaml").write_text(defaults)
    (conf / "model" / "wide.yaml").write_text("defaults: [fcn]\nhidden_dim: 512\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_part_without_factories_has_a_schema(project: Path) -> None:
    schema.main([])
    assert associated(project)["training"] == ["conf/training/*.yaml"]
    content = written(project)["training"]
    check(content, "epochs: 99")
    with pytest.raises(ValidationError):
        check(content, "epocs: 99")


def test_the_schemas_are_none_of_gits_business(project: Path) -> None:
    git = ["git", "-c", "core.excludesFile=/dev/null"]
    subprocess.run([*git, "init", "-q"], cwd=project, check=True)
    schema.main([])
    status = [*git, "status", "--porcelain", "-uall"]
    new = subprocess.run(status, cwd=project, check=True, capture_output=True, text=True).stdout
    assert "settings.json" in new
    assert "schemas" not in new


def test_files_of_a_group_within_another_have_the_schema_of_that_group(project: Path) -> None:
    (project / "conf/model/backbone").mkdir()
    (project / "conf/model/backbone/small.yaml").write_text("defaults: [llama]\n")
    schema.main([])
    assert associated(project)["model"] == ["conf/model/*.yaml"]
    assert associated(project)["model.backbone"] == ["conf/model/backbone/*.yaml"]


def test_files_below_hydra_get_the_schema_of_their_plugin(project: Path) -> None:
    for folder in ("hydra/launcher/sub", "hydra/sweeper/sampler", "hydra/job_logging"):
        (project / "conf" / folder).mkdir(parents=True)
    (project / "conf/hydra/launcher/sub/two.yaml").write_text("defaults: [joblib]\nn_jobs: 2\n")
    (project / "conf/hydra/sweeper/sampler/mine.yaml").write_text("defaults: [tpe]\nseed: 1\n")
    schema.main([])
    patterns = associated(project)
    assert patterns["hydra.launcher"] == [
        "conf/hydra/launcher/*.yaml",
        "conf/hydra/launcher/sub/*.yaml",
    ]
    assert patterns["hydra.sweeper"] == ["conf/hydra/sweeper/*.yaml"]
    content = written(project)["hydra.launcher"]
    check(content, "defaults: [joblib]\nn_jobs: 3")
    for text in ("defaults: [joblib]\nnjobs: 3", "defaults: [sub/two]\nnjobs: 3"):
        with pytest.raises(ValidationError):
            check(content, text)


def test_the_users_own_settings_and_schemas_stay(project: Path) -> None:
    path = project / ".vscode" / "settings.json"
    other = project / ".vscode" / "schemas" / "ci.json"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    (other.parent / ".gitignore").write_text("!ci.json\n")
    ci = {"https://example.org/ci.json": ["ci.yaml"], ".vscode/schemas/ci.json": ["ci/*.yaml"]}
    path.write_text(json.dumps({"editor.rulers": [100], "yaml.schemas": ci}))
    schema.main([])
    settings = json.loads(path.read_text())
    assert settings["editor.rulers"] == [100]
    assert ci.items() <= settings["yaml.schemas"].items()
    assert settings["yaml.schemas"][".vscode/schemas/runwright/model.json"] == ["conf/model/*.yaml"]
    assert other.read_text() == "{}"
    assert (other.parent / ".gitignore").read_text() == "!ci.json\n"


def test_what_is_told_of_a_schema_goes_with_it(project: Path) -> None:
    (project / ".vscode").mkdir()
    former = {".vscode/schemas/runwright/former.json": ["conf/former/*.yaml"]}
    (project / ".vscode" / "settings.json").write_text(json.dumps({"yaml.schemas": former}))
    schema.main([])
    assert associated(project).keys() == written(project).keys()


def test_settings_with_comments_are_left_alone_and_told_what_to_add(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / ".vscode" / "settings.json"
    path.parent.mkdir()
    path.write_text("{\n  // mine\n}\n")
    assert schema.main([]) == 0
    assert path.read_text() == "{\n  // mine\n}\n"
    assert '".vscode/schemas/runwright/model.json"' in capsys.readouterr().out


def test_a_labs_own_factories_are_in_the_schema_and_torch_is_not_loaded(project: Path) -> None:
    (project / "my_lab.py").write_text(
        "from runwright import ModelFactory, factory, option\n"
        "from runwright.domains.vision.dims import ImageDims\n"
        "@factory('lab_net')\n"
        "class LabNetFactory(ModelFactory[ImageDims]):\n"
        "    '''The lab's network.'''\n"
        "    width: int = option(default=8, ge=1, le=64, doc='width')\n"
        "    def build(self, dims): ...\n"
    )
    program = (
        "import sys; from runwright.tools.schema import main; "
        "main(['--import', 'my_lab']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=project)
    content = written(project)["model"]
    check(content, "defaults: [lab_net]\nwidth: 64")
    with pytest.raises(ValidationError):
        check(content, "defaults: [lab_net]\nwidth: 65")
