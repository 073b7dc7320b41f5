"""The README's Python runs as it stands, on fewer clips."""

import pathlib
import re

TINY = "clips=8, steps=2, batch_size=4"
ROOT = pathlib.Path(__file__).parents[1]


def test_the_readmes_python_trains_segments_and_plots(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    whole = "\n".join(blocks)
    code, sizes = re.subn(r"clips=\d+, batch_size=\d+", TINY, whole)
    code, calls = re.subn(r"epochs=3\)", "epochs=3, verbose=0)", code)
    code = code.replace("evaluate(test", "evaluate(test, verbose=0")
    assert (sizes, calls) == (2, 1)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "mine.png").stat().st_size > 10_000
