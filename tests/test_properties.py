"""What holds for any input: of the generator, the metrics and the E-step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from keras import ops
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from nem_tf import EStep, adjusted_mutual_information, data, scores

FEW = settings(max_examples=5, deadline=None, derandomize=True)
MANY = settings(max_examples=100, deadline=None, derandomize=True)


@st.composite
def clip_settings(draw):
    """Keyword arguments that every generated data set takes."""
    batch_size = draw(st.integers(1, 5))
    return {
        "split": draw(st.sampled_from(["train", "validation", "test"])),
        "objects": draw(st.integers(1, 5)),
        "components": draw(st.integers(1, 4)),
        "steps": draw(st.integers(1, 5)),
        "batch_size": batch_size,
        "seed": draw(st.integers(0, 2**63 - 1)),
        "noise": draw(st.floats(0, 1)),
        "size": (draw(st.integers(14, 30)), draw(st.integers(14, 30))),
        "speed": draw(st.integers(0, 1)),
        "clips": draw(st.integers(batch_size, 9)),
    }


def make(kind, **keywords):
    if kind == "mnist":
        keywords["digits"] = "sklearn-digits"
        return data.flying_mnist(**keywords).as_numpy_iterator()
    if kind == "static":
        keywords.pop("speed")
        return data.static_shapes(**keywords).as_numpy_iterator()
    return data.flying_shapes(**keywords).as_numpy_iterator()


@pytest.mark.parametrize("kind", ["shapes", "static", "mnist"])
@FEW
@given(chosen=clip_settings())
def test_clips_are_what_they_say(kind, chosen):
    (height, width), steps = chosen["size"], chosen["steps"]
    seen = []
    for batch in make(kind, **chosen):
        count = len(batch["index"])
        assert batch["clean"].shape == (count, steps + 1, height, width, 1)
        assert batch["noisy"].shape == (count, steps, height, width, 1)
        assert batch["groups"].shape == (count, steps + 1, height, width)
        assert batch["pi"].shape == (count, chosen["components"], height, width, 1)
        for pixels in (batch["clean"], batch["noisy"]):
            assert pixels.dtype == np.float32
            assert pixels.min() >= 0 and pixels.max() <= 1
        assert set(np.unique(batch["groups"])) <= set(range(chosen["objects"] + 1))
        assert np.all(batch["clean"][batch["groups"] > 0] >= 0.5)  # the object's ink
        np.testing.assert_allclose(batch["pi"].sum(axis=1), 1, atol=1e-6)
        if chosen["noise"] == 0:
            np.testing.assert_array_equal(batch["noisy"], batch["clean"][:, :-1])
        if kind == "static" or chosen["speed"] == 0:
            assert np.all(batch["clean"] == batch["clean"][:, :1])
        seen += batch["index"].tolist()
    whole = chosen["clips"] // chosen["batch_size"] * chosen["batch_size"]
    assert len(seen) == (whole if chosen["split"] == "train" else chosen["clips"])
    assert len(set(seen)) == len(seen) and max(seen) < chosen["clips"]


@pytest.mark.parametrize("kind", ["shapes", "mnist"])
@FEW
@given(chosen=clip_settings(), skip=st.integers(0, 20))
def test_a_clip_is_the_same_in_any_batch_and_after_any_skip(kind, chosen, skip):
    chosen = {**chosen, "epochs": None, "skip": skip}
    (first,) = [batch for batch, _ in zip(make(kind, **chosen), "1", strict=False)]
    alone = make(kind, **{**chosen, "batch_size": 1})
    for clip, other in zip(range(len(first["index"])), alone, strict=False):
        for name, values in first.items():
            np.testing.assert_array_equal(values[clip], other[name][0])


@st.composite
def groupings(draw):
    """Labels (H, W), 0 for not scored, and a winner for each pixel."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    labels = draw(arrays.arrays("int32", shape, elements=st.integers(0, 4)))
    winners = draw(arrays.arrays("int32", shape, elements=st.integers(0, 3)))
    return labels, winners


def soft(winners, components=4):
    """gamma (K, H, W, 1) in which `winners` have most of each pixel."""
    hard = np.eye(components, dtype="float32")[winners]  # (H, W, K)
    return np.moveaxis(0.6 * hard + 0.1, -1, 0)[..., None]


@MANY
@given(groupings())
def test_scores_are_scikit_learns(grouping):
    labels, winners = grouping
    gamma, scored = soft(winners), labels > 0
    table = scores.contingency_table(labels, gamma, objects=4)
    theirs = adjusted_rand_score(labels[scored], winners[scored])
    np.testing.assert_allclose(scores.ari_from_table(table), theirs, atol=1e-5)
    for method in ("max", "arithmetic"):
        ours = adjusted_mutual_information(labels, gamma, method)
        theirs = adjusted_mutual_info_score(
            labels[scored], winners[scored], average_method=method
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@MANY
@given(groupings(), st.permutations(range(4)), st.permutations([1, 2, 3, 4]))
def test_scores_know_no_names(grouping, components, objects):
    """Neither the order of the components nor that of the objects matters."""
    labels, winners = grouping
    names = np.array([0, *objects], "int32")
    other = names[labels], soft(winners)[list(components)]
    here = adjusted_mutual_information(labels, soft(winners))
    np.testing.assert_allclose(adjusted_mutual_information(*other), here, atol=1e-9)
    ari = [
        scores.ari_from_table(scores.contingency_table(*pair, objects=4))
        for pair in ((labels, soft(winners)), other)
    ]
    np.testing.assert_allclose(ari[0], ari[1], atol=1e-6)


def pixels(shape, least=0.0, most=1.0):
    number = st.floats(least, most, width=32)
    return arrays.arrays("float32", shape, elements=number)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@MANY
@given(data_=st.data(), components=st.integers(1, 4))
def test_the_e_step_is_a_posterior(likelihood, data_, components):
    """It sums to 1, follows relabelled components, and prefers what explains better."""
    x = data_.draw(pixels((2, 3, 1)))
    x = np.round(x) if likelihood == "bernoulli" else x
    psi = data_.draw(pixels((components, 2, 3, 1)))
    order = data_.draw(st.permutations(range(components)))
    e_step = EStep(likelihood)
    gamma = ops.convert_to_numpy(e_step(x, psi))
    assert gamma.shape == (components, 2, 3, 1)
    assert gamma.min() >= 0 and gamma.max() <= 1
    np.testing.assert_allclose(gamma.sum(axis=0), 1, atol=1e-6)
    again = ops.convert_to_numpy(e_step(x, psi[list(order)]))
    np.testing.assert_allclose(again, gamma[list(order)], atol=1e-6)
    error = np.abs(x - psi)  # (K, H, W, 1)
    for k in range(components):
        better = error[k] + 1e-3 < error
        assert np.all((gamma[k] >= gamma - 1e-6)[better])
