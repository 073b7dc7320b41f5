"""A look at people's clips: what is found, what is chosen, what is said and drawn."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from reading import background
from reading.own import OwnClips
from trainers.training import look

N, T, H, W = 5, 12, 48, 64
SIDE = 12  # of a square, pixels


def squares(rng, behind, count=2, noise=0.0, length=T):
    """uint8 (T, H, W, C): white squares, each in rows of its own, go to the right."""
    height, width, _ = behind.shape
    frames = np.repeat(behind[None], length, axis=0).astype("float64")
    for t in range(length):
        for i in range(count):
            top, left = 2 + 15 * i, (5 * i + 4 * t) % (width - SIDE)
            frames[t, top : top + SIDE, left : left + SIDE] = 1.0
    frames += rng.normal(0, noise, frames.shape)
    return np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)


def stripes(channels):
    """A background (H, W, C) that has no colour in most pixels."""
    wave = 0.4 + 0.3 * np.sin(np.arange(W)[None, :] / 3 + np.arange(H)[:, None] / 5)
    return np.repeat(wave[..., None], channels, axis=-1) * [1.0, 0.6, 0.2][:channels]


def opened(folder, clips, **options):
    """`OwnClips` of (N, T, H, W, C)."""
    np.save(folder / "clips.npy", clips)
    path, cache = folder / "clips.npy", folder / "cache"
    return OwnClips(path, axes="clips-first", cache=cache, **options)


def of(behind, folder, counts=(2,) * N, **options):
    """Clips of squares and what a look finds."""
    rng = np.random.default_rng(0)
    made = [squares(rng, behind, count, **options) for count in counts]
    clips = opened(folder, np.stack(made))
    return clips, look.look(clips)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    behind = np.broadcast_to([0.2, 0.3, 0.5], (H, W, 3))
    return of(behind, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return of(stripes(1), tmp_path_factory.mktemp("noisy"), noise=0.04)


# What is found


def test_what_there_is(plain):
    clips, found = plain
    assert (found.clips, found.frames) == (N, N * T)
    assert found.windows == len(clips.windows("train", 8)) and found.steps == 8
    assert (found.size, found.channels) == ((H, W), 3)
    assert not found.still and not found.two_valued and found.steady
    assert found.background == "plain" and found.where == clips.where


def test_moving_regions(plain):
    _, found = plain
    assert found.moving == pytest.approx(2 * SIDE**2 / (H * W))
    assert found.object_size == pytest.approx(SIDE)
    assert found.objects == (2, 2)
    assert found.noise == 0 and found.foreground == background.DIFFERENT


def test_noise_raises_the_foreground(noisy):
    _, found = noisy
    assert found.background == "still" and found.channels == 1 and found.steady
    assert found.noise == pytest.approx(0.04, rel=0.2)
    assert found.foreground == pytest.approx(4 * found.noise, rel=0.05)
    assert found.object_size == pytest.approx(SIDE, abs=0.5) and found.objects == (2, 2)


def test_the_most_objects_are_nearly_the_most(tmp_path):
    _, found = of(np.full((H, W, 1), 0.2), tmp_path, counts=(1, 1, 1, 3, 1))
    assert found.objects == (1, 3)
    assert look.choices(found, "windows").components == 4


def test_specks_and_flaws_are_no_objects(tmp_path):
    made = squares(np.random.default_rng(0), np.full((H, W, 1), 0.2), count=1)
    made[:, 40:42, 40:42] = 255 * (np.arange(T) % 2)[:, None, None, None]  # 4 pixels
    speck = opened(tmp_path, np.stack([made] * 3))
    assert look.look(speck).objects == (1, 1)
    (tmp_path / "specks").mkdir()
    specks = made.copy()
    specks[:, 16:48:3, 0:60:3] = 255
    found = look.look(opened(tmp_path / "specks", np.stack([specks] * 3)))
    assert found.objects == (1, 1) and found.object_size == SIDE
    made[:, 20:22, 50:53] = 255 * (np.arange(T) % 2)[:, None, None, None]  # 6 pixels
    (tmp_path / "flaw").mkdir()
    flaw = opened(tmp_path / "flaw", np.stack([made] * 3))
    found = look.look(flaw)
    assert found.objects == (1, 1) and found.object_size == SIDE


def test_two_values(tmp_path):
    _, found = of(np.zeros((H, W, 1)), tmp_path)
    assert found.two_valued
    assert "  48 x 64 pixels, black and white" in look.lines(found, look.choices(found))


def test_a_camera_that_moves(tmp_path, rng):
    wide = np.repeat(rng.random((H // 8, 30, 3)), 8, axis=0).repeat(8, axis=1)
    pan = np.stack([wide[:, 10 * t : 10 * t + W] for t in range(T)])
    found = look.look(opened(tmp_path, np.rint(pan[None] * 255).astype(np.uint8)))
    assert not found.steady
    said = look.lines(found, look.choices(found))
    assert sum("the camera has to stand still" in line for line in said) == 1


def test_nothing_stands_out(tmp_path):
    made = np.full((3, T, H, W, 1), 90, np.uint8)
    made[:, ::2, :5] += 20  # of 255: less than an object differs
    found = look.look(opened(tmp_path, made))
    chosen = look.choices(found)
    assert found.object_size is None and found.objects == (0, 0)
    assert chosen.components == 2 and chosen.object_size > 0
    assert any("nothing stands out" in line for line in look.lines(found, chosen))


def test_images(tmp_path):
    import h5py

    images = squares(np.random.default_rng(0), np.full((H, W, 3), 0.2), length=20)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["training/features"] = images[None]
    found = look.look(OwnClips(tmp_path / "images.h5", cache=tmp_path / "cache"))
    assert found.still and found.steady and found.steps == 0
    assert (found.clips, found.windows) == (20, 16)
    assert found.background == "plain" and found.object_size == SIDE
    said = look.lines(found, look.choices(found))
    assert said[1] == "  20 images; 16 for training"


def test_images_without_a_common_background(tmp_path, rng):
    import h5py

    colours = rng.integers(0, 256, (2, 1, 20, 1, 1, 3))
    images = np.broadcast_to(colours[0], (1, 20, H, W, 3)).astype(np.uint8)

    def found(name):
        with h5py.File(tmp_path / name, "w") as file:
            file["training/features"] = images
        return look.look(OwnClips(tmp_path / name, cache=tmp_path / "cache"))

    one = found("images.h5")
    assert one.background == "plain" and one.steady  # each has its own
    images[:, :, ::3], images[:, :, 1::3] = colours[1], 255 - colours[0]
    many = found("striped.h5")
    assert many.background == "still" and not many.steady
    said = look.lines(many, look.choices(many))
    assert any("differs from what they have in common" in line for line in said)


def test_windows_of_short_and_of_single_clips(tmp_path):
    behind = np.full((H, W, 1), 0.2)
    _, found = of(behind, tmp_path, length=6)
    assert found.steps == 5 and found.windows == 3
    (tmp_path / "one").mkdir()
    _, found = of(behind, tmp_path / "one", counts=(2,), length=15)  # three parts
    assert found.steps == 4 and found.windows == 1


# What is chosen


def test_objects_are_eleven_pixels_wide(plain):
    larger = plain[1]._replace(size=(2 * H, 2 * W), object_size=2.0 * SIDE)
    chosen = look.choices(larger)
    assert chosen.size == (44, 58) and chosen.model == "windows"
    assert chosen.object_size == pytest.approx(10.9)
    assert chosen.reasons["size"] == "so that objects are about 11 pixels wide"
    assert chosen.components == 3 and chosen.foreground == background.DIFFERENT
    assert chosen.background == "plain" and chosen.reasons.keys() == {
        name for name in look.Choices._fields if name != "reasons"
    }


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((48, 64), 30.0, (18, 24)),  # 17.6 x 23.5: even
        ((48, 64), 60.0, (12, 16)),  # not below 16
        ((300, 400), 18.0, (48, 64)),  # not above 64
        ((27, 21), 5.0, (27, 21)),  # never enlarged
        ((12, 10), 30.0, (12, 10)),
        ((8, 128), 40.0, (2, 36)),
    ],
)
def test_sizes(plain, size, side, expected):
    found = plain[1]._replace(size=size, object_size=side)
    chosen = look.choices(found)
    assert chosen.size == expected
    scale = max(expected) / max(size)
    assert chosen.object_size == pytest.approx(max(2.0, side * scale), abs=0.051)


def test_a_size_that_was_asked_for_stays(plain):
    chosen = look.choices(plain[1], fixed=True)
    assert chosen.size == (H, W) and chosen.object_size == SIDE
    assert chosen.reasons["size"] == "as it was asked for"


def test_small_frames_flicker_less(plain):
    found = plain[1]._replace(foreground=0.4, object_size=16.0)
    chosen = look.choices(found)
    assert chosen.foreground == pytest.approx(0.4 * 44 / 64)
    assert look.choices(found, fixed=True).foreground == 0.4
    calm = look.choices(found._replace(foreground=0.13))
    assert calm.foreground == background.DIFFERENT


@pytest.mark.parametrize(("most", "components"), [(0, 2), (4, 5), (11, 12), (30, 12)])
def test_one_component_more_than_objects(plain, most, components):
    chosen = look.choices(plain[1]._replace(objects=(1, most)))
    assert chosen.components == components
    assert ("one more" in chosen.reasons["components"]) == (0 < most < 12)


def test_a_few_grey_objects_are_told_apart_by_their_shapes(noisy, plain):
    grey = noisy[1]
    chosen = look.choices(grey)
    assert chosen.model == "rnn-em" and chosen.components == grey.objects[1] == 2
    assert chosen.object_size == pytest.approx(7.0, abs=0.3)
    assert "2 grey objects" in chosen.reasons["model"]
    for other in (
        grey._replace(objects=(1, 1)),
        grey._replace(objects=(3, 4)),
        grey._replace(still=True),
        plain[1],
    ):
        assert look.choices(other).model == "windows"
    assert look.choices(grey, "windows").model == "windows"
    assert look.choices(plain[1], "rnn-em").components == plain[1].objects[1]


# What is said and drawn


def test_lines(plain):
    found = plain[1]._replace(where="films")
    assert look.lines(found, look.choices(found)) == [
        "films",
        "  5 clips, 60 frames; 3 windows of 9 frames for training",
        "  48 x 64 pixels, colour",
        "  background: one colour",
        "  moving: 9 % of the pixels; 2 regions at a time, rarely over 2, about "
        "12 pixels wide",
        "chosen, and the flag for another choice",
        "  --model windows       colours and gaps tell objects apart",
        "  --background plain    most clips have one colour in most of their pixels",
        "  --size 44,58          so that objects are about 11 pixels wide",
        "  --components 3        2 regions at a time, and one more",
        "  --object-size 10.9    side of a typical region, pixels",
        "  --foreground 0.12     distance from the background, the usual one",
    ]


def test_lines_are_few_and_short(noisy):
    found = noisy[1]._replace(where="x" * 300, steady=False)
    said = look.lines(found, look.choices(found))
    assert len(said) <= 13 and max(map(len, said)) <= 88
    assert any(", grey, flicker 0.0" in line for line in said)


def test_what_is_drawn(plain, tmp_path):
    clips, found = plain
    look.draw(clips, found, tmp_path / "data.png")
    with Image.open(tmp_path / "data.png") as image:
        picture = np.asarray(image.convert("RGB"))
    assert picture.shape[1] == 104 + N * (2 * W + 6) + 8
    colours = {tuple(colour) for colour in picture.reshape(-1, 3)}
    assert {(255, 255, 255), (51, 76, 128)} <= colours
    for colour in look.COLOURS[:2]:  # of both squares, which are white
        tinted = np.rint(255 * (0.7 * np.array(colour) + 0.3)).astype(int)
        same = np.abs(picture.astype(int) - tinted).max(axis=-1) <= 1
        assert same.sum() == N * (2 * SIDE) ** 2


def test_at_most_eight_clips_are_drawn(tmp_path):
    clips, found = of(np.full((H, W, 1), 0.2), tmp_path, counts=(1,) * 11)
    look.draw(clips, found, tmp_path / "data.png")
    with Image.open(tmp_path / "data.png") as picture:
        assert picture.width == 104 + 8 * (2 * W + 6) + 8


def test_it_needs_no_tensorflow():
    code = (
        "import sys; from trainers.training import look; "
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
