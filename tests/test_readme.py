"""The README's Python runs as it stands, on fewer clips."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]


def test_the_readmes_python_trains_segments_and_plots(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    whole = "\n".join(blocks)
    code = whole.replace("clips=6400", "clips=8, steps=2, batch_size=4")
    code = code.replace("shuffle=False", "shuffle=False, verbose=0")
    assert code != whole
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "mine.png").stat().st_size > 10_000
