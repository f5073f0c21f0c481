"""Data: the interface between a data set and the training loop, and splits that fit most data."""

from runwright.data.interface import Batch as Batch
from runwright.data.interface import Data as Data
from runwright.data.interface import DataModule as DataModule
from runwright.data.interface import NoExamples as NoExamples
from runwright.data.interface import Split as Split
