"""What Keras users try first works on a NeuralEM as on any model."""

import json
import pathlib
import shutil
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import nem_tf
from nem_tf import NeuralEM, RNNEMCell, networks
from tests import runs, tiny
from tests.tiny import B, C, H, K, T, W


@pytest.fixture(scope="module")
def shared():
    """A model whose graphs are traced once; of N-EM, whose are the quickest."""
    return tiny.model("n-em")


def test_the_version_is_that_of_the_package():
    text = (pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'version = "{nem_tf.__version__}"' in text


@pytest.mark.parametrize("kind", ["conv", "n-em", "patches"])
def test_summary_and_number_of_weights(kind):
    nem, lines = tiny.model(kind), []
    nem.summary(print_fn=lines.append, expand_nested=True, show_trainable=True)
    count = sum(np.prod(weight.shape, dtype=int) for weight in nem.weights)
    assert nem.count_params() == count
    assert f"{count:,}" in "\n".join(lines)


def test_a_drawing_of_the_model(tmp_path):
    nem = tiny.model()
    dot = keras.utils.model_to_dot(nem, show_shapes=True, expand_nested=True)
    assert "NeuralEM" in dot.to_string()
    if shutil.which("dot"):
        keras.utils.plot_model(nem, tmp_path / "model.png", show_shapes=True)
        assert (tmp_path / "model.png").stat().st_size > 1000


@pytest.mark.parametrize("kind", ["conv", "n-em"])
def test_a_cell_is_a_step_of_any_keras_rnn(rng, kind):
    nem = tiny.model(kind)
    frames = keras.Input((T, 2 * H, W, C))
    psi = keras.layers.RNN(nem.cell, return_sequences=True)(frames)
    assert psi.shape == (None, T, K * H * W * C)
    last = keras.layers.RNN(nem.cell)(frames)
    model = keras.Model(frames, [psi, last])
    model.compile(run_eagerly=True)
    batch = tiny.batch(rng)
    batch["pi"] = nem.cell.get_initial_state(batch_size=B)[2]
    packed = nem_tf.axes.pack_frames(batch["clean"][:, :-1], batch["noisy"])
    every, last = model.predict(np.asarray(packed), verbose=0)
    expected = np.asarray(nem(batch)["psi"])
    np.testing.assert_allclose(every, expected.reshape(B, T, -1), atol=1e-6)
    np.testing.assert_allclose(last, every[:, -1], atol=1e-6)


def test_dicts_of_arrays(shared, rng):
    nem, clips = shared, tiny.batch(rng, clips=6)
    history = nem.fit(clips, batch_size=2, epochs=2, verbose=0, validation_split=0.34)
    assert len(history.history["val_loss"]) == 2
    found = nem.evaluate(clips, batch_size=3, verbose=0, return_dict=True)
    outputs = nem.predict(clips, batch_size=4, verbose=0)
    assert outputs["psi"].shape == (6, T, K, H, W, C)
    expected = nem.compute_loss(clips, y_pred=nem(clips))
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-4)


def test_a_file_is_loaded_without_a_warning(tmp_path):
    nem = tiny.model()
    fresh = NeuralEM(tiny.cell())
    fresh.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), loss=nem.loss)
    fresh.save(tmp_path / "fresh.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = keras.saving.load_model(tmp_path / "fresh.keras")
    assert again.optimizer.built and again.optimizer.clipnorm == 1.0


def test_a_clone_has_the_same_parts_and_other_weights(rng):
    nem, batch = tiny.model(), tiny.batch(rng)
    clone = keras.models.clone_model(nem)
    assert clone.cell is not nem.cell
    assert not np.array_equal(clone.get_weights()[0], nem.get_weights()[0])
    clone.set_weights(nem.get_weights())
    np.testing.assert_allclose(clone(batch)["psi"], nem(batch)["psi"], atol=1e-6)


def test_an_export_answers_as_the_model_does(rng, tmp_path):
    nem = tiny.model("n-em")
    nem.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    for clips, steps, components in ((2, 3, 4), (3, 5, 2)):
        batch = tiny.batch(rng, clips=clips, steps=steps, components=components)
        batch = {name: batch[name] for name in ("clean", "noisy", "pi")}
        found, expected = loaded.serve(batch), nem(batch)
        for name in ("psi", "gamma"):
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_callbacks(rng, tmp_path):
    nem, clips = tiny.model("n-em", eager=True), tiny.batch(rng, clips=4)
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
        keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        keras.callbacks.TensorBoard(tmp_path / "board", histogram_freq=1),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.ReduceLROnPlateau("val_ari", mode="max"),
        keras.callbacks.TerminateOnNaN(),
    ]
    nem.fit(clips, epochs=2, validation_data=(clips,), verbose=0, callbacks=callbacks)
    again = keras.saving.load_model(tmp_path / "best.keras")
    loss = nem.evaluate(clips, verbose=0)[0]
    assert again.evaluate(clips, verbose=0)[0] == pytest.approx(loss, rel=1e-4)
    assert "val_ari" in (tmp_path / "log.csv").read_text()


