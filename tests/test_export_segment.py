"""`python -m export.segment`: a video, a model, a picture; no server."""

import functools

import numpy as np
import pytest
from PIL import Image

from export import saved_model, segment
from tests import runs, tiny
from tests.tiny import H, K, W
from trainers.training import trained


@pytest.fixture(autouse=True, scope="module")
def _quick():
    """Models are not traced, and each run is read once."""
    with runs.eager(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "load", functools.cache(trained.load))
        yield


@pytest.fixture
def video(rng, tmp_path):
    """A binary GIF of the model's size."""
    frames = (rng.random((6, H, W)) < 0.3).astype("uint8") * 255
    return frames, save_gif(tmp_path / "clip.gif", frames)


def save_gif(path, frames):
    pages = [Image.fromarray(frame) for frame in frames]
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=100)
    return path


def run(*arguments):
    return segment.main([str(argument) for argument in arguments])


def test_a_run_and_its_export_find_the_same(exported, video, tmp_path):
    frames, path = video
    found = {}
    sources = {"run": exported.run, "model": exported.models / "tiny_k4"}
    sources |= {"version": exported.k4, "file": exported.run / "model.keras"}
    for name, source in sources.items():
        out = tmp_path / f"{name}.npz"
        assert run(source, path, "--out", out, "--seed", 7) == 0
        found[name] = np.load(out)
    expected = exported.nem.segment(frames / np.float32(255), seed=7)
    for arrays in found.values():
        np.testing.assert_array_equal(arrays["frames"][..., 0], frames / 255)
        np.testing.assert_allclose(arrays["gamma"], expected.gamma, atol=2e-6)
        np.testing.assert_allclose(arrays["psi"], expected.psi, atol=2e-6)
        assert arrays["segments"].shape == (6, H, W)


