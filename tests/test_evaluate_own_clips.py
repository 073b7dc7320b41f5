"""trainers.evaluate of a model of own clips: which clips, which labels, how many."""

import json
import shutil

import numpy as np
import pytest

from nem_tf import NEMLoss, NeuralEM
from nem_tf.cells import WindowCell
from reading.own import OwnClips as Decoded
from tests import runs
from trainers import evaluate
from trainers.evaluate import Config, Evaluation
from trainers.own_clips import OwnClips
from trainers.training import (
    config_file,
    differences,
    pictures,
    report,
    scoring,
    trained,
)

H, W, F, N = 16, 20, 10, 30


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, runs.undrawn(), runs.eager():
        patch.setenv("NEM_TF_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A square that crosses a plain colour, with labels, and other clips of it."""
    folder = tmp_path_factory.mktemp("own")
    frames = np.full((N, F, H, W, 3), (40, 90, 140), np.uint8)
    labels = np.zeros((N, F, H, W), np.uint8)
    for n in range(N):
        for t in range(F):
            square = np.s_[n % 10 : n % 10 + 5, 2 + t : 7 + t]
            frames[n, t][square], labels[n, t][square] = (220, 200, 8 * n), 1
    np.save(folder / "clips.npy", frames)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "others.npy", frames[:, :, ::-1])
    np.save(folder / "relabelled.npy", np.where(labels, 2, 0).astype(np.uint8)[:, ::-1])
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """The folder of an untrained model of the clips."""
    out = folder / "run"
    out.mkdir()
    made = OwnClips(
        OwnClips.configured(
            recipe="quick",
            data=str(folder / "clips.npy"),
            labels=str(folder / "labels.npy"),
            units=8,
            steps=6,
            train_steps=3,
        )
    )
    nem = made.model()
    nem.predict_on_batch(next(made.clips("test", clips=1).as_numpy_iterator()))
    nem.save(out / "model.keras")
    about = {
        "experiment": made.name,
        "data": made.source,
        "settings": config_file.as_json(made.config),
        "clips": made.fingerprint(),
    }
    (out / "config.json").write_text(json.dumps(about))
    return out


@pytest.fixture(scope="module")
def model(run):
    return trained.load(run)


def test_validation_clips_have_their_own_steps(run, capsys):
    assert evaluate.main([str(run), "--split", "validation"]) == 0
    said = capsys.readouterr().out
    assert "T = 3," in said and "validation clips" in said
    file = run / "evaluate" / "validation" / "results.json"
    found = json.loads(file.read_text())
    assert found["settings"]["steps"] == 3 and found["test"]["clips"] == 12
    purity = found["test"]["per_step"]["purity"]
    assert len(purity) == 3
    row = next(line for line in said.splitlines() if "purity per object" in line)
    assert float(row.split()[-1]) == pytest.approx(sum(purity) / 3, abs=1e-3)


def test_objects_are_those_that_are_scored(run, model):
    evaluate._check_changed({"objects": 3, "data": "clips.npy"}, OwnClips, "test")
    found = Evaluation(model, Config(clips=1), objects=3)
    assert found.settings.clips.data == str(run.parent / "clips.npy")
    assert found.settings.clips.objects == 3


def test_labels_are_those_of_the_same_clips(model, folder, tmp_path):
    same = Evaluation(model, Config(clips=1), data=folder / "clips.npy")
    assert same.settings.clips.labels == str(folder / "labels.npy")
    others = Evaluation(model, Config(clips=1), data=folder / "others.npy")
    assert others.settings.clips.labels is None
    assert "groups" not in next(iter(others.clips(1)))
    differ = differences.find(model, others.experiment, others.began)
    assert "labels none (" in differences.as_line(differ)
    given = {"data": folder / "others.npy", "labels": str(folder / "relabelled.npy")}
    labelled = Evaluation(model, Config(clips=1), **given)
    assert labelled.settings.clips.labels == given["labels"]