def test_a_model_need_not_be_compiled(rng):
    nem, batch = NeuralEM(tiny.cell("n-em")), tiny.batch(rng)
    expected = nem(batch)["psi"]
    for found in (nem.predict(batch, verbose=0), nem.predict_on_batch(batch)):
        np.testing.assert_allclose(found["psi"], expected, atol=1e-6)
    assert nem.segment(batch["clean"]).psi.shape == (B, T + 1, K, H, W, C)
    nem.stream()(batch["clean"][0, 0])


def test_arguments_by_place(shared, rng):
    batch, weights = tiny.batch(rng), np.array([0.5, 2.0])
    by_name = shared.evaluate(batch, batch_size=1, verbose=0, sample_weight=weights)
    by_place = shared.evaluate(batch, None, 1, 0, weights)
    np.testing.assert_allclose(by_place, by_name, rtol=1e-5)
    bad = {**batch, "noisy": 255 * batch["noisy"]}
    with pytest.raises(ValueError, match="divide 8-bit frames by 255"):
        shared.fit(batch, None, 1, 1, 0, None, 0.0, (bad,))


@pytest.mark.parametrize("lanes", [1, 2])
def test_sample_weights_weigh_clips(rng, lanes):
    nem, clips = tiny.model("n-em"), tiny.batch(rng, clips=4)
    nem.compile(keras.optimizers.SGD(0.01), loss=nem.loss, run_eagerly=True)
    nem.lanes = lanes
    weights = np.array([0.0, 2.0, 0.5, 1.0])
    ones = [{name: x[i : i + 1] for name, x in clips.items()} for i in range(4)]
    each = [float(nem.compute_loss(one, y_pred=nem(one))) for one in ones]
    loss = nem.test_on_batch(clips, sample_weight=weights)[0]
    np.testing.assert_allclose(loss, np.dot(each, weights) / 4, rtol=1e-4)
    dataset = tf.data.Dataset.from_tensors((clips, np.zeros(4), weights))
    found = nem.evaluate(dataset, verbose=0, return_dict=True)
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-4)
    before = nem.get_weights()
    nem.fit(clips, sample_weight=np.zeros(4), verbose=0)
    for ours, theirs in zip(nem.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("lanes", [1, 2])
def test_regularizers_count(rng, lanes):
    parts = networks.fully_connected(7, size=(H, W))
    dense = keras.layers.Dense(6, kernel_regularizer=keras.regularizers.L2(10.0))
    parts["encoder"] = keras.Sequential([keras.layers.Flatten(), dense])
    nem, clips = NeuralEM(RNNEMCell(**parts, components=K)), tiny.batch(rng)
    nem.lanes = lanes
    eager = lanes == 1
    nem.compile(keras.optimizers.SGD(0.001), loss=nem_tf.NEMLoss(), run_eagerly=eager)
    weights = np.array([0.5, 2.0])
    ones = [{name: x[i : i + 1] for name, x in clips.items()} for i in range(B)]
    each = [float(nem.loss(one["clean"][:, 1:], nem(one))) for one in ones]
    found = nem.evaluate(clips, sample_weight=weights, verbose=0, return_dict=True)
    extra = 10.0 * np.sum(np.square(dense.kernel))
    assert float(nem.losses[0]) == pytest.approx(extra, rel=1e-5)
    assert found["intra"] + found["inter"] == pytest.approx(np.mean(each), rel=1e-4)
    expected = np.dot(each, weights) / B + extra
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-4)
    before = np.array(dense.kernel)
    nem.fit(clips, sample_weight=np.zeros(B), verbose=0)
    np.testing.assert_allclose(dense.kernel, before * (1 - 0.02), rtol=1e-5)


