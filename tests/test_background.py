"""What is behind the objects of clips: plain, of a gradient, of a texture, or large."""

import time
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from nem_tf.data.sprites import flying_sprites
from reading import background
from reading.background import estimate


@pytest.fixture(scope="module", params=[2.0, 0.5], ids=["fast", "slow"])
def sprites(request):
    """Speed, 12 clips of 20 frames over backgrounds of all kinds, and these."""
    data = flying_sprites("test", speed=request.param, steps=19, batch_size=12, seed=3)
    batch = next(iter(data))
    return request.param, batch["clean"].numpy(), batch["background"].numpy()


def texture(rng, size=(24, 32), channels=3):
    """Smooth noise in [0.1, 0.9]: float32 (H, W, C)."""
    image = ndimage.gaussian_filter(rng.normal(size=(*size, channels)), (2, 2, 0))
    return np.interp(image, (image.min(), image.max()), (0.1, 0.9)).astype("float32")


def with_square(image, length=20, side=6, speed=1.5, colour=1.0):
    """A square goes to the right, in front of an image: float32 (T, H, W, C)."""
    frames = np.repeat(image[None], length, axis=0)
    for t in range(length):
        left = 2 + int(speed * t) % (image.shape[1] - side - 2)
        frames[t, 5 : 5 + side, left : left + side] = colour
    return frames


def errors(found, true):
    """Mean absolute error, and the share of pixels off by more than 0.1."""
    away = np.abs(found - true)
    return np.array([away.mean(), (away.max(axis=-1) > 0.1).mean()])


def test_better_than_the_median_behind_sprites(sprites):
    speed, clips, behind = sprites
    pairs = list(zip(clips, behind, strict=True))
    mine = np.mean([errors(estimate(x, "still"), b) for x, b in pairs], 0)
    median = np.mean([errors(np.median(x, 0), b) for x, b in pairs], 0)
    assert (mine < (0.2 if speed == 2 else 0.45) * median).all()


def test_the_kind_of_sprites_backgrounds(sprites):
    _, clips, behind = sprites
    plain = np.ptp(behind, axis=(1, 2)).max(axis=-1) == 0
    assert plain.any() and not plain.all()
    assert background.kind_of(list(clips[plain])) == "plain"
    assert background.kind_of(list(clips[~plain])) == "still"
    for x, b in zip(clips[plain], behind[plain], strict=True):
        np.testing.assert_allclose(estimate(x), b, atol=0.5 / 255)


def test_noise_is_averaged(rng):
    image = texture(rng)
    clean = with_square(image)
    x = np.clip(clean + rng.normal(0, 0.03, clean.shape), 0, 1).astype("float32")
    mine = errors(estimate(x, "still"), image)
    assert mine[0] < 0.01 and mine[1] == 0
    assert background.noise(x) == pytest.approx(0.03, rel=0.1)
    assert background.least_distance(background.noise(x), 3) == pytest.approx(
        4 * 0.03 * 3**0.5, rel=0.1
    )
    assert background.least_distance(background.noise(clean), 3) == background.DIFFERENT


def test_a_noisy_plain_background_is_plain(rng):
    x = with_square(np.full((24, 32, 1), 0.4, "float32"))
    x = np.clip(x + rng.normal(0, 0.05, x.shape), 0, 1).astype("float32")
    assert background.kind_of([x]) == "plain"
    assert np.ptp(estimate(x)) == 0 and errors(estimate(x), 0.4)[0] < 0.005


def test_where_the_background_is_never_seen_it_goes_on(rng):
    across = np.linspace(0.2, 0.7, 32, dtype="float32")
    image = np.broadcast_to(across[:, None], (24, 32, 3))
    x = with_square(image, length=5, side=8, speed=1)
    covered = (x == 1).all(axis=(0, -1))
    assert covered.sum() == 8 * 4
    assert np.abs(estimate(x, "still") - image)[covered].max() < 0.05


def test_a_kind_may_be_asked_for(rng):
    image = texture(rng)
    x = with_square(image)
    np.testing.assert_allclose(estimate(x), image, atol=0.02)
    colour = estimate(x, "plain")
    assert colour.shape == image.shape and (np.ptp(colour, axis=(0, 1)) == 0).all()
    plain = with_square(np.full_like(image, 0.3))
    plain[:, 20:, 20:] = 0.7  # stands still: an object's, unless an image is asked for
    assert (estimate(plain) == np.float32(0.3)).all()
    np.testing.assert_allclose(estimate(plain, "still")[20:, 20:], 0.7, atol=1e-5)


def test_two_colours_that_stand_still_are_no_plain_background():
    image = np.full((24, 32, 3), 0.3, "float32")
    image[:, 18:] = 0.6
    x = with_square(image)
    assert background.plain(x)[1] > background.PLAIN
    assert background.kind_of([x]) == "still"
    np.testing.assert_allclose(estimate(x), image, atol=1e-6)


