"""The options of Hydra and its plugins: typos are refused, free-form ones stay free."""

import re
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig

from runwright import Config, ConfigError
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.compose.schema import store
from runwright.domains import register_domains

REPOSITORY = Path(__file__).parents[2]


def composed(
    *overrides: str, conf: Path = REPOSITORY / "conf", mode: RunMode = RunMode.MULTIRUN
) -> DictConfig:
    register_domains()
    store(Config)
    return StrictConfigLoader(search_path(conf)).load_configuration("config", [*overrides], mode)


def mistakes(*overrides: str, conf: Path = REPOSITORY / "conf") -> tuple[str, ...]:
    """What is wrong, which is the same for a run and for a multirun."""
    found: list[tuple[str, ...]] = []
    for mode in (RunMode.RUN, RunMode.MULTIRUN):
        with pytest.raises(ConfigError) as caught:
            composed(*overrides, conf=conf, mode=mode)
        found.append(caught.value.problems)
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("overrides", "nearest"),
    [
        (["+hydra.jobb.name=x"], "hydra.job"),
        (["+hydra.job.nam=x"], "hydra.job.name"),
        (["++hydra.sweep.dirr=x"], "hydra.sweep.dir"),
        (["+hydra.sweeper.maxbatch_size=1"], "hydra.sweeper.max_batch_size"),
        (["hydra/sweeper=optuna", "+hydra.sweeper.ntrials=4"], "hydra.sweeper.n_trials"),
        (["hydra/sweeper=fcn_params", "+hydra.sweeper.ntrials=4"], "hydra.sweeper.n_trials"),
        (["hydra/sweeper=optuna", "+hydra.sweeper.sampler.sed=4"], "hydra.sweeper.sampler.seed"),
        (["hydra/sweeper=runwright", "+hydra.sweeper.ntrials=4"], "hydra.sweeper.n_trials"),
        (
            ["hydra/sweeper=runwright", "++hydra.sweeper.sampler.sed=4"],
            "hydra.sweeper.sampler.seed",
        ),
        (
            ["hydra/sweeper=runwright", "+hydra.sweeper.pruner.n_warmup=4"],
            "hydra.sweeper.pruner.n_warmup_steps",
        ),
        (["hydra/launcher=joblib", "+hydra.launcher.njobs=4"], "hydra.launcher.n_jobs"),
        (["hydra/launcher=submitit_local", "+hydra.launcher.nodess=4"], "hydra.launcher.nodes"),
        (["hydra/launcher=submitit_slurm", "+hydra.launcher.mem_bg=4"], "hydra.launcher.mem_gb"),
        (["hydra/launcher=runwright_slurm", "+hydra.launcher.mem_bg=4"], "hydra.launcher.mem_gb"),
        (["hydra/launcher=slurm/cpu", "+hydra.launcher.mem_bg=4"], "hydra.launcher.mem_gb"),
    ],
    ids=str,
)
def test_a_typo_after_a_plus_is_refused_with_the_nearest(
    overrides: list[str], nearest: str
) -> None:
    (problem,) = mistakes(*overrides)
    assert " is not an option: " in problem
    assert f"Did you mean '{nearest}'? It has: " in problem