def test_a_configuration_is_json(rng):
    nem = tiny.model()
    again = NeuralEM.from_config(json.loads(json.dumps(nem.get_config())))
    assert again.count_params() == nem.count_params()


class Clips(keras.utils.PyDataset):
    """A user's own batches."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return (self.batch,)


def _forms(batch):
    yield "arrays", batch
    # A batch of any size and in a tuple, as of the next two, whose graph this shares.
    yield "dataset", tf.data.Dataset.from_tensor_slices((batch,)).batch(B)
    yield "own", Clips(batch)
    yield "generator", ((batch,) for _ in range(1))


WRONG = {
    "8-bit": (lambda x: 255 * x, "0, 255.*divide 8-bit frames by 255"),
    "16-bit": (lambda x: 65535 * x, "0, 65535.*divide 16-bit frames by 65535"),
    "signed": (lambda x: 2 * x - 1, r"-1, 1.*\(x \+ 1\) / 2"),
    "bright": (lambda x: 1.1 * x, r"0, 1\.1.*clip them"),
    "nan": (lambda x: np.where(x == x.max(), np.nan, x), "nan.*replace NaN"),
}


FORMS = [
    *((wrong, form) for wrong in WRONG for form in ("arrays", "dataset")),
    *((wrong, form) for wrong in ("8-bit", "nan") for form in ("own", "generator")),
]


@pytest.mark.parametrize(("wrong", "form"), FORMS)
def test_pixels_outside_are_refused_and_nothing_is_lost(shared, rng, form, wrong):
    change, words = WRONG[wrong]
    nem, batch = shared, tiny.batch(rng)
    before = nem.get_weights()
    for name in ("clean", "noisy"):
        bad = {**batch, name: change(batch[name]).astype("float32")}
        for method in (nem.fit, nem.evaluate, nem.predict):
            clips = dict(_forms(bad))[form]
            line = f"{name}: expected pixels in .0, 1., received values in .{words}"
            with pytest.raises(ValueError, match=line) as error:
                method(clips, verbose=0)
            assert "\n" not in str(error.value)
    for ours, theirs in zip(nem.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_pixels_outside_are_refused_where_xla_compiles(rng):
    nem, batch = tiny.model("n-em"), tiny.batch(rng)
    nem.compile("adam", loss=nem.loss, jit_compile=True)
    bad = {**batch, "noisy": 255 * batch["noisy"]}
    for clips in (bad, tf.data.Dataset.from_tensors(bad)):
        with pytest.raises(ValueError, match="divide 8-bit frames by 255"):
            nem.fit(clips, verbose=0, validation_data=None)


TYPES = ["float64", "float16", "bfloat16", "uint8", "int64", "bool"]


def of_type(batch, **types):
    """A data set of one batch, as of arrays, and arrays, some of another type."""
    cast = {k: tf.cast(v, types.get(k, v.dtype)) for k, v in batch.items()}
    arrays = {name: np.asarray(value) for name, value in cast.items()}
    return tf.data.Dataset.from_tensor_slices(cast).batch(B), arrays


@pytest.mark.parametrize("dtype", TYPES)
def test_clips_of_any_type_are_scored(shared, rng, dtype):
    nem, batch = shared, tiny.batch(rng)
    expected = nem.evaluate(batch, verbose=0, return_dict=True)
    types = {"clean": dtype, "noisy": dtype}
    types |= {"pi": dtype} if dtype == "float64" else {}
    dataset, arrays = of_type(batch, **types)
    for clips in (dataset, arrays):
        found = nem.evaluate(clips, verbose=0, return_dict=True)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4)
    nem.predict(arrays, verbose=0)


PAIRS = list(zip(TYPES[::2], TYPES[1::2], strict=True))


@pytest.mark.parametrize(("clean", "noisy"), PAIRS)
def test_clips_of_any_type_are_learned_from(shared, rng, clean, noisy):
    dataset, arrays = of_type(tiny.batch(rng), clean=clean, noisy=noisy)
    first = shared.fit(arrays, verbose=0).history["loss"]
    again = shared.fit(dataset, shuffle=False, verbose=0).history["loss"]
    assert np.isfinite([first, again]).all()


NEARLY = [1.0000002, 1.0005, -1e-7, np.nextafter(np.float32(1), np.float32(2))]


@pytest.mark.parametrize("nearly", NEARLY)
def test_rounding_beside_the_range_is_cut_off(shared, rng, nearly):
    nem, batch = shared, tiny.batch(rng)
    clean = batch["clean"]
    clean[0, 1, 2, 3] = np.clip(nearly, 0, 1)
    near = clean.copy()
    near[0, 1, 2, 3] = nearly
    expected = nem.segment(clean[0]).gamma
    np.testing.assert_array_equal(nem.segment(near[0]).gamma, expected)
    stream = nem.stream()
    found = np.stack([stream(frame).gamma for frame in near[0]])
    np.testing.assert_allclose(found, expected, atol=2e-6)
    psi = nem.predict({**batch, "clean": clean}, verbose=0)["psi"]
    again = nem.predict({**batch, "clean": near}, verbose=0)["psi"]
    np.testing.assert_array_equal(again, psi)
    assert np.isfinite(nem.fit({**batch, "clean": near}, verbose=0).history["loss"][0])


def test_weights_that_are_no_numbers_are_refused(rng):
    nem, batch = tiny.model(), tiny.batch(rng)
    weights = nem.get_weights()
    weights[0].flat[0] = np.nan
    nem.set_weights(weights)
    with pytest.raises(ValueError, match="model: expected finite weights"):
        nem.segment(batch["clean"])
    with pytest.raises(ValueError, match="model: expected finite weights"):
        nem.stream()


@pytest.mark.parametrize("kind", ["conv", "dense", "rows", "patches", "n-em"])
def test_channels_stay_last_whatever_keras_is_told(rng, kind):
    """In keras.json, too, which `set_image_data_format` stands for."""
    nem, batch = tiny.model(kind, channels=3), tiny.batch(rng, channels=3)
    expected = nem(batch)
    keras.config.set_image_data_format("channels_first")
    try:
        other = tiny.model(kind, channels=3, eager=True)
        other.set_weights(nem.get_weights())
        for found in (other(batch), other.predict(batch, verbose=0)):
            for name in ("psi", "gamma"):
                np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
        other.fit(batch, verbose=0)
    finally:
        keras.config.set_image_data_format("channels_last")


ON_JAX = """
import numpy as np, tensorflow as tf
from tests import runs, tiny

