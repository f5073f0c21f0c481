"""`check`: everything is composed and built without data, and all faults are reported at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from programs import run_python
from runwright import UserError, compose
from runwright.domains.vision.dims import ImageDims
from runwright.tools import check, schema

pytestmark = pytest.mark.usefixtures("only_own_factories")

REPOSITORY = Path(__file__).parents[2]
DIMS = ImageDims(channels=3, height=28, width=28, num_classes=10)

AUGMENTED = '''
from abc import ABC, abstractmethod
from runwright import ModelFactory, Settings, factory, option, settings
from runwright.domains.vision.dims import ImageDims

@settings
class Augmentation(Settings, ABC, group="aug"):
    """An augmentation."""
    @abstractmethod
    def build(self): ...

@factory("noise")
class Noise(Augmentation):
    """Noise."""
    scale: float = option(default=0.5, ge=0, le=1, doc="standard deviation")
    def build(self): return self.scale

@factory("augmented")
class AugmentedFactory(ModelFactory[ImageDims]):
    """A linear model of augmented images."""
    aug: Augmentation | None = option(default=None, doc="the augmentation")
    def build(self, dims):
        from torch import nn
        size = dims.channels * dims.height * dims.width
        return nn.Sequential(nn.Flatten(), nn.Linear(size, dims.num_classes))
'''

# A lab's own domain: tables of numbers.
MY_LAB = '''
from typing import ClassVar
import attrs
from runwright.data import Batch, DataModule
from runwright.dims import Dims
from runwright.factory import factory, option
from runwright.model import ModelFactory
from runwright.objective import ObjectiveFactory

@attrs.frozen(kw_only=True)
class TableDims(Dims):
    columns: int

@attrs.frozen(kw_only=True)
class OtherDims(Dims):
    pass

@factory("table")
class Table(DataModule[TableDims, Batch]):
    """A table."""
    default_objective: ClassVar[str | None] = "squares"
    columns: int = option(default=3, ge=1, doc="columns")
    def build(self, runtime): raise AssertionError("no data are read")
    def expected_dims(self): return TableDims(columns=self.columns)

@factory("late")
class Late(Table):
    """A table that is known once it is read."""
    def expected_dims(self): return None

@factory("named")
class Named(Table):
    """A table in a file."""
    file: str = option(doc="the file")

@factory("squares")
class Squares(ObjectiveFactory[TableDims, Batch]):
    """Squared error."""
    def build(self, dims, device): return None

@factory("line")
class Line(ModelFactory[TableDims]):
    """A linear model."""
    bias: bool = option(default=True, doc="whether there is a bias")
    def build(self, dims):
        from torch import nn
        return nn.Linear(dims.columns, 1, bias=self.bias)

@factory("buggy")
class Buggy(ModelFactory[TableDims]):
    """A model with a mistake in its code."""
    def build(self, dims): return dims.rows

@factory("reader")
class Reader(ModelFactory[TableDims]):
    """A model that reads numbers from tensors while it is built."""
    def build(self, dims):
        import torch
        from torch import nn
        return nn.Dropout(torch.linspace(0, 0.1, 3)[1].item())

@factory("lonely")
class Lonely(ModelFactory[OtherDims]):
    """A model for which there are no data."""
    def build(self, dims): raise AssertionError("never built")
'''

SOUND = {
    "config.yaml": "defaults: [config_schema, {dm: table}, {model: line}, _self_]",
    "dm/wide.yaml": "defaults: [table]\ncolumns: 100",
    "model/line/unbiased.yaml": "defaults: [line]\nbias: false",
    "experiment/base.yaml": "# @package _global_\nmodel: {bias: false}",
    "experiment/sub/wide.yaml": "# @package _global_\ndefaults: [override /dm: wide]\nseed: 3",
    "hydra/launcher/cluster.yaml": "defaults: [ray]",
    "hydra/sweeper/lr.yaml": "defaults: [basic]\nparams: {opt.lr: '1e-3,1e-2', model: 'line,cnn'}",
    "opt/sgd.yaml": "defaults: [torch]\noptimizer_cls: SGD",
}

# File → (content, what is said of it).
FAULTY = {
    "dm/bound.yaml": ("defaults: [table]\ncolumns: 0", "dm.columns must be ≥ 1, got 0"),
    "dm/typo.yaml": ("defaults: [table]\ncolumsn: 1", "Did you mean 'dm.columns'?"),
    "model/unknown.yaml": (
        "defaults: [lin]",
        "`lin`: there is no such model. Did you mean 'line'?",
    ),
    "model/buggy.yaml": ("defaults: [buggy]", "The defaults lists form a cycle"),
    "model/bare.yaml": (
        "bias: false",
        "ModelFactory it changes. The first line must be `defaults: [line]`.",
    ),
    "model/broken.yaml": ("defaults: [line]\n bias: false", "did not find expected key"),
    "experiment/bare.yaml": ("seed: 1", "must begin with the line `# @package _global_`"),
    "experiment/misfit.yaml": (
        "# @package _global_\ndefaults: [override /model: fcn]",
        "model=fcn does not fit dm=table",
    ),
    "experiment/opt.yaml": (
        "# @package _global_\nopt: {optimizer_cls: SGDD}",
        "torch.optim has no 'SGDD'",
    ),
    "experiment/frozen.yaml": (
        "# @package _global_\nfinetune: {freeze: [wieght]}",
        "finetune.freeze: 'wieght' matches no parameter of the model. Did you mean",
    ),
    "experiment/sub/two.yaml": (
        "# @package _global_\nsede: 1\nopt: {lr: high}",
        "Did you mean 'seed'?",
    ),
    "hydra/sweeper/typo.yaml": (
        "defaults: [basic]\nparams: {opt.lrr: '1,2'}",
        "nothing has an option 'opt.lrr'. Did you mean 'opt.lr'?",
    ),
}

WITH_MY_LAB = ("--import", "my_lab")


@pytest.fixture(autouse=True)
def script_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `check` runs a main.py in this process, its module does not stay."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def lab(folder: Path, files: dict[str, str]) -> Path:
    (folder / "my_lab.py").write_text(MY_LAB)
    for name, content in files.items():
        path = folder / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return folder


def run_check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own, because factories are registered for a whole process.
    return run_python("-m", "runwright", "check", *arguments, cwd=folder)


def cells(report: subprocess.CompletedProcess[str]) -> set[tuple[str, ...]]:
    return {tuple(line.split()) for line in report.stdout.splitlines()}


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lab(tmp_path_factory.mktemp("sound"), SOUND)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    files = SOUND | {name: content for name, (content, _) in FAULTY.items()}
    return run_check(lab(tmp_path_factory.mktemp("faulty"), files), *WITH_MY_LAB)


@pytest.mark.parametrize("name", FAULTY)
def test_every_faulty_file_is_named_with_what_is_wrong(
    faulty: subprocess.CompletedProcess[str], name: str
) -> None:
    faults = [fault for fault in flat(faulty.stderr).split(" conf/") if fault.startswith(name)]
    assert any(FAULTY[name][1] in fault for fault in faults), faulty.stderr


def test_all_faults_come_at_once_and_make_the_status_2(
    faulty: subprocess.CompletedProcess[str],
) -> None:
    assert faulty.returncode == 2
    assert f"{len(FAULTY) + 1} faults" in faulty.stderr  # two in one of the files
    assert "Traceback" not in faulty.stderr
    for name in SOUND:
        assert f"conf/{name}:" not in faulty.stderr


@pytest.fixture(scope="module")
def report(sound: Path) -> subprocess.CompletedProcess[str]:
    return run_check(sound, *WITH_MY_LAB)


def test_a_bug_in_one_factory_is_reported_with_its_line_and_hides_nothing(
    report: subprocess.CompletedProcess[str],
) -> None:
    assert report.returncode == 2
    assert "1 fault" in report.stderr
    assert "model=buggy dm=table" in report.stderr
    assert "AttributeError: 'TableDims' object has no attribute 'rows'" in flat(report.stderr)
    line = MY_LAB.splitlines().index("    def build(self, dims): return dims.rows") + 1
    assert f"(my_lab.py, line {line})" in flat(report.stderr)
    assert ("line", "table") in {row[:2] for row in cells(report)}


def test_pairs_experiments_and_yaml_variants_are_measured(
    report: subprocess.CompletedProcess[str],
) -> None:
    rows = cells(report)
    assert ("line", "table", "4", "4", "16", "B", "64", "B") in rows
    assert ("line", "wide", "101", "101", "404", "B", "1.58", "KiB") in rows
    assert ("line/unbiased", "wide", "100", "100", "400", "B", "1.56", "KiB") in rows
    assert ("sub/wide", "line", "wide", "101", "404", "B", "1.58", "KiB") in rows
    assert ("opt=sgd", "line", "table", "4", "16", "B", "32", "B") in rows
    assert ("late", "known", "only", "from", "the", "data") in rows


def test_what_cannot_be_checked_is_a_note_not_a_fault(
    report: subprocess.CompletedProcess[str],
) -> None:
    notes = flat(report.stdout)
    assert "conf/hydra/launcher/cluster.yaml was not checked: it needs a plugin" in notes
    assert "`pip install hydra-ray-launcher`" in notes
    assert "dm=named was not checked: dm.file must be given: the file." in notes
    assert "nothing fits them: model=lonely." in notes
    assert "reader with table, wide: it cannot be built without memory" in notes


def test_an_override_holds_where_there_is_such_an_option(sound: Path) -> None:
    report = run_check(sound, *WITH_MY_LAB, "dm.columns=7", "model=line", "dm=wide")
    assert report.returncode == 0, report.stderr
    assert ("line", "wide", "8", "32", "B", "128", "B") in cells(report)
    assert ("buggy", "wide") not in {row[:2] for row in cells(report)}
    assert "No faults:" in report.stdout


def test_members_that_only_a_model_takes_are_checked_with_it(tmp_path: Path) -> None:
    (tmp_path / "conf" / "aug").mkdir(parents=True)
    default = "defaults: [config_schema, {dm: cmnist}, {model: fcn}, _self_]\n"
    (tmp_path / "conf" / "config.yaml").write_text(default)
    (tmp_path / "conf" / "aug" / "much.yaml").write_text("defaults: [noise]\nscale: 2\n")
    (tmp_path / "augs.py").write_text(AUGMENTED)
    report = run_check(tmp_path, "--import", "augs")
    assert "1 fault" in report.stderr
    assert "conf/aug/much.yaml: model.aug.scale must be ≥ 0, ≤ 1, got 2.0" in flat(report.stderr)
    assert "1 aug" in report.stdout  # what composes: the factory


def test_the_repository_has_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    report = run_check(REPOSITORY)
    assert report.returncode == 0, report.stderr
    rows = {row[:3] for row in cells(report)}
    monkeypatch.chdir(REPOSITORY)
    config = compose(["model=cnn"])
    real = sum(p.numel() for p in config.model.build(DIMS).parameters())
    assert ("cnn", "cmnist", f"{real:,}") in rows
    assert "activations come on top" in flat(report.stdout)


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project about digits, whose experiment takes the cnn."""
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    default = "defaults: [config_schema, {dm: cmnist}, {model: fcn}, _self_]\n"
    (tmp_path / "conf" / "config.yaml").write_text(default)
    experiment = "# @package _global_\ndefaults: [override /model: cnn]\n"
    (tmp_path / "conf" / "experiment" / "pixels.yaml").write_text(experiment)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("digits")
