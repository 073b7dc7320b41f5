"""OpenVINO runs the exported graph, all four signatures, in Python without nem_tf.

It reads the folder itself and then has `serving_default`; the others go through
TensorFlow, which hands over the signature. What to know there:

* An output with the name of an input, as theta, psi and pi of `step` and `chunk`, is
  called theta_1, psi_1 and pi_1.
* The checks of pixels and state are not part of a converted model.
* On processors with bfloat16 it computes in it unless told otherwise, and is then wrong
  by up to 0.01 after a frame. With float32 it is as exact as TensorFlow.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from export.signatures import STATE, ServedModel
from tests import tiny
from tests.tiny import C, H, W

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("openvino") is None,
        reason="needs OpenVINO: pip install openvino",
    ),
]
SEEDS = [[0, 2**31 - 1], [2**31 - 1, 5, 123_456_789]]  # batches of 2 and 3
STEPS = [5, 2]
FRESH = """
import sys
sys.modules["nem_tf"] = None  # cannot be imported
sys.modules["openvino_telemetry"] = None  # reports over the network that it was used
import numpy as np, openvino as ov

def compiled(model):
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    return ov.compile_model(ov.convert_model(model), "CPU", exact)

def call(model, **inputs):
    reply = {out.any_name: value for out, value in model(inputs).items()}
    return {name.removesuffix("_1"): value.copy() for name, value in reply.items()}

given, folders = np.load("in.npz"), sys.argv[1:]
clips = [compiled(folder) for folder in folders]
assert "tensorflow" not in sys.modules
import tensorflow as tf
for number, (folder, clip) in enumerate(zip(folders, clips)):
    loaded, results = tf.saved_model.load(folder), {}
    signatures = {name: compiled(loaded.signatures[name]) for name in loaded.signatures}
    for case in ("0", "1"):
        x, seed = given["x" + case], given["seed" + case]
        replies = {"folder": call(clip, frames=x, seed=seed)}
        replies["clip"] = call(signatures["serving_default"], frames=x, seed=seed)
        replies["init"] = state = call(signatures["init"], seed=seed)
        replies["chunk"] = call(signatures["chunk"], frames=x, **state)
        step = signatures["step"]
        for t in range(x.shape[1]):
            reply = replies[f"step{t}"] = call(step, frame=x[:, t], **state)
            state = {name: reply[name] for name in ("theta", "psi", "pi")}
        for key, reply in replies.items():
            results |= {f"{case}/{key}/{name}": value for name, value in reply.items()}
    np.savez(f"out{number}.npz", **results)
"""


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    """The folders of two SavedModels, by how they start."""
    nem = tiny.model("n-em", "gaussian")
    nem.cell.start = "sides"
    sides = tmp_path_factory.mktemp("sides") / "model"
    ServedModel(nem, 3).write(sides)
    return {"random": exported.k4, "sides": sides}


@pytest.fixture(scope="module")
def answers(served, tmp_path_factory):
    """What both are given, and what OpenVINO replies."""
    rng, given = np.random.default_rng(0), {}
    for case, (seed, steps) in enumerate(zip(SEEDS, STEPS, strict=True)):
        x = rng.random((len(seed), steps, H, W, C)) < 0.3
        given[f"x{case}"] = x.astype("float32")
        given[f"seed{case}"] = np.array(seed, "int32")
    return given, _openvino(served, given, tmp_path_factory.mktemp("openvino"))


@pytest.mark.parametrize("start", ["random", "sides"])
def test_openvino_gives_the_same_numbers(start, served, answers):
    loaded = tf.saved_model.load(str(served[start]))
    given, replies = answers
    found = replies[start]
    for case in range(len(SEEDS)):
        expected = _expected(loaded.signatures, given[f"x{case}"], given[f"seed{case}"])
        for key, reply in expected.items():
            same = {name: found.pop(f"{case}/{key}/{name}") for name in reply}
            _compare(key, same, {name: x.numpy() for name, x in reply.items()})
    assert found == {}


def _compare(key, found, expected):
    atol = 1e-6 if key == "init" else 1e-4
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, (key, name)
        if name == "segmentation":  # where two components tie, either is right
            at = np.expand_dims(found[name], -3)
            chosen = np.take_along_axis(expected["gamma"][..., 0], at, axis=-3)
            found[name], value = np.squeeze(chosen, -3), expected["confidence"]
        np.testing.assert_allclose(
            found[name], value, rtol=0, atol=atol, err_msg=f"{key} {name}"
        )


def _expected(signatures, x, seed):
    """What TensorFlow replies: for whole clips, for a chunk, and frame by frame."""
    x, seed = tf.constant(x), tf.constant(seed)
    clip = signatures["serving_default"](frames=x, seed=seed)
    state = signatures["init"](seed=seed)
    replies = {"folder": clip, "clip": clip, "init": state}
    replies["chunk"] = signatures["chunk"](frames=x, **state)
    for t in range(x.shape[1]):
        reply = replies[f"step{t}"] = signatures["step"](frame=x[:, t], **state)
        state = {name: reply[name] for name in STATE}
    return replies


def _openvino(models: dict[str, pathlib.Path], given, folder):
    """What OpenVINO replies with each model, in a fresh interpreter elsewhere."""
    np.savez(folder / "in.npz", **given)
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    env.pop("KERAS_BACKEND", None)
    line = [sys.executable, "-c", FRESH, *map(str, models.values())]
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = {}
    for number, start in enumerate(models):
        with np.load(folder / f"out{number}.npz") as file:
            results[start] = dict(file)
    return results
