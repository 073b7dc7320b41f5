"""The file that a segmented video is written to: how long its pages stay."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from export import result
from nem_tf import Segmentation, plots

T, K, H, W = 4, 2, 5, 6
LONGEST = 655_350  # milliseconds, what 16 bits of hundredths of a second hold


@pytest.fixture
def clip(rng):
    """Frames and a result for them."""
    frames = rng.random((T, H, W, 1), np.float32)
    gamma = rng.dirichlet(np.ones(K), (T, H, W)).astype(np.float32)
    gamma = np.moveaxis(gamma, -1, 1)[..., None]  # (T, K, H, W, 1)
    psi = rng.random((T, K, H, W, 1), np.float32)
    return frames, Segmentation(gamma.argmax(axis=1)[..., 0], gamma, psi)


def delays(path):
    """Milliseconds of each page."""
    with Image.open(path) as gif:
        found = []
        for page in range(gif.n_frames):
            gif.seek(page)
            found.append(gif.info["duration"])
    return found


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (5, [200, 200, 1000]),
        (Fraction(1, 100), [100_000, 100_000, 100_800]),
        (1 / 655, [655_000, 655_000, LONGEST]),  # the rest at the end has no room
        (1000 / LONGEST, [LONGEST] * 3),
        (1 / 656, [LONGEST] * 3),
        (1e-300, [LONGEST] * 3),
        (5e-324, [LONGEST] * 3),
        (50, [20, 20, 820]),
        (1000, [800]),
        (np.float32(1e30), [800]),
    ],
)
def test_pages_stay_as_long_as_a_gif_can_say(tmp_path, clip, fps, expected):
    result.write(tmp_path / "new" / "out.gif", *clip, fps)
    assert delays(tmp_path / "new" / "out.gif") == expected


@pytest.mark.parametrize("fps", [0, 0.0, -5, float("nan"), float("inf"), -np.inf])
def test_what_is_no_rate_is_refused(tmp_path, clip, fps):
    message = f"^fps: expected a number above 0, received {fps}; try 5$"
    with pytest.raises(ValueError, match=message):
        result.write(tmp_path / "out.gif", *clip, fps)
    assert not list(tmp_path.iterdir())
    result.write(tmp_path / "out.npz", *clip, fps)  # has no rate


@pytest.mark.parametrize(
    ("fps", "expected"), [(5, [400, 1000]), (1 / 400, [LONGEST, 400_800])]
)
def test_equal_pages_stay_together_as_long(tmp_path, rng, fps, expected):
    frames = rng.random((3, H, W, 1), np.float32)
    frames[1] = frames[0]
    psi, gamma = np.zeros((3, K, H, W, 1)), np.full((3, K, H, W, 1), 1 / K)
    path = tmp_path / "out.gif"
    plots.animation(path, frames, psi, gamma, fps=fps, captions=False)
    assert delays(path) == expected


def test_a_clip_that_stands_still(tmp_path):
    frames, psi = np.zeros((3, H, W, 1)), np.zeros((3, K, H, W, 1))
    path = tmp_path / "out.gif"
    plots.animation(path, frames, psi, psi + 1 / K, fps=0.001, captions=False)
    assert delays(path) == [LONGEST]