def test_a_camera_that_moves_is_no_noise(rng):
    wide = ndimage.gaussian_filter(rng.normal(size=(24, 120, 1)), (2, 2, 0)) / 2
    wide = np.clip(wide + 0.5, 0, 1).astype("float32")
    pan = np.stack([wide[:, 4 * t : 4 * t + 32] for t in range(20)])
    assert background.noise(pan) > background.FLICKER
    assert background.plain(pan)[1] > background.PLAIN
    assert background.kind_of([pan]) == "still"


def test_most_clips_decide(rng):
    plain = with_square(np.full((24, 32, 3), 0.3, "float32"))
    still = with_square(texture(rng))
    assert background.kind_of([plain, still, plain]) == "plain"
    assert background.kind_of([plain, still]) == "still"


@pytest.mark.parametrize("kind", background.KINDS)
def test_bytes_are_as_floats(rng, kind):
    x = np.rint(with_square(texture(rng)) * 255).astype(np.uint8)
    found = estimate(x, kind)
    assert found.dtype == np.float32 and 0 <= found.min() <= found.max() <= 1
    np.testing.assert_allclose(found, estimate(x / 255.0, kind), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 5, 6, 3), (3, 1, 6, 1)])
def test_small_clips(rng, shape):
    x = np.broadcast_to(rng.random(shape[1:], "float32"), shape)
    np.testing.assert_allclose(estimate(x, "still"), x[0], atol=1e-6)


def test_large_frames_are_looked_at_in_blocks(rng):
    image = ndimage.zoom(texture(rng, (24, 32)), (9, 9, 1), order=1)[:211, :287]
    x = np.repeat(image[None], 60, axis=0)
    for t in range(60):
        x[t, 20:80, 3 * t : 3 * t + 60] = 1.0
        x[t, 150, 150 + t % 4] = 0.0  # little of a block
    x = np.rint(x * 255).astype(np.uint8)
    assert background.small(x).shape == (40, 71, 96, 3)
    tracemalloc.start()
    found = estimate(x, "still")
    assert tracemalloc.get_traced_memory()[1] < 250e6
    tracemalloc.stop()
    np.testing.assert_allclose(found, image, atol=0.51 / 255)


def test_it_takes_a_tenth_of_a_second(sprites):
    clips = sprites[1][:6]
    estimate(clips[0], "still")
    took = []
    for x in clips:
        begin = time.thread_time()
        estimate(x, "still")
        took.append(time.thread_time() - begin)
    assert min(took) < 0.2  # twice as long beside other work


@pytest.mark.parametrize(
    ("frames", "kind", "message"),
    [
        (np.zeros((2, 3, 4, 1)), "median", "kind: expected auto, plain, still, rec"),
        (
            np.zeros((3, 4, 1)),
            "auto",
            r"frames: expected shape .* received \(3, 4, 1\)",
        ),
        (np.zeros((0, 3, 4, 1)), "auto", r"received \(0, 3, 4, 1\)"),
    ],
)
def test_what_cannot_be_used(frames, kind, message):
    with pytest.raises(ValueError, match=message):
        estimate(frames, kind)


@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.08])
def test_noise_that_is_cut_off_at_black(deviation):
    x = np.random.default_rng(0).normal(0, deviation, (20, 30, 40, 3)).clip(0, 1)
    found = background.noise(x.astype("float32"))
    assert 0.4 * deviation < found < 1.1 * deviation
    assert background.noise(np.zeros((5, 8, 9, 1), "float32")) == 0


def test_a_pixel_that_flickers_more_has_a_larger_distance(rng):
    deviation = np.full((10, 12), 0.02)
    deviation[2:8, :5] = 0.1
    x = 0.5 + rng.normal(size=(90, 2, 10, 12, 3)) * deviation[..., None]
    found = background.distances(x.astype("float32"), 0.15)
    np.testing.assert_allclose(found[3:7, :4], 0.2 * np.sqrt(3), rtol=0.25)
    assert (found[:, 7:] == np.float32(0.15)).all()
    levels = np.rint(255 * x.clip(0, 1)).astype(np.uint8)
    np.testing.assert_allclose(background.distances(levels, 0.15), found, atol=0.05)
    assert background.distances(x[:60], 0.15) == 0.15  # too few to tell
    assert background.distances(x[..., 7:, :], 0.15) == 0.15  # all alike
    moving = x[..., 7:, :].copy()
    moving[::2, 1, 4:6] += 0.4  # an object comes or goes in half of the pairs
    assert background.distances(moving, 0.15) == 0.15


def test_a_speck_of_noise_is_no_object_and_a_rim_is_one():
    x = np.zeros((2, 8, 9, 1), "float32")
    x[0, 2, 2] = 0.3  # alone
    x[1, 3:6, 3:6] = 0.6
    x[1, 2, 3:6] = 0.2  # a third of what is beside it
    x[1, 6, 3:6] = 0.1  # a sixth
    expected = np.zeros((2, 8, 9), bool)
    expected[1, 2:6, 3:6] = True
    np.testing.assert_array_equal(background.is_object(x, 0.0, 0.14), expected)
    coloured = np.concatenate([x, 0 * x, -x], -1)
    found = background.is_object(coloured, 0.0, 0.14 * 2**0.5)
    np.testing.assert_array_equal(found, expected)