def test_a_pair_that_does_not_fit_is_a_fault_only_where_someone_wrote_it_down(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check.main(["dm.default_res=8", "dm=cmnist"]) == 2
    out, err = map(flat, capsys.readouterr())
    misfit = "model.kernel_size=5 and model.pool_stride=2 leave no pixels"
    assert f"Does not fit - cnn with cmnist: {misfit}" in out
    assert f"1. conf/experiment/pixels.yaml: {misfit}" in err
    assert "1 fault" in err


@pytest.mark.usefixtures("digits")
def test_the_default_pair_must_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["dm.default_res=8", "dm=cmnist", "model=cnn"]) == 2
    assert "1. conf/config.yaml, conf/experiment/pixels.yaml: model" in capsys.readouterr().err


@pytest.mark.usefixtures("digits")
def test_an_override_that_concerns_only_some_is_left_out_of_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check.main(["model.kernel_size=3", "dm=cmnist"]) == 0
    out = capsys.readouterr().out
    concerned = "model.kernel_size=3 applies only to conf/experiment/pixels.yaml, model=cnn."
    assert concerned in flat(out)
    real = compose(["dm=cmnist", "model=cnn", "model.kernel_size=3"]).model.build(DIMS)
    assert f"{sum(p.numel() for p in real.parameters()):,}" in out


