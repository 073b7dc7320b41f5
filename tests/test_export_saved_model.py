"""The exported graph: the same numbers however it is called, wherever it is loaded."""

import json
import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from export import documents, label, saved_model, segment, warmup
from export.signatures import STATE, ServedModel
from nem_tf import inference
from nem_tf.inference import present
from nem_tf.random_start import random_start, sides
from tests import runs as processes
from tests import tiny
from tests.tiny import C, H, K, W
from trainers.training import trained as runs

ROOT = pathlib.Path(__file__).parents[1]
SIZES = [(2, 5), (3, 2)]  # B and T
OF_A_FRAME = ("segmentation", "confidence", "gamma", "next_frame", "used")
RESULTS = (*OF_A_FRAME, "log_likelihood", "psi", "theta")


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported.k4)).signatures


def clips(rng, batch, steps):
    x = (rng.random((batch, steps, H, W, C)) < 0.3).astype("float32")
    return x, np.arange(3, 3 + batch, dtype="int32")


def whole(signatures, x, seed):
    reply = signatures["serving_default"](frames=tf.constant(x), seed=tf.constant(seed))
    return {name: value.numpy() for name, value in reply.items()}


def test_a_stream_begins_as_the_cell_does():
    nem = tiny.model("patches")
    nem.cell.start = "sides"
    state = ServedModel(nem, 3).init(tf.constant([5]))
    expected = sides(random_start([5], 3, (H, W, C)))
    np.testing.assert_allclose(state["pi"], expected, atol=1e-6)


@pytest.mark.parametrize(("batch", "steps"), SIZES)
def test_clip_stream_and_chunks_give_the_same_numbers(rng, signatures, batch, steps):
    x, seed = clips(rng, batch, steps)
    expected = whole(signatures, x, seed)
    state = signatures["init"](seed=tf.constant(seed))
    replies = []
    for t in range(steps):
        reply = signatures["step"](frame=tf.constant(x[:, t]), **state)
        state = {name: reply[name] for name in STATE}
        replies.append(reply)
    for name in RESULTS:
        stream = np.stack([reply[name] for reply in replies], axis=1)
        np.testing.assert_array_equal(stream, expected[name])

    state = signatures["init"](seed=tf.constant(seed))
    replies = []
    for piece in (x[:, :1], x[:, 1:]):
        reply = signatures["chunk"](frames=tf.constant(piece), **state)
        state = {name: reply[name] for name in STATE}
        replies.append({**reply, "psi": reply["predictions"]})
    for name in set(RESULTS) - {"theta"}:
        pieces = np.concatenate([reply[name] for reply in replies], axis=1)
        np.testing.assert_array_equal(pieces, expected[name])
    np.testing.assert_array_equal(state["theta"], expected["theta"][:, -1])


@pytest.mark.parametrize(("batch", "steps"), SIZES)
def test_the_graph_equals_the_python_model(rng, exported, signatures, batch, steps):
    x, seed = clips(rng, batch, steps)
    reply = whole(signatures, x, seed)
    found = exported.nem.segment(x, components=K, seed=int(seed[0]))
    np.testing.assert_allclose(reply["gamma"], found.gamma, atol=2e-6)
    np.testing.assert_allclose(reply["psi"], found.psi, atol=2e-6)
    best = np.take_along_axis(
        found.gamma[..., 0], reply["segmentation"][:, :, None], axis=2
    )
    np.testing.assert_allclose(best[:, :, 0], reply["confidence"], atol=2e-6)
    np.testing.assert_array_equal(reply["next_frame"], reply["psi"].max(axis=2))
    assert reply["segmentation"].dtype == reply["used"].dtype == np.int32
    there = present(exported.nem.cell, reply["segmentation"], x, K)
    np.testing.assert_array_equal(reply["used"], np.sum(there, -1))
    assert np.asarray(reply["used"]).max() > 1


@pytest.mark.parametrize(("batch", "steps"), SIZES)
def test_a_reply_says_how_well_its_frame_was_predicted(
    rng, exported, signatures, batch, steps
):
    x, seed = clips(rng, batch, steps)
    reply = whole(signatures, x, seed)
    psi, likelihood = reply["psi"], exported.nem.cell.likelihood
    expected = inference.log_likelihood(x[:, 1:], psi[:, :-1], likelihood)
    np.testing.assert_allclose(reply["log_likelihood"][:, 1:], expected, rtol=1e-4)
    np.testing.assert_array_equal(reply["log_likelihood"][:, 0], 0.0)
    sums = inference.fit(x, psi, likelihood)
    np.testing.assert_allclose(reply["log_likelihood"].sum(1), sums, rtol=1e-4)


