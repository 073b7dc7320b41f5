"""The signature `step` on LiteRT gives the numbers of the SavedModel."""

import json

import numpy as np
import pytest
import tensorflow as tf

from export import litert, saved_model
from export.signatures import STATE
from tests.tiny import C, H, K, W

interpreter = pytest.importorskip("ai_edge_litert.interpreter")


def test_a_stream_on_litert_equals_the_saved_model(rng, exported, tmp_path):
    flags = ["--format", "litert", "--out", str(tmp_path), "--components", str(K)]
    assert saved_model.main([str(exported.run), *flags]) == 0
    folder = tmp_path / f"tiny_k{K}-litert" / "1"
    assert json.loads((folder / "about.json").read_text())["format"] == "litert"
    assert not (tmp_path / "models.config").exists()  # nothing for a server
    assert (
        "pi is |N(0, 1)| draws divided by their" in (folder / "README.md").read_text()
    )
    runner = interpreter.Interpreter(str(folder / litert.FILE))
    operations = {detail["op_name"] for detail in runner._get_ops_details()}
    assert not [name for name in operations if name.startswith(("Flex", "CUSTOM"))]
    step = runner.get_signature_runner("step")
    signatures = tf.saved_model.load(str(exported.k4)).signatures
    state = signatures["init"](seed=tf.constant([3]))
    small = {name: value.numpy() for name, value in state.items()}
    for frame in (rng.random((4, 1, H, W, C)) < 0.3).astype("float32"):
        reply = signatures["step"](frame=tf.constant(frame), **state)
        state = {name: reply[name] for name in STATE}
        found = step(frame=frame, **small)
        small = {name: found[name] for name in STATE}
        assert set(found) == set(reply)
        for name, value in reply.items():
            close = {"rtol": 1e-6 if name == "log_likelihood" else 1e-7, "atol": 1e-5}
            np.testing.assert_allclose(found[name], value, **close, err_msg=name)


def test_the_readme_says_how_a_model_begins_and_versions_count_up(simple, tmp_path):
    for start, version, words in (
        ("random", "1", "pi is |N(0, 1)| draws divided by their"),
        ("sides", "2", "and pi is exp(x cos(a_k) + y sin(a_k))"),
    ):
        simple.nem.cell.start = start
        folder = saved_model.export_litert(simple, tmp_path, "x", 2)
        assert folder.name == version and words in (folder / "README.md").read_text()
