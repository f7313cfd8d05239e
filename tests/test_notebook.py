"""The notebook of the documentation runs as it is, and says what its text says."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def test_outputs_are_not_committed():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert len(cells) > 10
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if "outputs" in cell)


@pytest.mark.slow
def test_it_runs(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=250, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]

    def shown(position):
        outputs = cells[position].outputs
        return "".join(one.get("text") or one.get("data", {}).get("text/plain", "") for one in outputs)

    assert "'left': 'image'" in shown(1)
    assert "<SearchRun runs/halves: " in shown(2)
    assert "6 complete" in shown(2)
    assert "late fusion" in shown(3) or " | " in shown(3)
    assert "is the knee of the points of the front" in shown(4)
    assert float(shown(5).split("accuracy on new data: ")[1][:4]) > 0.6
    assert (tmp_path / "recipe.yaml").is_file()
    assert shown(7) == "True"