def test_the_likeliest_of_several_starts(exported, video, tmp_path):
    frames, path = video
    frames = (frames / np.float32(255))[..., None]
    one, best = (exported.nem.segment(frames, seed=2, starts=n) for n in (1, 4))
    assert not np.allclose(best.gamma, one.gamma, atol=1e-3)
    for source in (exported.run, exported.k4):
        out = tmp_path / "out.npz"
        assert run(source, path, "--out", out, "--seed", 2, "--starts", 4) == 0
        np.testing.assert_allclose(np.load(out)["gamma"], best.gamma, atol=2e-6)
        np.testing.assert_allclose(np.load(out)["psi"], best.psi, atol=2e-6)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_starts_at_the_sides_are_those_of_the_export_too(
    rng, tmp_path, monkeypatch, likelihood
):
    nem = tiny.model("n-em", likelihood)
    nem.cell.start = "sides"
    frames = (rng.random((5, H, W, 1)) < 0.3).astype("float32")
    nem.save(tmp_path / "model.keras")
    models = tmp_path / "models"
    line = [tmp_path / "model.keras", "--out", models, "--batch-sizes", "1"]
    assert saved_model.main(list(map(str, line))) == 0
    exported = segment.load(next(models.glob("*_k4")))
    for starts in (1, 3):
        expected = nem.segment(frames, seed=7, starts=starts)
        for ours, theirs in zip(
            exported.segment(frames, 7, starts), expected, strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_a_long_video_goes_through_an_export_in_pieces(exported, rng, monkeypatch):
    frames = (rng.random((9, H, W, 1)) < 0.3).astype("float32")
    model = segment.load(exported.k4)
    whole = model.segment(frames, 3)
    monkeypatch.setattr(model, "piece", 4)
    for ours, theirs in zip(model.segment(frames, 3), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_writes_an_animation(exported, video, tmp_path, capsys):
    out = tmp_path / "new" / "result.gif"
    assert run(exported.run, video[1], "--out", out, "--components", 3) == 0
    with Image.open(out) as picture:
        assert picture.n_frames == 5
        assert picture.info["duration"] == 100  # as fast as the video
    assert (
        "of 3 components used, mean confidence on bright pixels"
        in capsys.readouterr().out
    )


def test_the_result_is_named_after_the_input(exported, video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(exported.run, video[1]) == 0
    assert (tmp_path / "clip-segmented.gif").exists()


def test_the_input_is_not_written_over(exported, video, tmp_path, capsys):
    before = video[1].read_bytes()
    assert run(exported.run, video[1], "--out", tmp_path / "." / "clip.gif") == 2
    assert "is the input; choose another file" in capsys.readouterr().err
    assert video[1].read_bytes() == before


def test_a_still_image_is_shown_some_times(exported, video, tmp_path):
    image, out = tmp_path / "image.png", tmp_path / "out.npz"
    Image.fromarray(video[0][0]).save(image)
    assert run(exported.run, image, "--out", out) == 0
    assert np.load(out)["segments"].shape == (20, H, W)


@pytest.mark.parametrize("name", ["phone.jpg", "twin.jpg", "pages.tif", "photo.npy"])
def test_a_photo_is_shown_some_times(exported, tmp_path, name):
    kind = {"jpg": "MPO", "tif": "TIFF"}.get(name.split(".")[1])
    second = Image.new("L", (2 * W, 2 * H) if name == "twin.jpg" else (W // 2, H // 2))
    photo = Image.new("RGB", (2 * W, 2 * H), (255, 0, 0))
    if kind:
        rest = {"save_all": True, "append_images": [second]}
        photo.save(tmp_path / name, format=kind, **rest)
    else:
        np.save(tmp_path / name, np.asarray(photo))
    out = tmp_path / "out.npz"
    flags = ["--resize", "--grey", "--threshold", 0.2]
    assert run(exported.run, tmp_path / name, "--out", out, *flags) == 0
    found = np.load(out)
    assert found["segments"].shape == (20, H, W) and found["frames"].all()


@pytest.mark.parametrize(("frames", "delays"), [(3, [655_350] * 2), (1, [120, 130])])
def test_slow_videos(exported, video, tmp_path, frames, delays):
    path, out = tmp_path / "slow.gif", tmp_path / "out.gif"
    first, *rest = [Image.fromarray(frame) for frame in video[0][:frames]]
    first.save(path, save_all=True, append_images=rest, duration=655_350)
    assert run(exported.run, path, "--out", out) == 0
    with Image.open(out) as picture:
        assert picture.n_frames == (2 if frames == 3 else 19)
        for page, delay in enumerate(delays):  # of one picture there is no rate
            picture.seek(page)
            assert picture.info["duration"] == delay


def test_floats_a_little_out_of_range(exported, video, tmp_path):
    frames = np.where(video[0] > 0, 1 + 9e-6, -9e-6)
    np.save(tmp_path / "clip.npy", frames)
    out = tmp_path / "out.npz"
    assert run(exported.run, tmp_path / "clip.npy", "--out", out) == 0
    np.testing.assert_array_equal(np.load(out)["frames"][..., 0], video[0] / 255)


def test_alpha_and_archives(exported, video, tmp_path):
    frames = video[0][..., None].repeat(4, axis=-1)
    frames[..., 3] = 255
    np.save(tmp_path / "alpha.npy", frames)
    np.savez(tmp_path / "clip.npz", video[0])
    out = tmp_path / "out.npz"
    for name in ("alpha.npy", "clip.npz"):
        assert run(exported.run, tmp_path / name, "--out", out) == 0
        np.testing.assert_array_equal(np.load(out)["frames"][..., 0], video[0] / 255)


def test_resize_grey_and_threshold(exported, rng, tmp_path):
    frames = rng.integers(0, 256, (5, 2 * H, 3 * W, 3), dtype="uint8")
    path, out = tmp_path / "colour.npy", tmp_path / "out.npz"
    np.save(path, frames)
    flags = ["--resize", "--grey", "--threshold", 0.5, "--first", 3]
    assert run(exported.run, path, "--out", out, *flags) == 0
    found = np.load(out)["frames"]
    assert found.shape == (3, H, W, 1) and set(np.unique(found)) == {0.0, 1.0}


def test_mistakes_end_in_one_line(exported, video, tmp_path, capsys):
    large = np.zeros((3, H, W + 4), "float32")
    bright = np.full((3, H, W), 200.0, "float32")
    dim = np.full((3, H, W), 0.25, "float32")
    channels_first = np.zeros((20, 3, H, W), "uint8")
    for name, array in (
        ("large", large),
        ("bright", bright),
        ("dim", dim),
        ("torch", channels_first),
    ):
        np.save(tmp_path / f"{name}.npy", array)
    assert run(exported.run, video[1], "--out", tmp_path / "result.npz") == 0
    capsys.readouterr()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in ("saved_model.pb", "SHA256SUMS", "about.json"):
        (damaged / name).write_bytes((exported.k4 / name).read_bytes())
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "saved_model.pb").write_bytes(b"")
    cases = [
        ([foreign, "clip.gif"], "take a model that export.saved_model wrote"),
        ([exported.run, "large.npy"], "add --resize"),
        ([exported.run, "bright.npy"], "divide 8-bit frames by 255"),
        ([exported.run, "dim.npy"], "add --threshold 0.5"),
        ([exported.run, "torch.npy"], "as np.moveaxis(array, 1, -1)"),
        ([exported.run, "result.npz"], "give the video that it was made from"),
        ([exported.run, "missing.gif"], "no such file or folder"),
        ([tmp_path, "dim.npy"], "neither a run folder"),
        ([damaged, "clip.gif"], "changed since the export"),
        ([exported.k4, "clip.gif", "--components", 3], f"exported with K = {K}"),
        ([exported.k4, "clip.gif", "--components", "auto"], "pixels evenly, or is of"),
        ([exported.run, "clip.gif", "--components", "auto"], "give K, or set nem.cell"),
    ]
    for (model, name, *flags), message in cases:
        assert run(model, tmp_path / name, *flags, "--out", tmp_path / "x.gif") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and message in error
    for flags, message in (
        (["--out", "x.mp4"], "ending in .gif or .npz"),
        (["--components", "0"], "at least 1"),
        (["--seed", "-1"], "from 0 to 2147483647"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run(exported.run, video[1], *flags)
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and message in error
    assert not (tmp_path / "x.gif").exists()