def test_other_labels_are_no_other_clips(folder, tmp_path):
    files = folder / "clips.npy", str(folder / "labels.npy")
    first, bare = Decoded(files[0], labels=files[1]), Decoded(files[0])
    other = Decoded(files[0], labels=str(folder / "relabelled.npy"))
    assert first.digest != other.digest
    assert first.frames_digest == other.frames_digest == bare.frames_digest
    moved = shutil.copy(files[0], tmp_path / "clips.npy")
    assert Decoded(moved).frames_digest == first.frames_digest
    assert Decoded(folder / "others.npy").frames_digest != first.frames_digest


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--train-steps 2", "train_steps: expected none, since it changes nothing"),
        ("--foreground 0.3", "foreground: expected none, since it changes nothing"),
        ("--object-size 3", "object_size: expected none, since it changes nothing"),
        ("--clips 5000", "clips: expected at most 6, which test has, received 5000"),
        (
            "--clips 3 --split validation --train-steps 5 --stride 50 --clips 50",
            "clips: expected at most 3, which validation has, received 50",
        ),
        ("--size 8,10", "add --size 16,20 --channels 3, or choose other clips"),
    ],
)
def test_mistakes_end_in_one_line(run, capsys, words, line):
    try:
        status = evaluate.main([str(run), *words.split()])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    assert line in capsys.readouterr().err.splitlines()[-1]


def test_clips_that_nobody_named_are_asked_for(model):
    bare = model._replace(name="flying_shapes", settings={})
    with pytest.raises(ValueError, match="data: expected the clips of own_clips.*--da"):
        Evaluation(bare, Config(on="own_clips"))


def test_a_psnr_without_an_error_is_left_out_of_the_mean(rng):
    found = {name: rng.random((3, 2)) for name in scoring.DIAGNOSTICS}
    found["loss"] = rng.random(3)
    found["psnr"] = np.array([[20.0, 20.0], [22.0, np.inf], [24.0, 26.0]])
    found["repeat_psnr"] = np.full((3, 2), np.inf)
    test = scoring.summary(found)
    assert test["psnr"] == 23 and test["per_step"]["psnr"] == [22, 23]
    again = json.loads(config_file.text(test))
    assert again["repeat_psnr"] is None
    for read in (test, again):
        (line,) = (x for x in report.over_background(read) if "next frame" in x)
        assert line.endswith("23.0 dB PSNR")  # no frame before it differs


def test_pictures_have_no_segment_where_the_background_is(model, folder):
    clips = Evaluation(model, Config(clips=2)).clips(2)
    batch = next(clips.as_numpy_iterator())
    gamma = np.ones((2, 6, 2, H, W, 1), np.float32)
    cell = model.nem.cell
    shown = pictures.of_objects(cell, batch, gamma, 1)
    assert shown.shape == (6, 2, H, W, 1)
    np.testing.assert_array_equal(shown[:, 0, ..., 0] > 0, batch["groups"][1, 1:] > 0)
    del batch["background"]
    np.testing.assert_array_equal(pictures.of_objects(cell, batch, gamma, 1), gamma[1])


def test_clips_of_shapes_are_before_black(model):
    grey = model._replace(nem=layered_model((20, 24, 1)))
    found = next(iter(Evaluation(grey, Config(on="flying_shapes", clips=2)).clips(2)))
    assert found["clean"].shape[2:] == (20, 24, 1)
    assert found["background"].shape == (2, 20, 24, 1)
    assert not np.any(found["background"])
    with pytest.raises(ValueError, match="^MODEL: expected one for frames of .*, 1."):
        Evaluation(model, Config(on="flying_shapes", clips=2))


def layered_model(frame_shape):
    sizes = {"units": 8, "features": 16, "grid": 5, "object_size": 6}
    nem = NeuralEM(WindowCell(frame_shape, "gaussian", components=3, **sizes))
    nem.compile("adam", loss=NEMLoss())
    return nem
