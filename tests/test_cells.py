import numpy as np
import pytest
from keras import ops

from nem_tf import EStep, NEMCell, NeuralEM, RNNEMCell, axes, draws, networks
from nem_tf.layers import InputNormalization, Recurrence
from nem_tf.layers.convolutions import UpsampleConv2D
from nem_tf.random_start import random_start, sides
from tests import reference, tiny
from tests.tiny import B, C, H, K, T, W


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("kind", ["conv", "dense", "n-em"])
def test_arrival_order_equals_the_original_order(rng, kind, likelihood):
    nem = tiny.model(kind, likelihood)
    batch = tiny.batch(rng, binary=likelihood == "bernoulli")
    outputs = nem(batch)

    def m_step(delta, theta):
        delta = delta[None].astype("float32")
        theta, psi = nem.cell.m_step(delta, theta[None].astype("float32"))
        return np.asarray(theta[0]), np.asarray(psi[0])

    for clip in range(B):
        psi, gamma = reference.original_order(
            m_step,
            likelihood,
            batch["clean"][clip],
            batch["noisy"][clip],
            batch["pi"][clip],
            np.zeros((K, nem.cell.units)),
            np.zeros((K, H, W, C)),
        )
        np.testing.assert_allclose(outputs["psi"][clip], psi, atol=1e-5)
        np.testing.assert_allclose(outputs["gamma"][clip], gamma, atol=1e-4)


@pytest.mark.parametrize("kind", ["conv", "n-em"])
def test_relabelling_pi_relabels_everything(rng, kind):
    nem, batch = tiny.model(kind), tiny.batch(rng)
    order = [2, 0, 3, 1]
    outputs = nem(batch)
    relabelled = nem({**batch, "pi": batch["pi"][:, order]})
    for name in ("psi", "gamma"):
        expected = np.asarray(outputs[name])[:, :, order]
        np.testing.assert_allclose(relabelled[name], expected, atol=1e-5)


def test_streaming_equals_the_whole_clip(rng):
    nem, batch = tiny.model(), tiny.batch(rng)
    whole = nem(batch)["psi"]
    states = nem.cell.get_initial_state(pi=batch["pi"])
    for step in range(T):
        frames = axes.pack_frames(batch["clean"][:, step], batch["noisy"][:, step])
        psi, states = nem.cell(frames, states)
        psi = np.reshape(psi, whole[:, step].shape)
        np.testing.assert_allclose(psi, whole[:, step], atol=1e-6)


def test_k_belongs_to_the_call(rng):
    nem = tiny.model(components=4)
    for components in (1, 2, 5):
        outputs = nem(tiny.batch(rng, components=components))
        assert outputs["psi"].shape == (B, T, components, H, W, C)
        assert outputs["gamma"].shape == (B, T, components, H, W, 1)
        total = ops.sum(outputs["gamma"], axis=axes.COMPONENTS)
        np.testing.assert_allclose(total, 1.0, atol=1e-6)
        if components == 1:
            np.testing.assert_array_equal(outputs["gamma"], 1.0)


def test_more_than_one_channel(rng):
    nem = tiny.model("conv", "gaussian", channels=3)
    batch = tiny.batch(rng, binary=False, channels=3)
    assert nem(batch)["psi"].shape == (B, T, K, H, W, 3)
    assert np.isfinite(nem.compute_loss(batch, y_pred=nem(batch)))


def test_n_em_never_lowers_the_likelihood_by_small_steps(rng):
    cell = NEMCell(7, (H, W, C), EStep("bernoulli"), learning_rate=0.5)
    cell.build()
    x = (rng.random((1, 1, H, W, C)) < 0.3).astype("float32")
    theta = rng.standard_normal((1, K, 7)).astype("float32")
    _, psi = cell.m_step(np.zeros((1, K, H, W, C), "float32"), theta)
    likelihoods = []
    for _ in range(60):
        mixture = np.mean(np.where(x == 1, psi, 1 - np.asarray(psi)), axis=1)
        likelihoods.append(np.sum(np.log(mixture)))
        gamma = cell.e_step(x[:, 0], psi)
        theta, psi = cell.m_step(gamma * (x - psi), theta)
    assert np.diff(likelihoods).min() >= -1e-4
    assert likelihoods[-1] > likelihoods[0] + 0.5


def test_upsampling_convolution_equals_resize_then_convolve(rng):
    layer = UpsampleConv2D(3)
    layer.build((None, 5, 6, 2))
    layer.bias.assign(rng.standard_normal(3))
    images = rng.standard_normal((2, 5, 6, 2)).astype("float32")
    kernel, bias = layer.get_weights()
    expected = reference.up_convolution(images, kernel, bias)
    np.testing.assert_allclose(layer(images), expected, atol=1e-5)


