"""Parts of a run whose file is damaged."""

import pytest

from nasfuse.errors import RunFolderError, RunFolderWarning
from nasfuse.experiment.damaged_part import read_part
from nasfuse.experiment.run_folder import RunFolder


def test_a_part(tmp_path, recwarn):
    assert read_part(lambda folder: folder.root, RunFolder(tmp_path)) == tmp_path
    assert not recwarn


def test_a_damaged_part_is_a_warning(tmp_path):
    def read(folder):
        raise RunFolderError("x.json is damaged; remove it")

    with pytest.warns(RunFolderWarning, match=r"^x\.json is damaged; remove it; it is left out here$"):
        assert read_part(read, RunFolder(tmp_path)) is None
