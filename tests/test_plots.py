"""Pictures: sizes, colours and files. Whether they please is for the eye."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nem_tf import plots
from nem_tf.plots.animation import PANEL
from nem_tf.plots.drawing import CELL

T, K, H, W = 3, 4, 5, 6


def clip(rng, channels=1, steps=T):
    """frames, psi, gamma of one clip."""
    frames = rng.random((steps, H, W, channels))
    psi = rng.random((steps, K, H, W, channels))
    gamma = rng.random((steps, K, H, W, 1))
    return frames, psi, gamma / gamma.sum(axis=1, keepdims=True)


def has_colour(image, colour):
    """Whether some pixel of uint8 (H, W, 3) has the colour, given in [0, 1]."""
    wanted = np.round(255 * np.asarray(colour)).astype(int)
    return bool((np.abs(image.astype(int) - wanted).max(axis=-1) <= 1).any())


def test_components_have_colours_of_their_own_that_do_not_change():
    few, many = plots.component_colours(3), plots.component_colours(20)
    assert few.shape == (3, 3) and many.shape == (20, 3)
    assert many.min() >= 0 and many.max() <= 1
    np.testing.assert_array_equal(few, many[:3])
    distance = np.abs(many[:, None] - many).max(axis=-1) + np.eye(20)
    assert distance[:8, :8].min() > 0.2 and distance.min() > 0.02


def test_a_sure_pixel_has_its_components_colour_and_an_unsure_one_the_mean():
    gamma = np.zeros((2, K, H, W, 1))
    gamma[0, 2] = 1.0
    gamma[1] = 1 / K
    colours = plots.component_colours(K)
    image = plots.soft_assignment(gamma)
    assert image.shape == (2, H, W, 3)
    np.testing.assert_allclose(image[0, 1, 2], colours[2], atol=1e-6)
    np.testing.assert_allclose(image[1, 3, 4], colours.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_overview_rng_every_row_and_column(rng, channels):
    frames, psi, gamma = clip(rng, channels)
    groups = rng.integers(0, 3, (T, H, W))
    bare = plots.overview(frames, psi, gamma, title="made-up data")
    full = plots.overview(
        frames, psi, gamma, title="made-up data", noisy=frames, groups=groups
    )
    assert isinstance(full, Figure)
    texts = " ".join(text.get_text() for text in full.axes[0].texts)
    for label in ("soft assignment", f"component {K}", "input x", "noisy", "groups"):
        assert label in texts
    assert "made-up data" in full.texts[0].get_text()
    image, bare_image = plots.image_of(full), plots.image_of(bare)
    assert image.dtype == np.uint8 and image.shape[1:] == (bare_image.shape[1], 3)
    rows = K + 2  # without noisy frames and groups
    above = 60 + 10
    cell = (bare_image.shape[0] - above) // rows
    assert image.shape[0] - bare_image.shape[0] == 2 * cell
    assert has_colour(image, plots.component_colours(K)[K - 1])


def test_overview_rng_pixels_as_they_are(rng):
    frames, psi, gamma = clip(rng)
    figure = plots.overview(frames, psi, gamma, title="pixels")
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    scale = -(-CELL // W)
    height, width = H * scale + 8, W * scale + 8
    assert drawn.shape == ((K + 2) * height, T * width, 3)
    last = drawn[:, 2 * width :]  # column 3: the last step
    for row, shown in enumerate([*psi[2], frames[2]], start=1):
        cell = last[row * height : (row + 1) * height][4:-4, 4:-4]
        pixels = cell[scale // 2 :: scale, scale // 2 :: scale]
        expected = np.round(255 * shown).repeat(3, axis=-1)
        np.testing.assert_array_equal(pixels, expected)
    image = plots.image_of(figure)  # on screen, too: no pixel is blurred
    left, top = 190, image.shape[0] - 10 - drawn.shape[0]
    on_screen = image[top : top + drawn.shape[0], left : left + drawn.shape[1]]
    np.testing.assert_array_equal(on_screen, drawn)


def test_overview_chooses_steps(rng):
    frames, psi, gamma = clip(rng, steps=7)

    def numbers(**kwargs):
        figure = plots.overview(frames, psi, gamma, title="steps", **kwargs)
        texts = (text.get_text() for text in figure.axes[0].texts)
        return [int(text) for text in texts if text.isdigit()]

    assert numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert numbers(max_columns=3) == [1, 4, 7]
    assert numbers(max_columns=5) == [1, 3, 5, 7]
    assert numbers(steps=[2, 6]) == [2, 6]
    with pytest.raises(ValueError, match="steps: expected some of 1 to 7"):
        numbers(steps=[0])


def test_animation_has_one_page_per_step_and_loops(rng, tmp_path):
    path = tmp_path / "clip.gif"
    frames, psi, gamma = clip(rng)
    plots.animation(path, frames, psi, gamma, noisy=frames, fps=5)
    with Image.open(path) as gif:
        assert gif.n_frames == T and gif.info["loop"] == 0
        assert gif.info["duration"] == 200
        panels = 4 + K  # input, noisy input, soft assignment, all, one per component
        assert gif.width // panels >= PANEL
        gif.seek(T - 1)
        image = np.asarray(gif.convert("RGB"))
    for colour in plots.component_colours(K):
        assert has_colour(image, colour)
    assert has_colour(image, (1.0, 1.0, 1.0))


@pytest.mark.parametrize(("fps", "pages"), [(100, 2), (60, 2), (120, 1)])
def test_a_fast_clip_keeps_its_length(rng, tmp_path, fps, pages):
    path = tmp_path / "clip.gif"
    plots.animation(path, *clip(rng), fps=fps)
    delays = []
    with Image.open(path) as gif:
        for page in range(gif.n_frames):
            gif.seek(page)
            delays.append(gif.info["duration"])
    delays[-1] -= 800  # the rest at the end
    assert len(delays) == pages and abs(sum(delays) - 1000 * T / fps) <= 5
    assert min(delays[:-1], default=20) >= 20  # below that, viewers take 100


def test_animation_stacks_clips(rng, tmp_path):
    one, two = tmp_path / "one.gif", tmp_path / "two.gif"
    first, second = clip(rng, channels=3), clip(rng, channels=3)
    plots.animation(one, *first, scale=7, captions=False)
    clips = [np.stack(pair) for pair in zip(first, second, strict=True)]
    plots.animation(two, *clips, scale=7, captions=False)
    with Image.open(one) as single, Image.open(two) as double:
        assert single.size == ((3 + K) * (7 * W + 14), 7 * H + 14)
        assert double.size == (single.width, 2 * single.height)


def test_errors_name_the_argument(rng, tmp_path):
    frames, psi, gamma = clip(rng)
    with pytest.raises(ValueError, match="x: expected shape"):
        plots.overview(frames[..., 0], psi, gamma, title="")
    with pytest.raises(ValueError, match="psi: expected"):
        plots.overview(frames, psi[:2], gamma, title="")
    with pytest.raises(ValueError, match="gamma: expected shape"):
        plots.animation(tmp_path / "no.gif", frames, psi, gamma[:, :2])
    with pytest.raises(ValueError, match="noisy: expected shape"):
        plots.overview(frames, psi, gamma, title="", noisy=frames[:2])
    with pytest.raises(ValueError, match="groups: expected shape"):
        plots.overview(frames, psi, gamma, title="", groups=frames)