def test_an_option_of_another_launcher_is_named_with_it() -> None:
    (problem,) = mistakes("+hydra.launcher.n_jobs=4")
    assert re.search(r"has no 'n_jobs', which .*hydra/launcher=joblib.* ha(s|ve)\.", problem)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("hydra.launcher=null", "hydra.launcher: a multirun needs one."),
        ("hydra.sweeper=null", "hydra.sweeper: a multirun needs one."),
        (
            "hydra.launcher._target_=runwright.slurm.launcher.SlurmLaucher",
            "no such launcher is installed. Did you mean 'runwright.slurm.launcher.SlurmLauncher'?",
        ),
        ("seed=range(3,1)", "seed=range(3,1): it has no values, so there are no jobs to run."),
        (
            "opt.lr=interval(1e-4,1e-3)",
            "opt.lr=interval(1e-4,1e-3): only a search can draw from an interval. Add hydra/",
        ),
        ("seed=range(1,4,0)", "seed=range(1,4,0): the step of a range must not be 0."),
        ("opt.lr=range(0.1,1,0.0)", "opt.lr=range(0.1,1,0.0): the step of a range must not be 0."),
        ("hydra.sweeper.max_batch_size=0", "hydra.sweeper.max_batch_size=0: it must be at least 1"),
    ],
)
def test_what_no_multirun_can_be_launched_with_is_refused(override: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(override, mode=RunMode.MULTIRUN)
    (found,) = caught.value.problems
    assert problem in found


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["seed=range(1,1e12)"], "seed=range(1,1e12): a multirun of 999,999,999,999 jobs; at most"),
        (["seed=shuffle(range(1,1e12))"], "a multirun of 999,999,999,999 jobs; at most 100,000"),
        (["seed=range(0,1000)", "opt.lr=range(1,2,0.001)"], "range(1,2,0.001): a multirun of 1,"),
        (["seed=range(1,inf)"], "seed=range(1,inf): both ends must be finite numbers."),
        (["opt.lr=interval(nan,1)"], "opt.lr=interval(nan,1): both ends must be finite numbers."),
        (["opt.lr=tag(log,interval(1,inf))"], "interval(1,inf)): both ends must be finite"),
    ],
)
def test_a_grid_without_end_is_refused_before_its_jobs_are_made(
    overrides: list[str], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(*overrides, mode=RunMode.MULTIRUN)
    (found,) = caught.value.problems
    assert problem in found


def test_a_search_draws_from_ranges_that_no_grid_has() -> None:
    search = ("hydra/sweeper=runwright", "seed=range(1,1e12)", "opt.lr=interval(1e-5,1e-3)")
    assert composed(*search, mode=RunMode.MULTIRUN).seed == 42
    with pytest.raises(ConfigError, match=r"opt.lr=interval\(nan,1\): both ends must be finite"):
        composed("hydra/sweeper=runwright", "opt.lr=interval(nan,1)", mode=RunMode.MULTIRUN)


@pytest.mark.parametrize("key", ["hydra.run.dir", "hydra.sweep.dir"])
def test_the_name_of_a_directory_is_not_empty(key: str) -> None:
    (problem,) = mistakes(f"{key}=")
    assert problem == f"{key} must not be empty. '.' is the working directory."


@pytest.mark.parametrize("name", ["conf", "../conf", ".", "..", "/tmp", ""])
def test_hydras_own_records_take_the_place_of_nothing(name: str) -> None:
    (problem,) = mistakes(f"hydra.output_subdir='{name}'")
    assert problem.startswith(f"hydra.output_subdir={name}: Hydra would write its config.yaml")
    for allowed in (".hydra", "null"):
        assert composed(f"hydra.output_subdir={allowed}").seed == 42


def test_the_mistakes_below_hydra_are_reported_with_all_others() -> None:
    with pytest.raises(ConfigError) as caught:
        composed("+hydra.job.foo=1", "+hydra.run.dirr=x", "opt.lr=-1", mode=RunMode.RUN)
    keys = ("hydra.run.dirr is not", "hydra.job.foo is not", "opt.lr must be > 0")
    assert len(caught.value.problems) == 3
    assert all(any(text.startswith(key) for text in caught.value.problems) for key in keys)


def test_the_key_of_hydras_part_is_no_option_further_down() -> None:
    with pytest.raises(ConfigError, match=r"model\.hydra is not an option"):
        composed("+model.hydra=1", mode=RunMode.RUN)


@pytest.mark.filterwarnings("ignore:provider=hydra.searchpath")
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_to_search_that_is_not_there_is_named(tmp_path: Path, scheme: str) -> None:
    assert mistakes(f"hydra.searchpath=[{scheme}{tmp_path}/none,pkg://runwright]") == (
        f"hydra.searchpath: there is no folder {tmp_path}/none.",
    )


class Fast(BasicLauncher):
    """A launcher of one's own."""


@pytest.mark.parametrize(
    "overrides",
    [
        ["+hydra.job.env_set.MY_VARIABLE=1"],
        ["+hydra.env.anything=1"],
        ["+hydra.callbacks.mine={_target_: my_lab.Callback}"],
        ["+hydra.job_logging.loggers.my_lab.level=INFO"],
        ["+hydra.hydra_logging.loggers={my_lab: {level: INFO}}"],
        ["hydra/sweeper=optuna", "+hydra.sweeper.params={seed: 'range(1, 5)'}"],
        ["hydra/sweeper=fcn_params_pruned", "+hydra.sweeper.params.seed='range(1, 5)'"],
        ["hydra/sweeper=runwright", "hydra.sweeper.enqueue=[{seed: 3}]"],
        ["hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=3"],
        ["hydra/sweeper=optuna", "hydra/sweeper/sampler=grid"],
        ["hydra/launcher=submitit_slurm", "+hydra.launcher.additional_parameters.mail-type=FAIL"],
        ["hydra/launcher=runwright_slurm", "+hydra.launcher.additional_parameters.mail-type=FAIL"],
        # Which options a class of one's own takes, Hydra finds out when it makes one.
        [
            "hydra/launcher=joblib",
            f"hydra.launcher._target_={__name__}.Fast",
            "+hydra.launcher.speed=9",
        ],
        [
            "hydra/sweeper=optuna",
            "hydra.sweeper.sampler._target_=my_lab.Sampler",
            "+hydra.sweeper.sampler.speed=9",
        ],
    ],
    ids=str,
)
def test_what_hydra_leaves_open_stays_open(overrides: list[str]) -> None:
    Plugins.instance().register(Fast)
    for mode in (RunMode.RUN, RunMode.MULTIRUN):
        assert composed(*overrides, mode=mode).seed == 42


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "+experiment=cmnist/cn",
            "Did you mean 'cmnist/cnn'? Allowed: cifar10/speedrun, cmnist/cnn, good_run, ",
        ),
        (
            "+experiment=cmnst/cnn",
            "Did you mean 'cmnist/cnn'? Allowed: cifar10/speedrun, cmnist/cnn, good_run, ",
        ),
        ("hydra/launcher=slurm/kyv", "Did you mean 'slurm/kyiv'? Allowed: basic, joblib, runwr"),
        ("hydra/launcher=kyiv", "Did you mean 'slurm/kyiv'?"),
        ("hydra/sweeper=optun", "Did you mean 'optuna'? Allowed: basic, fcn_params, fcn_params_p"),
        ("hydra/launcherr=joblib", "no group 'hydra/launcherr'. Did you mean 'hydra/launcher'?"),
        ("+hydra/launcherr=joblib", "no group 'hydra/launcherr'. Did you mean 'hydra/launcher'?"),
        ("+experimnt/cmnist=cnn", "Did you mean 'experiment/cmnist'?"),
    ],
)
def test_the_nearest_name_is_found_in_folders_too(override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(override, mode=RunMode.RUN)
    (problem,) = caught.value.problems
    assert expected in problem
    assert "sampler/" not in problem  # a group of its own


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A project whose YAML files say something about Hydra."""
    for folder in ("hydra/launcher", "hydra/sweeper", "experiment/sub"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "config.yaml").write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: fcn}, _self_]\n"
        "hydra: {env: {cluster: kyiv}, job: {env_set: {A: b}}}\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("file", "content", "overrides", "expected"),
    [
        (
            "hydra/launcher/mine",
            "defaults: [joblib]\nnjobs: 4\n",
            ["hydra/launcher=mine"],
            ["hydra.launcher.njobs is not an option: JobLibLauncherConf has no 'njobs'. Did you m"],
        ),
        (
            "hydra/sweeper/mine",
            "defaults: [optuna]\nntrials: 4\nsampler: {n_startup_trial: 3}\n",
            ["hydra/sweeper=mine"],
            ["hydra.sweeper.n_trials'?", "hydra.sweeper.sampler.n_startup_trials'?"],
        ),
        (
            "hydra/sweeper/mine",
            "defaults: [runwright]\nntrials: 4\npruner: {n_warmup: 3}\n",
            ["hydra/sweeper=mine"],
            ["hydra.sweeper.n_trials'?", "hydra.sweeper.pruner.n_warmup_steps'?"],
        ),
        (
            "experiment/sub/mine",
            "# @package _global_\nhydra: {job: {nam: x}}\n",
            ["+experiment=sub/mine"],
            ["In experiment/sub/mine.yaml: hydra.job.nam is not an option: JobConf has no 'nam'."],
        ),
        (
            "experiment/mine",
            "# @package _global_\ndefaults: [sbu/mine]\n",
            ["+experiment=mine"],
            [
                (
                    "there is no such file. Did you mean 'mine'? Allowed: cifar10/speedrun, "
                    "cmnist/cnn, mine, "
                )
            ],
        ),
    ],
)
def test_a_typo_in_a_file_is_refused(
    conf: Path, file: str, content: str, overrides: list[str], expected: list[str]
) -> None:
    assert composed(conf=conf).seed == 42
    (conf / f"{file}.yaml").write_text(content)
    problems = mistakes(*overrides, conf=conf)
    assert len(problems) == len(expected)
    for problem, text in zip(problems, expected, strict=True):
        assert text in problem


def test_a_key_that_a_dictionary_of_hydras_lacks_is_told_how_to_be_added() -> None:
    (problem,) = mistakes("hydra.job.env_set.A=1")
    assert "hydra.job.env_set has no 'A'. To add it: +hydra.job.env_set.A=1" in problem
    assert composed("+hydra.job.env_set.A=1").hydra.job.env_set.A == "1"
    (problem,) = mistakes("hydra/job_logging=none", "hydra.job_logging.handlers.file.filename=x")
    assert problem == (
        "hydra.job_logging.handlers.file.filename=x: hydra.job_logging has no 'handlers'. "
        "To add it: +hydra.job_logging.handlers.file.filename=x"
    )


def test_a_key_for_a_dictionary_of_hydras_is_no_mistake_beside_one() -> None:
    (problem,) = mistakes("+hydra.job.env_set.A=1", "+hydra.job.nam=x")
    assert "hydra.job.nam is not an option" in problem
