import concurrent.futures
import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from nem_tf import AdjustedRandIndex, EStep, NEMCell, NEMLoss, NeuralEM
from nem_tf.layers import Dense, InputNormalization, Recurrence
from nem_tf.layers.convolutions import HalvingConv2D, UpsampleConv2D
from nem_tf.layers.normalization import LayerNorm
from nem_tf.layers.prepared import prepared
from tests import runs, tiny
from tests.tiny import B, C, H, K, T, W

ROOT = pathlib.Path(__file__).parents[1]
SAVED = {"conv": "gaussian", "dense": "bernoulli", "n-em": "bernoulli"}
FRESH = """
import keras, numpy as np, sys
import nem_tf
for folder in sys.argv[1:]:
    nem = keras.saving.load_model(f"{folder}/model.keras")
    batch = dict(np.load(f"{folder}/batch.npz"))
    outputs = nem(batch)
    np.savez(f"{folder}/answer.npz", psi=outputs["psi"], gamma=outputs["gamma"],
             loss=nem.compute_loss(batch, y_pred=outputs))
"""


def test_a_saved_model_answers_the_same_in_a_fresh_process(rng, tmp_path):
    models, batch = {}, tiny.batch(rng)
    for kind, likelihood in SAVED.items():
        nem = models[tmp_path / kind] = tiny.model(kind, likelihood, eager=True)
        nem.train_on_batch(batch)
        (tmp_path / kind).mkdir()
        nem.save(tmp_path / kind / "model.keras")
        np.savez(tmp_path / kind / "batch.npz", **batch)
    runs.run(FRESH, *models)
    for folder, nem in models.items():
        answer, outputs = np.load(folder / "answer.npz"), nem(batch)
        np.testing.assert_allclose(answer["psi"], outputs["psi"], atol=1e-6)
        np.testing.assert_allclose(answer["gamma"], outputs["gamma"], atol=1e-5)
        expected = nem.compute_loss(batch, y_pred=outputs)
        np.testing.assert_allclose(answer["loss"], expected, rtol=1e-6)


