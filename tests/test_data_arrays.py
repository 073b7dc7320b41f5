"""Clips from arrays: the batches, the noise, and what is refused."""

import tracemalloc

import numpy as np
import pytest

from nem_tf import data

SHAPE = N, F, H, W = 6, 4, 5, 7


def batch_of(*arrays, **settings):
    clips = data.from_arrays(*arrays, **{"batch_size": 3, "noise": 0.0, **settings})
    return {name: np.asarray(x) for name, x in next(iter(clips)).items()}


def test_batches_have_the_clips_in_their_order(rng):
    frames, groups = rng.random(SHAPE), rng.integers(0, 3, SHAPE)
    batch = batch_of(frames, groups, split="test", components=2)
    np.testing.assert_allclose(batch["clean"][..., 0], frames[:3], rtol=1e-6)
    np.testing.assert_array_equal(batch["noisy"], batch["clean"][:, :-1])
    np.testing.assert_array_equal(batch["groups"], groups[:3])
    assert batch["pi"].shape == (3, 2, H, W, 1)
    np.testing.assert_allclose(batch["pi"].sum(1), 1.0, rtol=1e-6)


def test_training_clips_come_in_another_order_in_each_epoch(rng):
    clips = data.from_arrays(rng.random(SHAPE), batch_size=N, epochs=2)
    first, second = (np.asarray(batch["index"]) for batch in clips)
    assert sorted(first) == sorted(second) == list(range(N))
    assert (first != second).any()


@pytest.mark.parametrize("groups", [None, np.zeros(SHAPE, int)])
def test_labels_that_are_none(rng, groups):
    assert "groups" not in batch_of(rng.random(SHAPE), groups)


def test_the_noise_is_that_of_the_pixels(rng):
    binary = (rng.random((*SHAPE, 3)) < 0.3).astype("uint8")
    noisy = batch_of(binary, noise=0.5)["noisy"]
    assert noisy.shape == (3, F - 1, H, W, 3) and set(np.unique(noisy)) == {0.0, 1.0}
    grey = batch_of(rng.random(SHAPE), noise=0.5)["noisy"]
    assert len(np.unique(grey)) > grey.size / 2


@pytest.mark.parametrize(
    ("frames", "groups", "message"),
    [
        (np.zeros((N, F)), None, "frames: expected shape .N, T.1, H, W. or"),
        (np.zeros((N, 1, H, W)), None, "with T of at least 1"),
        (np.full(SHAPE, 255), None, "divide 8-bit frames by 255"),
        (np.zeros(SHAPE), np.zeros((N, F)), "groups: expected shape .6, 4, 5, 7."),
        (np.zeros(SHAPE), np.full(SHAPE, 0.5), "groups: expected integers from 0"),
        (np.zeros(SHAPE), np.full(SHAPE, -1), "groups: expected integers from 0"),
    ],
)
def test_refusals(frames, groups, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays(frames, groups)


def test_a_kind_of_noise_that_there_is_not():
    with pytest.raises(ValueError, match="noise_kind: expected one of auto, bitflip"):
        data.from_arrays(np.zeros(SHAPE), noise_kind="gaussian")


def test_numbers_are_scaled_by_their_type(rng):
    frames = rng.integers(0, 256, SHAPE, np.uint8)
    for array, white in (
        (frames, 255),
        (frames.astype(np.uint16) * 257, 65535),
        (frames > 100, 1),
        ((frames > 100).astype(np.uint16), 1),
        (frames / 255, 1),
    ):
        clean = batch_of(array, split="test")["clean"][..., 0]
        np.testing.assert_allclose(clean, array[:3] / white, atol=1e-6)


def test_black_and_white_of_8_bits_is_flipped(rng):
    frames = (rng.random(SHAPE) < 0.3).astype(np.uint8) * 255
    batch = batch_of(frames, split="test", noise=1.0)
    np.testing.assert_array_equal(batch["noisy"], 1 - batch["clean"][:, :-1])


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_background_of_a_clip_is_estimated(rng, kind):
    behind = rng.integers(0, 256, (N, 1, H, W, 3))
    frames = np.repeat(behind, 5, axis=1)
    for t in range(5):
        frames[:, t, :2, t] = 255 - frames[:, t, :2, t]
    frames = (frames / 255 if kind is np.float32 else frames).astype(kind)
    batch = batch_of(frames, split="test", background="still")
    np.testing.assert_allclose(batch["background"], behind[:3, 0] / 255, atol=1e-6)
    assert batch["background"].shape == (3, H, W, 3)


def test_backgrounds_that_are_given(rng):
    frames = rng.integers(0, 256, SHAPE, np.uint8)
    one, each = frames[0, 0] // 200, frames[:, 0] // 2
    given = batch_of(frames, split="test", background=one)["background"]
    np.testing.assert_allclose(given, np.stack([one[..., None]] * 3) / 255)
    given = batch_of(frames, split="test", background=each)["background"]
    np.testing.assert_allclose(given, each[:3, ..., None] / 255, atol=1e-7)
    given = batch_of(frames, split="test", background=each / 255)["background"]
    np.testing.assert_allclose(given, each[:3, ..., None] / 255, atol=1e-7)
    given = batch_of(frames / 255, split="test", background=each)["background"]
    np.testing.assert_allclose(given, each[:3, ..., None] / 255, atol=1e-7)


@pytest.mark.parametrize("background", ["median", np.zeros((H, W + 1)), np.zeros(3)])
def test_backgrounds_that_do_not_fit(background):
    with pytest.raises(
        ValueError, match="background: expected one of auto, plain, still, .5, 7, 1. or"
    ):
        data.from_arrays(np.zeros(SHAPE), background=background)


def test_a_memory_map_stays_one(tmp_path, rng):
    frames = np.lib.format.open_memmap(
        tmp_path / "clips.npy", "w+", np.uint8, (200, 8, 64, 64)
    )
    frames[:, :, :9] = 255
    tracemalloc.start()
    batch_of(frames, split="test")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < frames.nbytes / 2
