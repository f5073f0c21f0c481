"""runwright: typed, frozen factories that Hydra composes into plain PyTorch research runs.

    from runwright import compose
    accuracy = compose(["model=cnn", "opt.lr=1e-3"]).run()

Every name that your own code needs is here. Importing this package imports neither torch nor
Hydra: the names below are loaded on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

# Now, not on first use: the modules of the same names would shadow them.
from runwright.compose import compose as compose
from runwright.factory import factory as factory
from runwright.load import load as load
from runwright.run import run as run

if TYPE_CHECKING:
    from runwright.added_commands import COMMANDS as COMMANDS
    from runwright.added_commands import Command as Command
    from runwright.added_commands import command as command
    from runwright.argument_types import folder_argument as folder_argument
    from runwright.argument_types import integer_at_least as integer_at_least
    from runwright.argument_types import share_argument as share_argument
    from runwright.caller import Caller as Caller
    from runwright.caller import Reporter as Reporter
    from runwright.config import CheckpointCfg as CheckpointCfg
    from runwright.config import Config as Config
    from runwright.config import TrainingCfg as TrainingCfg
    from runwright.config import WandbCfg as WandbCfg
    from runwright.custom_search_space import search_space as search_space
    from runwright.data import Batch as Batch
    from runwright.data import Data as Data
    from runwright.data import DataModule as DataModule
    from runwright.data import NoExamples as NoExamples
    from runwright.data import Split as Split
    from runwright.data.batching import Batched as Batched
    from runwright.data.batching import InMemory as InMemory
    from runwright.data.parts import Index as Index
    from runwright.data.parts import Part as Part
    from runwright.data.parts import shared as shared
    from runwright.data.ragged import Ragged as Ragged
    from runwright.data.ragged import SparseRows as SparseRows
    from runwright.data.streaming import Streamed as Streamed
    from runwright.data.torch_datasets import TorchSplit as TorchSplit
    from runwright.data.torch_datasets import TorchStream as TorchStream
    from runwright.device.distributed import World as World
    from runwright.device.distributed import mean_weight as mean_weight
    from runwright.device.draws import Draws as Draws
    from runwright.device.runtime import Runtime as Runtime
    from runwright.dims import Dims as Dims
    from runwright.errors import ConfigError as ConfigError
    from runwright.errors import Interrupted as Interrupted
    from runwright.errors import RunError as RunError
    from runwright.errors import UserError as UserError
    from runwright.errors import did_you_mean as did_you_mean
    from runwright.extras import require_extra as require_extra
    from runwright.factory import CONFIG_GROUPS as CONFIG_GROUPS
    from runwright.factory import Settings as Settings
    from runwright.factory import option as option
    from runwright.factory import settings as settings
    from runwright.figures import new_figure as new_figure
    from runwright.figures import save_figure as save_figure
    from runwright.load import LoadedRun as LoadedRun
    from runwright.load import merge_adapters as merge_adapters
    from runwright.machine import Machine as Machine
    from runwright.measures import Measure as Measure
    from runwright.measures import OutputObjective as OutputObjective
    from runwright.measures import WholeSplit as WholeSplit
    from runwright.migration.migration import Migration as Migration
    from runwright.migration.rules import Inert as Inert
    from runwright.migration.rules import NoEqual as NoEqual
    from runwright.migration.rules import Original as Original
    from runwright.migration.rules import Rule as Rule
    from runwright.migration.rules import Taken as Taken
    from runwright.model import DataInitialized as DataInitialized
    from runwright.model import FittedModel as FittedModel
    from runwright.model import ModelFactory as ModelFactory
    from runwright.objective import Evaluation as Evaluation
    from runwright.objective import MeanLosses as MeanLosses
    from runwright.objective import Objective as Objective
    from runwright.objective import ObjectiveFactory as ObjectiveFactory
    from runwright.optimizers import OptimisationCfg as OptimisationCfg
    from runwright.optimizers import TorchOptimizer as TorchOptimizer
    from runwright.optimizers.optimizer_factory import OptimizerFactory as OptimizerFactory
    from runwright.optimizers.optimizer_factory import Schedule as Schedule
    from runwright.optimizers.optimizer_factory import SteppedSchedule as SteppedSchedule
    from runwright.optimizers.own_step import StepObjective as StepObjective
    from runwright.optimizers.own_step import Updates as Updates
    from runwright.optimizers.schedules import ScheduledOptimizer as ScheduledOptimizer
    from runwright.plain import home_path as home_path
    from runwright.predictions import TableFormat as TableFormat
    from runwright.stage import Stage as Stage
    from runwright.stage import Trained as Trained
    from runwright.stage import split_of as split_of
    from runwright.stages.intervals import Interval as Interval
    from runwright.stages.intervals import quantiles as quantiles
    from runwright.storage.array_files import made_once as made_once
    from runwright.storage.array_files import make_empty_array as make_empty_array
    from runwright.storage.array_files import mapped_array as mapped_array
    from runwright.storage.atomic_files import write_bytes as write_bytes
    from runwright.storage.metrics_table import MetricsTable as MetricsTable

_HOME: Final = {
    "data.batching": ("Batched", "InMemory"),
    "argument_types": ("folder_argument", "integer_at_least", "share_argument"),
    "storage.array_files": ("made_once", "make_empty_array", "mapped_array"),
    "storage.atomic_files": ("write_bytes",),
    "caller": ("Caller", "Reporter"),
    "added_commands": ("COMMANDS", "Command", "command"),
    "config": ("CheckpointCfg", "Config", "TrainingCfg", "WandbCfg"),
    "data": ("Batch", "Data", "DataModule", "NoExamples", "Split"),
    "dims": ("Dims",),
    "device.distributed": ("World", "mean_weight"),
    "device.draws": ("Draws",),
    "errors": ("ConfigError", "Interrupted", "RunError", "UserError", "did_you_mean"),
    "extras": ("require_extra",),
    "factory": ("CONFIG_GROUPS", "Settings", "option", "settings"),
    "figures": ("COLORS", "line_style", "new_figure", "save_figure"),
    "load": ("LoadedRun", "merge_adapters"),
    "machine": ("Machine",),
    "measures": ("Measure", "OutputObjective", "WholeSplit"),
    "storage.metrics_table": ("MetricsTable",),
    "migration.migration": ("Migration",),
    "migration.rules": ("Inert", "NoEqual", "Original", "Rule", "Taken"),
    "model": ("DataInitialized", "FittedModel", "ModelFactory"),
    "objective": ("Evaluation", "MeanLosses", "Objective", "ObjectiveFactory"),
    "optimizers": ("OptimisationCfg", "TorchOptimizer"),
    "data.parts": ("Index", "Part", "shared"),
    "data.ragged": ("Ragged", "SparseRows"),
    "optimizers.optimizer_factory": ("OptimizerFactory", "Schedule", "SteppedSchedule"),
    "optimizers.own_step": ("StepObjective", "Updates"),
    "plain": ("home_path",),
    "predictions": ("TableFormat",),
    "device.runtime": ("Runtime",),
    "optimizers.schedules": ("ScheduledOptimizer",),
    "stage": ("Stage", "Trained", "split_of"),
    "stages.intervals": ("Interval", "quantiles"),
    "data.streaming": ("Streamed",),
    "data.torch_datasets": ("TorchSplit", "TorchStream"),
    "custom_search_space": ("search_space",),
}
"""Module → the names that are imported from it."""


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            found = getattr(importlib.import_module(f"runwright.{module}"), name)
            globals()[name] = found  # `rw.option` is asked for thousands of times
            return found
    raise AttributeError(f"module 'runwright' has no attribute '{name}'")
