"""Layered models at work: `python -m export.segment` on videos of any size."""

import functools

import numpy as np
import pytest
from PIL import Image

from export import command, result, segment
from export.own_size import OwnSize, overlay
from nem_tf.plots.drawing import component_colours
from reading import video
from tests import layered, runs
from tests.layered import C, H, K, T, W
from trainers.training import trained

SIZE = h, w = 50, 80  # of the video; fits in rows 2 to 13 of the model's frames


@pytest.fixture(autouse=True, scope="module")
def _quick():
    """Models are not traced, and a run is read once."""
    with runs.eager(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "load", functools.cache(trained.load))
        yield


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run's folder with a layered model of fresh weights."""
    folder = tmp_path_factory.mktemp("layered")
    layered.model().save(folder / "model.keras")
    return folder


@pytest.fixture(scope="module")
def scene():
    """Frames uint8 (T, h, w, 3), background and labels."""
    frames, background, labels = layered.scene(SIZE)
    return (255 * frames).round().astype("uint8"), background, labels


@pytest.fixture(scope="module")
def found(run_folder, scene, tmp_path_factory):
    """The arrays of the .npz that the command writes."""
    folder = tmp_path_factory.mktemp("found")
    np.save(folder / "clip.npy", scene[0])
    assert run(run_folder, folder / "clip.npy", "--out", folder / "out.npz") == 0
    return dict(np.load(folder / "out.npz"))


def run(*arguments):
    return segment.main([str(argument) for argument in arguments])


def test_segments_have_the_videos_own_size_and_its_edges(found, scene):
    labels = scene[2]
    assert found["segments"].shape == labels.shape
    assert found["segments"].dtype == np.uint8
    wrong = (found["segments"] > 0) != (labels > 0)
    assert wrong.mean() < 0.001  # a model's pixel is 1/320 of a frame
    ids = [set(found["segments"][0][labels[0] == one]) - {0} for one in (1, 2)]
    assert len(ids[0]) == len(ids[1]) == 1 and ids[0] != ids[1]


def test_the_rest_has_the_models_size(found):
    assert found["frames"].shape == (T, H, W, C)
    assert found["gamma"].shape == (T, K, H, W, 1)
    assert found["psi"].shape == (T, K, H, W, C)
    assert not found["frames"][:, [0, 1, -1]].any()


def test_an_animation_tints_objects_and_leaves_the_rest(run_folder, scene, tmp_path):
    frames, _, labels = scene
    film, out = tmp_path / "clip.npy", tmp_path / "new" / "out.gif"
    np.save(film, frames)
    assert run(run_folder, film, "--out", out, "--first", 5, "--components", 2) == 0
    with Image.open(out) as gif:
        assert gif.size == (w, h) and gif.n_frames == 5
        gif.seek(4)
        page = np.asarray(gif.convert("RGB")).astype(int)
    changed = np.abs(page - frames[4]).max(axis=-1)
    assert np.median(changed[labels[4] > 0]) > 40
    assert np.percentile(changed[labels[4] == 0], 95) < 20


def test_a_film(run_folder, scene, tmp_path, monkeypatch, capsys):
    frames, _, labels = scene
    film, out = tmp_path / "clip.npy", tmp_path / "out.mp4"
    np.save(film, frames[:, 1:, 1:])
    assert run(run_folder, film, "--out", out, "--first", 4) == 0
    pages = np.stack([frame.pixels for frame in video.decoded(out)])
    assert pages.shape == (4, h, w, 3)  # even, as players want it
    changed = np.abs(pages[3, :-1, :-1].astype(int) - frames[3, 1:, 1:]).max(axis=-1)
    assert np.median(changed[labels[3, 1:, 1:] > 0]) > 40
    assert np.median(changed[labels[3, 1:, 1:] == 0]) < 12
    monkeypatch.setitem(command.MODULES, "video", ("no_such_module",))
    assert run(run_folder, film, "--out", tmp_path / "more.mp4") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pip install 'nem-tf[video]'" in error