@pytest.mark.usefixtures("digits")
def test_a_file_that_hydra_does_not_read_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "experiment" / "short.yml").write_text("seed: 1\n")
    assert check.main(["dm=cmnist", "model=cnn"]) == 2
    assert "conf/experiment/short.yml: Hydra does not read .yml files." in capsys.readouterr().err


@pytest.mark.usefixtures("digits")
def test_schemas_out_of_date_are_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema.main([])
    check.main(["dm=cmnist", "model=cnn"])
    assert "out of date" not in capsys.readouterr().out
    (tmp_path / ".vscode" / "schemas" / "runwright" / "model.json").write_text("{}")
    check.main(["dm=cmnist", "model=cnn"])
    assert ".vscode/schemas is out of date: run `python -m runwright schema`" in flat(
        capsys.readouterr().out
    )


def test_an_extra_that_is_not_installed_is_a_note_not_a_fault(tmp_path: Path) -> None:
    files = {
        "config.yaml": "defaults: [config_schema, {dm: cmnist}, {model: fcn}, _self_]",
        "experiment/deep.yaml": "# @package _global_\ndefaults: [override /model: resnet]",
        "hydra/sweeper/mine.yaml": "defaults: [runwright]",
    }
    without = ["torchvision", "PIL", "optuna", "hydra_plugins.hydra_optuna_sweeper"]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({without})); "
        "from runwright.__main__ import main; sys.exit(main(['check']))"
    )
    report = run_python("-c", program, cwd=lab(tmp_path, files))
    assert report.returncode == 0, report.stderr
    said = flat(report.stdout)
    needs = "model=resnet needs the module torchvision, which is not installed. Install it with"
    assert f"resnet with celeba, cmnist, torchvision: {needs}" in said
    assert f"conf/experiment/deep.yaml was not built: {needs} `pip install runwright[vi" in said
    assert "conf/hydra/sweeper/mine.yaml was not checked: it needs a plugin" in said
    assert "`pip install runwright[sweep]`" in said


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=cnnn"], "Did you mean 'cnn'?"),
        (["model=cnnn", "opt.lr=-1"], "The configuration has 2 mistakes:"),
        (["opt.lr=high", "seed=-1"], "seed must be ≥ 0, ≤ 18446744073709551615, got -1"),
        (["model=cnn,fcn"], "give one value"),
        (["=3"], "the key before the '=' is missing"),
        (["--conf", "nowhere"], "--conf nowhere: there is no folder"),
        (["--config-name", "confg"], "Did you mean 'config'?"),
        (["--main", "nowhere.py"], "--main nowhere.py: there is no such file"),
        (["--import", "nowhere"], "There is no module 'nowhere'"),
        (["--config-class", "runwright.config:Confg"], "has no class 'Confg'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_on_the_command_line_is_refused(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], said: str
) -> None:
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(UserError) as caught:
        check.main(overrides)
    assert said in str(caught.value)


def test_an_unknown_key_does_not_hide_what_else_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert check.main(["model.kernel_size=11", "dm.defalt_res=64", "modle=cnn"]) == 2
    faults = flat(capsys.readouterr().err)
    assert "nothing has an option 'dm.defalt_res'. Did you mean 'dm.default_res'?" in faults
    assert "nothing has an option 'modle'. Did you mean 'model'?" in faults
    assert "model.kernel_size=11 and model.pool_stride=2 leave no pixels" in faults


def test_without_a_conf_folder_the_registered_factories_are_checked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check.main(["dm=cmnist"]) == 0
    assert "no conf/: " in capsys.readouterr().out
