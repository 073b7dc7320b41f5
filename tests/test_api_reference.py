"""The API reference is made from the docstrings without a warning."""

import html
import pathlib
import re
import runpy
import types

import pytest

import nem_tf

ROOT = pathlib.Path(__file__).parents[1]


def test_all_that_is_public_has_its_place_in_the_reference(tmp_path, capfd):
    pytest.importorskip("pdoc", reason="pip install -e '.[docs]'")
    runpy.run_path(str(ROOT / "docs" / "api" / "make.py"))["write"](tmp_path)
    assert capfd.readouterr() == ("", "")
    front = (tmp_path / "nem_tf.html").read_text(encoding="utf-8")
    for name in nem_tf.__all__:
        if isinstance(getattr(nem_tf, name), types.ModuleType):
            assert (tmp_path / "nem_tf" / f"{name}.html").is_file()
        else:
            assert f'<section id="{name}">' in front
    # Arguments of a call are listed like others, and constructors show defaults.
    losses = (tmp_path / "nem_tf" / "losses.html").read_text(encoding="utf-8")
    assert "Call arguments:" in losses and "<strong>outputs:</strong>" in losses
    words = html.unescape(re.sub("<[^>]+>", "", losses))
    assert "NEMLoss(likelihood=None, inter_weight=1.0" in words