nem, other, rng = tiny.model("dense"), tiny.model("dense"), np.random.default_rng(0)
batch = tiny.batch(rng)
before = nem.get_weights()
bad = {**batch, "clean": 255 * batch["clean"]}
for clips in (bad, tf.data.Dataset.from_tensors(bad)):
    for method in (nem.fit, nem.evaluate, nem.predict):
        try:
            method(clips, verbose=0)
        except ValueError as error:
            assert "divide 8-bit frames by 255" in str(error), error
        else:
            raise AssertionError(method)
for ours, theirs in zip(nem.get_weights(), before, strict=True):
    np.testing.assert_array_equal(ours, theirs)
loss = nem.evaluate(batch, verbose=0)[0]
for dtype in ("float64", "uint8", "bool", "bfloat16"):
    frames = {name: tf.cast(batch[name], dtype) for name in ("clean", "noisy")}
    clips = tf.data.Dataset.from_tensors({**batch, **frames})
    np.testing.assert_allclose(nem.evaluate(clips, verbose=0)[0], loss, rtol=1e-5)
nem.fit(batch, sample_weight=np.zeros(2), verbose=0)
bare = type(nem).from_config(nem.get_config())
bare.predict(batch, verbose=0)
bare.set_weights(other.get_weights())
try:
    bare.predict_on_batch({**batch, "noisy": batch["clean"]})
except ValueError:
    pass
for ours, theirs in zip(bare.get_weights(), other.get_weights(), strict=True):
    np.testing.assert_array_equal(ours, theirs)
frames = batch["noisy"][0]
for weights in (nem.get_weights(), other.get_weights()):
    nem.set_weights(weights)
    stream, whole = nem.stream(), nem.segment(frames)
    found = np.stack([stream(frame).psi for frame in frames])
    np.testing.assert_allclose(found, whole.psi, atol=2e-6)
"""


def test_on_jax_too():
    runs.run(ON_JAX, **runs.on_jax())
