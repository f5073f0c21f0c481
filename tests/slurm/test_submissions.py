"""What is on record of the jobs that were submitted."""

from pathlib import Path

from runwright.slurm import submissions
from runwright.slurm.submissions import SubmittedJob


def submitted(sweep: Path, array: int, *jobs: tuple[int, int], option: str = "gpu=-1") -> None:
    """Record jobs, of which each has a number and the number of its directory."""
    of_array = [
        SubmittedJob(
            number=number,
            job=f"{array}_{number}",
            overrides=[f"seed={place}", option],
            run_dir=sweep / str(place),
            code=None,
        )
        for number, place in jobs
    ]
    submissions.record(sweep, of_array)


def test_a_job_that_is_submitted_again_has_another_number_and_the_same_run(tmp_path: Path) -> None:
    submitted(tmp_path, 9, (0, 0), (1, 1))
    submitted(tmp_path, 10, (0, 1), (1, 2))
    (jobs,) = submissions.recorded([tmp_path]).values()
    assert [(job.job, job.overrides) for job in jobs] == [
        ("9_0", ["seed=0", "gpu=-1"]),
        ("10_0", ["seed=1", "gpu=-1"]),
        ("10_1", ["seed=2", "gpu=-1"]),
    ]
    assert submissions.overrides_in(tmp_path) == {
        tmp_path / str(place): [f"seed={place}", "gpu=-1"] for place in (0, 1, 2)
    }


def test_a_submission_that_starts_over_takes_the_place_of_those_before(tmp_path: Path) -> None:
    submitted(tmp_path, 9, (0, 0), (1, 1))
    submitted(tmp_path, 10, (0, 0), option="overwrite=True")
    (jobs,) = submissions.recorded([tmp_path]).values()
    assert [job.job for job in jobs] == ["10_0"]