def test_every_input_and_output_has_the_batch_first(signatures):
    for function in signatures.values():
        specs = function.structured_input_signature[1] | function.structured_outputs
        for spec in specs.values():
            assert spec.shape[0] is None and len(spec.shape) >= 1
            assert spec.dtype in (tf.float32, tf.int32)


def test_the_graph_draws_no_random_numbers(exported):
    graph = _graph(exported.k4)
    operations = {node.op for node in graph.graph_def.node}
    for function in graph.graph_def.library.function:
        operations |= {node.op for node in function.node_def}
    assert "BitwiseXor" in operations  # the hash of the seed is in there
    assert not [name for name in operations if "Random" in name]


WRONG = {
    "nan": ("serving_default", {"frames": np.nan}, "frames: expected finite"),
    "range": ("serving_default", {"frames": 255.0}, r"frames: expected pixels in \[0"),
    "below": ("step", {"frame": -0.1}, r"frame: expected pixels in \[0, 1\]"),
    "seed": ("serving_default", {"seed": -1}, "seed: expected 0 to 2147483647"),
    "init": ("init", {"seed": -5}, "seed: expected 0 to 2147483647"),
    "theta": ("step", {"theta": np.inf}, "theta: expected finite"),
    "psi": ("chunk", {"psi": np.nan}, "psi: expected finite"),
    "pi": ("step", {"pi": 1.0}, "pi: expected weights that sum to 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_values_are_refused_and_the_next_call_works(rng, signatures, case):
    name, values, message = WRONG[case]
    inputs = _inputs(rng, signatures, name)
    expected = signatures[name](**inputs)
    wrong = {}
    for key, value in values.items():
        array = inputs[key].numpy()
        array[(0,) * array.ndim] = value
        wrong[key] = tf.constant(array)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signatures[name](**{**inputs, **wrong})
    again = signatures[name](**inputs)
    for key in expected:
        np.testing.assert_array_equal(again[key], expected[key])


@pytest.mark.parametrize(
    ("name", "key", "shape", "message"),
    [
        ("serving_default", "frames", (2, 3, H, W + 1, C), "not compatible"),
        ("serving_default", "frames", (2, 0, H, W, C), "at least one frame"),
        ("serving_default", "frames", (2, 8193, H, W, C), "at most 16384 frames"),
        ("serving_default", "seed", (1,), "as many as there are clips, received"),
        ("step", "frame", (1, H, W, C), "as many as there are clips, received"),
        ("step", "theta", (2, K + 1, 7), "not compatible"),
        ("chunk", "psi", (2, K, H, W), "not compatible"),
        ("init", "seed", (0,), "expected one per clip, received none"),
    ],
)
def test_wrong_shapes_are_refused(rng, signatures, name, key, shape, message):
    inputs = _inputs(rng, signatures, name)
    inputs[key] = tf.zeros(shape, inputs[key].dtype)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        signatures[name](**inputs)


FRESH = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("reading", "nem_tf", "trainers", "export"):
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, Wall())
import numpy as np, tensorflow as tf
signatures = tf.saved_model.load(sys.argv[1]).signatures
given, results = np.load(sys.argv[2]), {}
for case in ("0", "1"):
    x, seed = tf.constant(given["x" + case]), tf.constant(given["seed" + case])
    reply = signatures["serving_default"](frames=x, seed=seed)
    results |= {f"{case}/{name}": value.numpy() for name, value in reply.items()}
np.savez(sys.argv[3], **results)
assert "nem_tf" not in sys.modules
"""


def test_a_python_without_the_package_runs_it(rng, exported, signatures, tmp_path):
    given = {}
    for case, sizes in enumerate(SIZES):
        given[f"x{case}"], given[f"seed{case}"] = clips(rng, *sizes)
    np.savez(tmp_path / "in.npz", **given)
    files = [exported.k4, tmp_path / "in.npz", tmp_path / "out.npz"]
    _python("-c", FRESH, *files, cwd=tmp_path)
    results = np.load(tmp_path / "out.npz")
    for case in range(len(SIZES)):
        expected = whole(signatures, given[f"x{case}"], given[f"seed{case}"])
        for name, value in expected.items():
            np.testing.assert_array_equal(results[f"{case}/{name}"], value)


def test_the_c_api_runs_it_without_pythons_tensorflow(
    rng, exported, signatures, tmp_path
):
    definitions = _graph(exported.k4).signature_def
    calls, arrays, expected = [], {}, []

    def call(name, inputs, result):
        number = len(calls)
        definition = definitions[name]
        fed = {}
        for key, value in inputs.items():
            arrays[f"{number}/{key}"] = np.asarray(value)
            fed[definition.inputs[key].name] = f"{number}/{key}"
        fetched = {key: info.name for key, info in definition.outputs.items()}
        calls.append({"inputs": fed, "outputs": fetched})
        expected.append(result)

    for batch, steps in SIZES:
        x, seed = clips(rng, batch, steps)
        reply = whole(signatures, x, seed)
        call("serving_default", {"frames": x, "seed": seed}, reply)
        state = signatures["init"](seed=tf.constant(seed))
        call("init", {"seed": seed}, state)
        for name, key, value in (("step", "frame", x[:, 0]), ("chunk", "frames", x)):
            reply = signatures[name](**{key: tf.constant(value)}, **state)
            call(name, {key: value, **state}, reply)
    bad = {"frames": x * 255.0, "seed": seed}
    call("serving_default", bad, "expected pixels in [0, 1]")
    call("serving_default", {"frames": x[..., 1:, :], "seed": seed}, "not compatible")
    call("serving_default", {"frames": x, "seed": seed}, expected[4])

    (tmp_path / "calls.json").write_text(json.dumps(calls))
    np.savez(tmp_path / "in.npz", **arrays)
    files = [tmp_path / "calls.json", tmp_path / "in.npz", tmp_path / "out.npz"]
    _python(ROOT / "tests" / "c_api.py", exported.k4, *files, cwd=tmp_path)
    results = np.load(tmp_path / "out.npz")
    for number, wanted in enumerate(expected):
        if isinstance(wanted, str):
            assert wanted in str(results[f"{number}/error"])
            continue
        for name, value in wanted.items():
            np.testing.assert_array_equal(results[f"{number}/{name}"], value)


def test_a_version_is_complete_and_checked(exported):
    names = {path.name for path in exported.k4.iterdir()}
    assert names >= {"saved_model.pb", "variables", "assets.extra", "fingerprint.pb"}
    assert names >= {"README.md", "MODEL_CARD.md", "about.json", "SHA256SUMS"}
    assert documents.damaged(exported.k4) == []
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=exported.k4)
    records = tf.data.TFRecordDataset(str(exported.k4 / warmup.FILE))
    assert sum(1 for _ in records) == 4 * 2  # signatures, batch sizes
    readme = (exported.k4 / "README.md").read_text()
    for name in ("serving_default", "init", "step", "chunk"):
        assert f"## {name}" in readme
    assert "| input | frames | (B, T, 8, 12, 1) | float32 |" in readme
    card = (exported.k4 / "MODEL_CARD.md").read_text()
    assert "| AMI (max, the paper's) | 0.500 | 0.250 |" in card
    assert "Not measured with" not in card
    other = (exported.models / "tiny_k3" / "1" / "MODEL_CARD.md").read_text()
    assert "Not measured with the K = 3" in other


def test_versions_count_up_and_labels_move(simple, tmp_path, capsys):
    models, trained = tmp_path / "models", simple
    for version in (1, 2):
        path = saved_model.export(trained, models, "tiny", 3, batch_sizes=(1,))
        assert path == models / "tiny" / str(version)
    assert [
        path.name for path in (models / "tiny").iterdir() if "part" in path.name
    ] == []
    config = _models_config(models)
    assert config.base_path == "/models/tiny"
    assert dict(config.version_labels) == {"stable": 1, "canary": 2}
    assert label.main([str(models / "tiny"), "stable", "2"]) == 0
    assert dict(_models_config(models).version_labels) == {"stable": 2, "canary": 2}
    assert label.main([str(models / "tiny"), "stable", "7"]) == 2
    assert "no such version; there are 1, 2" in capsys.readouterr().err
    assert label.main([str(models / "tiny"), "stable", "1"]) == 0  # the rollback
    # A server moves a label only to a version that it has loaded: it has all of them.
    policy = _models_config(models).model_version_policy
    assert policy.WhichOneof("policy_choice") == "all"
    assert (models / "batching.config").exists()
    assert "prometheus" in (models / "monitoring.config").read_text()


def test_nothing_is_published_if_a_warm_up_request_fails(simple, tmp_path, monkeypatch):
    def broken(tensor, spec, batch, length, served):
        original(tensor, spec, batch, length, served)
        if spec.name == "frame":
            tensor.float_val[0] = 2.0

    original = warmup._fill
    monkeypatch.setattr(warmup, "_fill", broken)
    with pytest.raises(ValueError, match="nothing was published: .*pixels in"):
        saved_model.export(simple, tmp_path / "models", "tiny", 3)
    assert list((tmp_path / "models").iterdir()) == []


def test_nothing_is_published_beside_a_damaged_list(simple, tmp_path):
    (tmp_path / "models.config").write_text("model_config_list {")
    with pytest.raises(ValueError, match="models.config: .* repair it"):
        saved_model.export(simple, tmp_path, "tiny", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["models.config"]


def test_a_card_without_labels():
    scores = {"loss": 146.2, "psnr": 26.4, "repeat_psnr": None}
    assert list(documents._table(scores)) == [
        "The clips have no labels.",
        "",
        "Loss (Eq. 5): 146.2 nats per clip.",
        "Next frame: PSNR 26.4 dB, that of the frame before it none dB.",
    ]
    scores["ari"] = {"last": None, "mean": 0.5}  # the last step shows no object
    assert "| ARI | none | 0.500 |" in list(documents._table(scores))


def test_a_full_disk_ends_in_one_line(exported, tmp_path, monkeypatch, capsys):
    def full(self, path):
        pathlib.Path(path, "half").write_text("x")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(ServedModel, "write", full)
    assert saved_model.main([str(exported.run), "--out", str(tmp_path / "m")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "No space left" in error and "make room" in error
    assert list((tmp_path / "m").iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (
            ["nowhere"],
            2,
            "nowhere: neither a run folder with a model.keras nor a preset",
        ),
        (["RUN", "--components", "0"], 2, "at least 1 between commas, received '0'"),
        (["RUN", "--name", "a/b"], 2, "letters, digits, _ . and - only"),
        (["RUN", "--format", "onnx"], 2, "invalid choice: 'onnx'"),
        (["BROKEN"], 2, "cannot be read"),
    ],
)
def test_mistakes_end_in_one_line(exported, tmp_path, capsys, flags, status, message):
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"no model")
    names = {"RUN": str(exported.run), "BROKEN": str(broken)}
    line = [names.get(flag, flag) for flag in flags] + ["--out", str(tmp_path / "m")]
    try:
        found = saved_model.main(line)
    except SystemExit as stopped:
        found = stopped.code
    error = capsys.readouterr().err
    assert found == status and error.count("\n") == 1 and message in error
    assert not (tmp_path / "m").exists()


def test_a_missing_extra_is_named(exported, monkeypatch, capsys, tmp_path):
    from export import command

    monkeypatch.setitem(command.MODULES, "serving", ("no_such_module",))
    assert saved_model.main([str(exported.run), "--out", str(tmp_path / "m")]) == 2
    assert "pip install 'nem-tf[serving]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("policy", "kind"), [("mixed_bfloat16", "conv"), ("mixed_float16", "dense")]
)
def test_mixed_precision_is_served_in_float32(rng, tmp_path, policy, kind):
    keras.config.set_dtype_policy(policy)
    nem = tiny.model(kind, "gaussian")
    nem.compile("adam", loss=nem.loss, run_eagerly=True)  # the quicker for one update
    nem.train_on_batch(tiny.batch(rng, steps=1))
    nem.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    exact = tiny.model(kind, "gaussian")
    exact.set_weights(nem.get_weights())
    _same_numbers(rng, tmp_path, exact)


TRAIN = """
import sys
import numpy as np
{setup}
from tests import tiny
with {scope}:
    nem = tiny.model(eager={eager})
nem.train_on_batch(tiny.batch(np.random.default_rng(0)))
nem.save(sys.argv[1])
np.savez(sys.argv[2], *[np.asarray(w) for w in nem.get_weights()])
"""
TRAINED_ON = {
    "mirrored": {
        "setup": (
            "import tensorflow as tf\n"
            "cpu = tf.config.list_physical_devices('CPU')[0]\n"
            "two = [tf.config.LogicalDeviceConfiguration()] * 2\n"
            "tf.config.set_logical_device_configuration(cpu, two)\n"
            "strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])"
        ),
        "scope": "strategy.scope()",
        "eager": True,
    },
    "jax": {
        "setup": (
            "import contextlib\nimport keras\nassert keras.backend.backend() == 'jax'"
        ),
        "scope": "contextlib.nullcontext()",
        "eager": False,
    },
}


@pytest.mark.parametrize("where", TRAINED_ON)
def test_a_model_trained_elsewhere_is_served_the_same(rng, tmp_path, where):
    environment = {}
    if where == "jax":
        pytest.importorskip("jax")
        environment = processes.on_jax()
    script = TRAIN.format(**TRAINED_ON[where])
    files = [tmp_path / "model.keras", tmp_path / "weights.npz"]
    processes.run(script, *files, **environment)
    exact, weights = tiny.model(eager=True), np.load(files[1])
    exact.set_weights([weights[name] for name in weights])
    _same_numbers(rng, tmp_path, exact)


def _same_numbers(rng, run, nem):
    """The SavedModel of a run folder equals a Python model in float32."""
    path = saved_model.export(runs.load(run), run / "models", "x", K, batch_sizes=(1,))
    signatures = tf.saved_model.load(str(path)).signatures
    x, seed = clips(rng, 2, 3)
    reply, found = whole(signatures, x, seed), nem.segment(x, seed=int(seed[0]))
    np.testing.assert_allclose(reply["gamma"], found.gamma, atol=2e-6)
    np.testing.assert_allclose(reply["psi"], found.psi, atol=2e-6)
    assert {value.dtype.name for value in reply.values()} == {"float32", "int32"}


def _inputs(rng, signatures, name):
    x, seed = clips(rng, 2, 3)
    if name in ("serving_default", "init"):
        inputs = {"frames": x, "seed": seed}
        inputs = inputs if name == "serving_default" else {"seed": seed}
        return {key: tf.constant(value) for key, value in inputs.items()}
    state = signatures["init"](seed=tf.constant(seed))
    key, value = ("frame", x[:, 0]) if name == "step" else ("frames", x)
    return {key: tf.constant(value), **state}


def _graph(path):
    model = saved_model_pb2.SavedModel.FromString(
        (path / "saved_model.pb").read_bytes()
    )
    return model.meta_graphs[0]


def _models_config(models):
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((models / "models.config").read_text(), config)
    return config.model_config_list.config[0]


def _python(*arguments, cwd):
    """A fresh interpreter; its stderr if it fails."""
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    env.pop("KERAS_BACKEND", None)
    line = [sys.executable, *map(str, arguments)]
    done = subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_server_model_knows_its_sizes():
    served = ServedModel(tiny.model(), 5)
    assert served.specs["step"][1].shape == (None, 5, 7)


def test_large_frames_are_warmed_up_with_what_they_take(simple, tmp_path, monkeypatch):
    monkeypatch.setattr("export.signatures.MOST_FRAMES", 12)
    path = saved_model.export(simple, tmp_path, "large", 3, batch_sizes=(4, 64))
    shapes = {}
    for record in tf.data.TFRecordDataset(str(path / warmup.FILE)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record)
        request = request.predict_log.request
        name, key = request.model_spec.signature_name, "frames"
        if key in request.inputs:
            sizes = [dim.size for dim in request.inputs[key].tensor_shape.dim]
            shapes.setdefault(name, []).append(tuple(sizes[:2]))
    assert shapes == {"serving_default": [(4, 3), (12, 1)], "chunk": [(4, 3), (12, 1)]}
    assert segment.load(path).piece == 12


def test_exports_are_made_by_tensorflow(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert saved_model.main([str(exported.run), "--out", str(tmp_path / "out")]) == 2
    assert "KERAS_BACKEND: expected tensorflow" in capsys.readouterr().err


def test_settings_have_no_paths_of_the_machine():
    settings = {"out": "/a", "data": "/b", "labels": "/c/masks", "steps": 5}
    trained = types.SimpleNamespace(settings=settings)
    assert saved_model._settings(trained) == {"steps": 5}