def test_a_saved_model_keeps_the_moments_of_its_optimizer(rng, tmp_path):
    nem, batch = tiny.model(eager=True), tiny.batch(rng)
    nem.train_on_batch(batch)
    nem.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(
        nem.optimizer.variables, loaded.optimizer.variables, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert loaded.loss.inter_weight == nem.loss.inter_weight


LAYERS = [
    (HalvingConv2D(3), [(2, 8, 6, 4)]),
    (UpsampleConv2D(3), [(2, 5, 6, 4)]),
    (LayerNorm("elu"), [(2, 5, 6, 4)]),
    (Dense(3), [(2, 4)]),
    (InputNormalization(), [(2, 5, 6, 1)]),
    (Recurrence(7), [(2, 4), (2, 7)]),
    (Recurrence(7, normalize=False), [(2, 4), (2, 7)]),
    (tiny.cell("conv").e_step, [(2, 5, 6, 1), (2, 4, 5, 6, 1)]),
]


@pytest.mark.parametrize(
    ("layer", "shapes"), LAYERS, ids=[layer.name for layer, _ in LAYERS]
)
def test_every_layer_keeps_its_contracts(rng, layer, shapes):
    inputs = [rng.random(shape).astype("float32") for shape in shapes]
    expected = layer(*inputs)
    json.dumps(layer.get_config(), default=str)
    again = type(layer).from_config(layer.get_config())
    again(*inputs)
    again.set_weights(layer.get_weights())
    shapes_said = layer.compute_output_shape(*shapes)
    for ours, theirs, said in zip(
        _flat(expected), _flat(again(*inputs)), _shapes(shapes_said), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert tuple(ours.shape) == tuple(said)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("kind", ["conv", "n-em"])
def test_mixed_precision_trains_and_stays_near(rng, policy, kind):
    batch = tiny.batch(rng)
    exact = tiny.model(kind)
    keras.config.set_dtype_policy(policy)
    in_graph = (policy, kind) == ("mixed_float16", "n-em")  # which scales the loss
    nem = tiny.model(kind, eager=not in_graph)
    nem.set_weights(exact.get_weights())
    outputs = nem(batch)
    assert "float32" in str(outputs["gamma"].dtype)
    np.testing.assert_allclose(
        np.asarray(outputs["psi"], "float32"), exact(batch)["psi"], atol=0.06
    )
    assert np.isfinite(nem.train_on_batch(batch)).all()


@pytest.mark.parametrize("kind", ["rows", "patches"])
def test_a_model_of_half_precision_is_read_anywhere(rng, kind, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    nem = tiny.model(kind)
    nem.save(tmp_path / "model.keras")
    frames = tiny.batch(rng)["noisy"][0]
    with runs.eager():
        found = nem.segment(frames)
        keras.config.set_dtype_policy("float32")
        again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
        np.testing.assert_array_equal(again.segment(frames).psi, found.psi)


def test_clips_need_no_labels(rng):
    nem, batch = tiny.model("n-em"), tiny.batch(rng)
    del batch["groups"]
    clips = tf.data.Dataset.from_tensors(batch)
    history = nem.fit(clips, shuffle=False, verbose=0).history
    assert {"loss", "intra", "inter", "next_step_bound"} == set(history)


def test_metrics_of_ones_own(rng):
    nem, batch = tiny.model(), tiny.batch(rng)
    own = {
        "psi": [keras.metrics.MeanSquaredError()],
        "gamma": [AdjustedRandIndex(3, name="own")],
    }
    nem.compile("adam", loss=nem.loss, metrics=own, run_eagerly=True)
    clips = tf.data.Dataset.from_tensors(batch)
    history = nem.fit(clips, shuffle=False, verbose=0).history
    found = nem.evaluate(clips, verbose=0, return_dict=True)
    assert found.keys() == history.keys()
    mse, again = found["psi_mean_squared_error"], found["gamma_own"]
    error = batch["clean"][:, 1:, None] - nem.predict_on_batch(batch)["psi"]
    assert mse == pytest.approx(np.mean(error**2), rel=1e-4)
    assert again == pytest.approx(found["ari"], abs=1e-6)
    del batch["groups"]
    clips = tf.data.Dataset.from_tensors(batch)
    unlabelled = nem.evaluate(clips, verbose=0, return_dict=True)
    assert unlabelled["psi_mean_squared_error"] == pytest.approx(mse)
    assert found.keys() - unlabelled.keys() == {
        *("ari", "distinct_components", "purity", "gamma_own")
    }


def test_the_loss_fits_the_cell(rng):
    nem = tiny.model()
    problem = "loss: expected the likelihood of the cell, 'bernoulli', received 'gau"
    with pytest.raises(ValueError, match=problem):
        nem.compile("adam", loss=NEMLoss("gaussian"))
    loss = NEMLoss()
    nem.compile("adam", loss=loss, run_eagerly=True)
    assert nem.loss.likelihood.name == "bernoulli" and loss.likelihood is None
    nem.train_on_batch(tiny.batch(rng))
    with pytest.raises(ValueError, match="likelihood: expected one to compute the"):
        loss(np.zeros((1, 1, H, W, C)), {"psi": 0.0, "gamma": 0.0})
    nem.compile("adam", loss="mse")
    with pytest.raises(ValueError, match="loss: expected a NEMLoss, received 'mse'"):
        nem.train_on_batch(tiny.batch(rng))


def test_threads_prepare_their_own_weights():
    cell = tiny.cell()
    cell.build()
    dense = next(x for x in cell.encoder.layers if isinstance(x, Dense))
    with prepared(cell), concurrent.futures.ThreadPoolExecutor(1) as pool:
        mine = dense.ready
        assert dense.ready is mine
        assert pool.submit(lambda: dense.ready).result() is not mine


def test_segment_takes_clips_of_every_form(rng):
    nem = tiny.model(eager=True)
    clip = tiny.batch(rng)["clean"][0]  # (T+1, H, W, C)
    found = nem.segment(clip)
    assert found.segments.shape == (T + 1, H, W)
    assert found.gamma.shape == (T + 1, K, H, W, 1)
    assert found.psi.shape == (T + 1, K, H, W, C)
    without_channels = nem.segment(clip[..., 0])
    batched = nem.segment(np.stack([clip, clip]))
    for other in (without_channels.gamma, batched.gamma[0]):
        np.testing.assert_allclose(other, found.gamma, atol=1e-6)
    assert nem.segment(clip, components=2).gamma.shape[1] == 2
    assert np.abs(nem.segment(clip, seed=1).gamma - found.gamma).max() > 0.01


def test_segment_runs_what_training_runs(rng):
    nem, batch = tiny.model(), tiny.batch(rng)
    found = nem.segment(batch["clean"], seed=3)
    start = np.asarray(found.gamma[:, 0])
    outputs = nem({**batch, "pi": start})
    np.testing.assert_allclose(found.psi[:, :-1], outputs["psi"], atol=1e-6)
    np.testing.assert_allclose(found.gamma[:, 1:], outputs["gamma"], atol=1e-5)


def test_refuses_wrong_frames(rng):
    nem, batch = tiny.model("n-em"), tiny.batch(rng)
    with pytest.raises(ValueError, match=r"frames: expected \(T, 8, 12, 1\)"):
        nem.segment(np.zeros((T, H, W + 1)))
    with pytest.raises(ValueError, match=r"frames: expected pixels in \[0, 1\]"):
        nem.segment(np.full((T, H, W), 255.0))
    with pytest.raises(ValueError, match=r"frames: expected pixels in \[0, 1\]"):
        nem.segment(np.full((T, H, W), np.nan))
    with pytest.raises(ValueError, match="components: expected at least 1"):
        nem.segment(batch["clean"], components=0)
    with pytest.raises(ValueError, match="noisy: expected shape"):
        nem({**batch, "noisy": batch["clean"]})
    with pytest.raises(ValueError, match="pi: expected shape"):
        nem({**batch, "pi": batch["pi"][:, :, 1:]})
    with pytest.raises(ValueError, match=r"clean: expected pixels in \[0, 1\]"):
        nem({**batch, "clean": batch["clean"] - 1})


def test_metrics_say_what_the_loss_is_made_of(rng):
    nem, batch = tiny.model(eager=True), tiny.batch(rng)
    logs = nem.test_on_batch(batch, return_dict=True)
    assert set(logs) == {
        "loss",
        "intra",
        "inter",
        "next_step_bound",
        "ari",
        "distinct_components",
        "purity",
    }
    np.testing.assert_allclose(logs["loss"], logs["intra"] + logs["inter"], rtol=1e-5)


def test_unrolled_graph_gives_the_same_numbers(rng):
    nem, batch = tiny.model(), tiny.batch(rng)
    unrolled = NeuralEM(nem.cell, unroll=True)
    psi = nem(batch)["psi"]
    np.testing.assert_array_equal(unrolled(batch, training=True)["psi"], psi)
    np.testing.assert_array_equal(unrolled(batch)["psi"], psi)


@pytest.mark.parametrize(
    ("steps", "numbers"), [("all", (1, 3, 4)), ("last", (1, 2))], ids=["all", "last"]
)
def test_lanes_compute_what_the_whole_batch_does(rng, steps, numbers):
    batch = tiny.batch(rng, clips=6)
    found = []
    for lanes in numbers:
        keras.utils.set_random_seed(3)
        nem = tiny.model(eager=True)
        nem.loss.steps = steps
        nem.lanes = lanes
        logs = nem.train_on_batch(batch, return_dict=True)
        found.append([*logs.values(), *nem.get_weights()])
    for lanes, other in zip(numbers[1:], found[1:], strict=True):
        for ours, theirs in zip(other, found[0], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
        if 6 % lanes:  # all of the batch in one
            assert all(map(np.array_equal, other, found[0]))


def test_the_loss_of_the_last_step_looks_at_no_other(rng):
    nem, batch = tiny.model(), tiny.batch(rng)
    nem.loss.steps = "last"
    outputs = nem(batch)
    expected = nem.loss(batch["clean"][:, 1:], outputs)
    loss = nem.compute_loss(batch, y_pred=outputs)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["dense", "n-em", "rows"])
def test_training_on_the_last_step_returns_that_step(rng, kind):
    nem, batch = tiny.model(kind), tiny.batch(rng)
    whole = nem(batch, training=True)
    nem.loss.steps = "last"
    last = nem(batch, training=True)
    for name, value in whole.items():
        np.testing.assert_allclose(last[name], value[:, -1:], rtol=1e-6, atol=1e-7)
    assert nem(batch)["psi"].shape == whole["psi"].shape


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
def test_a_graph_of_the_last_step_has_the_gradients_of_all(rng, unroll):
    import tensorflow as tf

    batch = tiny.batch(rng)
    cell = NEMCell(7, (H, W, C), EStep("bernoulli", differentiable=True), K)
    nem = NeuralEM(cell, unroll=unroll)
    nem.compile(keras.optimizers.SGD(0.01), loss=NEMLoss(steps="last"))
    with tf.GradientTape() as tape:
        loss = nem.compute_loss(batch, y_pred=nem(batch))  # outputs of all steps
    gradients = tape.gradient(loss, nem.trainable_variables)
    before = nem.get_weights()
    nem.train_on_batch(batch)
    for gradient, old, new in zip(gradients, before, nem.get_weights(), strict=True):
        np.testing.assert_allclose(old - new, 0.01 * gradient, rtol=1e-3, atol=1e-6)


def test_loss_through_gamma_reaches_the_weights():
    """A constant gamma and a differentiable one give different gradients."""
    import tensorflow as tf

    batch = tiny.batch(np.random.default_rng(0))
    gradients = []
    for differentiable in (True, False):
        keras.utils.set_random_seed(1)
        e_step = EStep("bernoulli", differentiable=differentiable)
        nem = NeuralEM(NEMCell(7, (H, W, C), e_step, K))
        nem.compile(loss=NEMLoss("bernoulli", steps="last"))
        with tf.GradientTape() as tape:
            loss = nem.compute_loss(batch, y_pred=nem(batch))
        gradients.append(tape.gradient(loss, nem.trainable_variables)[1].numpy())
    assert gradients[0].shape == (H * W * C, 7)
    assert np.abs(gradients[0] - gradients[1]).max() > 1e-6
    assert batch["clean"].shape[0] == B


def _flat(outputs):
    return outputs if isinstance(outputs, tuple | list) else [outputs]


def _shapes(shapes):
    return shapes if isinstance(shapes[0], tuple) else [shapes]
