"""Progress files of trainings."""

import pytest

from nasfuse.train import progress
from nasfuse.train.progress import ProgressFile


@pytest.mark.parametrize(("writing_s", "interval_s"), [(0.002, 0.2), (0.05, 5.0), (3.0, 10.0)])
def test_it_is_written_after_the_first_epoch_and_then_as_often_as_is_cheap(
    writing_s, interval_s, monkeypatch, tmp_path
):
    now, written = 100.0, []

    def save(_path, state):
        nonlocal now
        now += writing_s
        written.append(state["epoch"])

    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    monkeypatch.setattr(progress, "save_checkpoint", save)
    file = ProgressFile(tmp_path / "resume.pt")
    file.write(lambda: {"epoch": 1})
    assert written == [1]
    now += 0.9 * interval_s
    file.write(lambda: pytest.fail("the state is not needed"))
    now += 0.2 * interval_s
    file.write(lambda: {"epoch": 3})
    assert written == [1, 3]


def test_without_a_file_nothing_is_written():
    ProgressFile(None).write(lambda: pytest.fail("the state is not needed"))
