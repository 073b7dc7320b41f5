"""The notebook is stored as it ran, and runs from its first cell to its last."""

import pathlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

TOUR = pathlib.Path(__file__).parents[1] / "examples" / "tour.ipynb"
SHOWN = {"image/png", "image/gif"}


def outputs(notebook):
    return [out for cell in notebook.cells for out in cell.get("outputs", [])]


def kinds(notebook):
    return {kind for out in outputs(notebook) for kind in out.get("data", {})}


def test_it_is_stored_with_its_outputs():
    notebook = nbformat.read(TOUR, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert SHOWN <= kinds(notebook)
    assert TOUR.stat().st_size < 1_000_000
    assert not [out for out in outputs(notebook) if out.get("name") == "stderr"]
    text = re.sub(r'"image/(png|gif)": "[^"]*"', "", TOUR.read_text())
    assert "Warning" not in text
    assert not re.search("/(home|root|tmp|usr|Users)/", text)


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUR_MINUTES", "0.01")
    notebook = nbformat.read(TOUR, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert SHOWN <= kinds(notebook)
