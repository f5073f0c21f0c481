"""What a run says of what it has built."""

import logging

import pytest
from torch import nn

from runwright.run import architecture
from runwright.rundir.messages import FILE_ONLY


def test_a_small_model_is_printed_whole() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    assert architecture(model) == str(model)


def test_of_a_large_model_the_parts_and_their_parameters_are_printed_and_the_whole_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    deep = nn.Sequential(*(nn.Linear(100, 100) for _ in range(80)))
    model = nn.Sequential(deep, nn.Linear(100, 10))
    assert architecture(model).splitlines() == [
        "Sequential, 809,010 parameters; log.txt has all of it",
        "  (0): Sequential, 808,000 parameters",
        "  (1): Linear, 1,010 parameters",
    ]
    (record,) = caplog.records
    assert record.name == FILE_ONLY
    assert str(model) in record.getMessage()
