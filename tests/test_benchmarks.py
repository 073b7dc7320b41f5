"""Every benchmark still runs, at tiny sizes; nothing here looks at a clock."""

import importlib
import pathlib

import pytest

from benchmarks import all as every

SCRIPTS = sorted(
    path.stem
    for path in (pathlib.Path(every.__file__).parent).glob("*.py")
    if "__main__" in path.read_text() and path.stem not in ("all", "crash")
)


def test_every_script_has_a_goal_on_the_page():
    assert SCRIPTS == sorted(every.GOALS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_runs(name, capsys):
    assert not importlib.import_module(f"benchmarks.{name}").main(["--tiny"])
    assert capsys.readouterr().out


def test_the_page_keeps_the_sections_that_were_not_run(tmp_path):
    page = tmp_path / "BENCHMARKS.md"
    every.write(page, "scale", "## Scale\n\nold\n")
    every.write(page, "data_speed", "## Data\n\nfirst\n")
    every.write(page, "data_speed", "## Data\n\nsecond\n")
    text = page.read_text()
    assert "first" not in text
    assert 0 < text.index("second") < text.index("old")
    with pytest.raises(SystemExit) as error:
        every.main(["--only", "no-such"])
    assert error.value.code == 2


def test_a_failing_benchmark_is_not_written(tmp_path, monkeypatch):
    page = tmp_path / "BENCHMARKS.md"
    monkeypatch.setattr(every.sys, "executable", "/bin/false")
    with pytest.raises(SystemExit, match="benchmarks.data_speed failed"):
        every.main(["--only", "data_speed", "--tiny", "--page", str(page)])
    assert not page.exists()