@pytest.mark.parametrize("fps", [0, float("nan"), float("inf")])
@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_what_is_no_rate_is_refused(found, tmp_path, fps, suffix):
    pair = np.zeros((h, w, 3), "uint8"), np.zeros((h, w), int)
    gamma = type("Found", (), {"gamma": found["gamma"]})
    with pytest.raises(ValueError, match="^fps: expected a number above 0"):
        result.write_layered(
            tmp_path / f"x{suffix}", found["frames"], gamma, [pair], fps
        )
    assert not list(tmp_path.iterdir())


def test_the_background_of_the_videos_own_pixels(scene, tmp_path):
    frames = scene[0]
    np.save(tmp_path / "clip.npy", frames)
    small = video.read(tmp_path / "clip.npy", (H, W, C), resize=True).frames
    own = OwnSize(tmp_path / "clip.npy", (H, W, C))
    assert own.size == SIZE
    behind = own.small_background(small, "still")
    assert behind.shape == (H, W, C) and not behind[[0, 1, -1]].any()
    slope = own.background(small, behind, 0.15)
    assert np.abs(slope - scene[1]).max() < 0.02
    still = np.repeat(small[:1], 3, 0)  # an object that stays is never background
    behind = np.zeros((H, W, C), "float32")
    assert np.abs(own.background(still, behind, 0.01)).max() == 0


def test_a_still_image_and_channels(scene, tmp_path):
    Image.fromarray(scene[0][0]).save(tmp_path / "still.png")
    own = OwnSize(tmp_path / "still.png", (H, W, 1), threshold=0.5)
    gamma = np.full((3, K, H, W, 1), 1 / K)
    behind = np.zeros((h, w, 1), "float32")
    pairs = list(own.segments(gamma, behind, 0.15))
    assert len(pairs) == 3
    bright = video.luma(scene[0][0] / np.float32(255))[..., 0] > 0.5
    for picture, segments in pairs:
        np.testing.assert_array_equal(picture, scene[0][0])
        np.testing.assert_array_equal(segments > 0, bright)
    grey = scene[0][:2, ..., :1]
    np.save(tmp_path / "grey.npy", grey)
    own = OwnSize(tmp_path / "grey.npy", (H, W, C), first=1)
    pairs = list(own.segments(gamma, behind, 0.1))
    assert len(pairs) == 3  # of one frame
    for picture, _ in pairs:
        np.testing.assert_array_equal(picture, np.repeat(grey[0], 3, -1))


def test_an_overlay_is_a_tint_with_an_outline():
    picture = np.full((9, 12, 3), 100, "uint8")
    segments = np.zeros((9, 12), int)
    segments[2:7, 3:9] = 2
    drawn = overlay(picture, segments, 2).astype(float)
    colour = 255 * component_colours(2)[1]
    np.testing.assert_array_equal(drawn[segments == 0], 100)
    np.testing.assert_allclose(drawn[2, 3:9] - colour, 0, atol=0.5)
    np.testing.assert_allclose(drawn[4, 5] - (55 + 0.45 * colour), 0, atol=0.5)


def test_a_distance_of_each_pixel_is_enlarged(scene, tmp_path):
    frames, background, _ = scene
    np.save(tmp_path / "clip.npy", frames)
    own = OwnSize(tmp_path / "clip.npy", (H, W, C))
    far = np.full((H, W), 0.15, "float32")
    far[:, : W // 2] = 9.0
    gamma = np.full((1, K, H, W, 1), 1 / K)
    ((_, even),), ((_, uneven),) = (
        list(own.segments(gamma, background, d))[:1] for d in (0.15, far)
    )
    left = w // 2 - w // W
    assert even[:, :left].any() and not uneven[:, :left].any()
    right = np.s_[:, w // 2 + w // W :]
    assert even[right].any()
    np.testing.assert_array_equal(uneven[right], even[right])