def test_recurrence_carries_on_what_is_not_normalised(rng):
    layer = Recurrence(5)
    layer.build((None, 4), (None, 5))
    features = rng.standard_normal((3, 4)).astype("float32")
    theta = rng.standard_normal((3, 5)).astype("float32")
    output, state = layer(features, theta)
    z = np.concatenate([features, theta], axis=1) @ layer.get_weights()[0]
    norm = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
    np.testing.assert_allclose(state, 1 / (1 + np.exp(-z)), atol=1e-6)
    np.testing.assert_allclose(output, 1 / (1 + np.exp(-norm)), atol=1e-5)


def test_input_normalisation_survives_a_blank_image(rng):
    images = rng.random((3, 5, 6, 1)).astype("float32")
    images[1] = 0.25
    images[2] *= 1e-6
    out = np.asarray(InputNormalization()(images))
    np.testing.assert_array_equal(out[1], 0.0)
    for image in (out[0], out[2]):
        np.testing.assert_allclose([image.mean(), image.std()], [0, 1], atol=1e-3)


@pytest.mark.parametrize(
    ("parts", "count"),
    [
        (networks.static_shapes, 455_534),
        (networks.flying_shapes, 3_403_389),
        (networks.flying_mnist, 1_835_091),
    ],
)
def test_as_many_weights_as_the_original(parts, count):
    cell = RNNEMCell(**parts())
    cell.build()
    assert cell.count_params() == count


def test_n_em_has_as_many_weights_as_the_original():
    cell = NEMCell()
    cell.build()
    assert cell.count_params() == 196_001


def test_refuses_what_cannot_be_built():
    with pytest.raises(ValueError, match="size: expected multiples of 4"):
        networks.flying_shapes(size=(28, 30))
    with pytest.raises(ValueError, match="components: expected a whole number"):
        tiny.cell(components=0)
    with pytest.raises(ValueError, match=r"frame_shape: expected \(H, W, C\)"):
        NEMCell(frame_shape=(28, 28))
    parts = {**networks.static_shapes(), "frame_shape": (14, 28, 1)}
    with pytest.raises(ValueError, match="decoder: expected output of shape"):
        RNNEMCell(**parts).build()


@pytest.mark.parametrize("kind", ["patches", "n-em"])
def test_noise_on_theta_in_training_is_a_function_of_the_frame(rng, kind):
    made = tiny.cell(kind)
    made.theta_noise = 0.5
    nem = NeuralEM(made)
    batch = tiny.batch(rng)
    clips = {name: batch[name] for name in ("clean", "noisy", "pi")}
    quiet = nem(clips)["psi"]
    noisy = np.asarray(nem(clips, training=True)["psi"])
    np.testing.assert_array_equal(nem(clips, training=True)["psi"], noisy)
    assert np.abs(noisy - quiet).max() > 1e-3
    second = {name: value[1:] for name, value in clips.items()}
    alone = nem(second, training=True)["psi"]  # whatever else is in the batch
    np.testing.assert_allclose(alone, noisy[1:], atol=1e-5)


def test_noise_on_theta_has_its_size_and_differs_between_components():
    made = tiny.cell("n-em")
    made.theta_noise = 0.5
    theta = np.zeros((300 * K, 7), "float32")
    seed = draws.fingerprint(np.random.default_rng(0).random((300, H, W, C)))
    noise = np.asarray(made.with_noise(theta, seed)).reshape(300, K, 7)
    assert abs(noise.std() - 0.5) < 0.02 and abs(noise.mean()) < 0.02
    likeness = np.corrcoef(noise.transpose(1, 0, 2).reshape(K, -1))
    assert np.abs(likeness - np.eye(K)).max() < 0.1
    assert made.with_noise(theta, None) is theta


def test_a_cell_that_starts_from_sides(rng):
    """Clip, stream and `segment` begin with the same sides."""
    parts = networks.places(
        filters=2, object_size=(3, 5), features=4, units=5, rank=2, size=(H, W)
    )
    of_training = {"floor": 0.02, "keep_floor": True, "theta_noise": 0.1}
    of_training["floor_in_training"] = False
    nem = NeuralEM(RNNEMCell(**parts, components=3, start="sides", **of_training))
    frames = tiny.batch(rng)["clean"][0]
    found = nem.segment(frames, seed=4)
    expected = sides(random_start([4], 3, (H, W, 1)))[0]
    np.testing.assert_allclose(found.gamma[0], expected, atol=1e-6)
    np.testing.assert_allclose(nem.stream(seed=4)(frames[0]).gamma, expected, atol=1e-6)
    again = RNNEMCell.from_config(nem.cell.get_config())
    assert again.start == "sides"
    assert {name: getattr(again, name) for name in of_training} == of_training


def test_refuses_an_unknown_start_and_noise_below_zero():
    parts = networks.narrow(size=(H, W))
    with pytest.raises(ValueError, match="start: expected random or sides, received"):
        RNNEMCell(**parts, start="halves")
    with pytest.raises(ValueError, match="theta_noise: expected at least 0, received"):
        RNNEMCell(**parts, theta_noise=-0.1)
