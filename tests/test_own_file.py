"""Runs on a file of one's own: without labels, and moved before it is resumed."""

import csv
import json
import re
import shutil

import h5py
import keras
import numpy as np
import pytest

from tests import runs
from trainers import evaluate, static_shapes
from trainers.training import board, command, pictures
from trainers.training.recording import check_recording

LINE = (
    "--preset quick --model n-em --steps 3 --train-size 16 "
    "--validation-size 8 --test-size 8 --batch-size 8 --epoch-updates 2 "
    "--save-minutes 0 --epochs"
).split()


def write(path, labels=True, seed=0):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        for split in ("training", "validation", "test"):
            x = (rng.random((4, 16, 28, 28, 1)) < 0.2).astype("float32")
            file[f"{split}/features"] = x
            if labels:
                file[f"{split}/groups"] = (x * rng.integers(1, 4, x.shape)).astype(int)
    return path


def train(*line):
    with runs.undrawn():
        return drawn(*line)


def drawn(*line):
    with runs.eager():
        return command.main(static_shapes.StaticShapes, "x", list(map(str, line)))


def score(*line):
    with runs.undrawn(), runs.eager():
        return evaluate.main(list(map(str, line)))


def log(folder):
    with open(folder / "log.csv") as file:
        rows = list(csv.DictReader(file))
    return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in rows]


def assert_same(folder, other):
    for ours, theirs in zip(log(folder), log(other), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=0.02)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with clips.h5, a run of one epoch of two, and the same one of both."""
    folder = tmp_path_factory.mktemp("own")
    write(folder / "clips.h5")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # the paths given are relative
        line = ["--data", "clips.h5", "--out"]
        assert train(*LINE, 2, *line, "run", "--patience", 2) == 0
    run = folder / "run"
    shutil.copytree(run, folder / "whole")
    first = sorted((run / "last").glob("state-*"))[0]  # before the last epoch
    (run / "results.json").unlink()
    for state in (run / "last").glob("state-*"):
        if state != first:
            state.unlink()
    return folder


@pytest.fixture
def place(stopped, tmp_path, monkeypatch):
    """A copy of `stopped`, and another working folder."""
    shutil.copytree(stopped, tmp_path / "own")
    config = tmp_path / "own" / "run" / "config.json"
    config.write_text(config.read_text().replace(str(stopped), str(tmp_path / "own")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "own"


def test_it_goes_on_from_another_working_folder(place):
    assert train("--resume", "../own/run") == 0
    assert_same(place / "run", place / "whole")


def test_a_file_that_was_moved_is_given_anew(place, capsys):
    moved = place / "moved.h5"
    (place / "clips.h5").rename(moved)
    with pytest.raises(SystemExit) as stop:
        train("--resume", place / "run")
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "data: no such file" in said and "with --data" in said
    assert train("--resume", place / "run", "--data", "../own/moved.h5") == 0
    assert_same(place / "run", place / "whole")
    assert score(place / "run") == 0  # which looks there from now on


def test_the_same_clips_stored_otherwise_are_the_same(place):
    with h5py.File(place / "clips.h5") as old, h5py.File(place / "new.h5", "w") as new:
        for split in old:
            for name, kind in (("features", "float64"), ("groups", "uint8")):
                values = old[split][name][:].astype(kind)
                new.create_dataset(f"{split}/{name}", data=values, compression="gzip")
    line = ["--resume", "auto", "--out", place / "run", "--data", place / "new.h5"]
    assert train(*LINE, 2, "--patience", 2, *line) == 0
    assert_same(place / "run", place / "whole")


@pytest.mark.parametrize("other", ["pixels", "labels", "fewer"])
def test_other_clips_are_refused(place, capsys, other):
    path = write(place / "other.h5", seed=1 if other == "pixels" else 0)
    with h5py.File(path, "a") as file:
        if other == "labels":
            file["test/groups"][...] = 1
        if other == "fewer":
            x = file["validation/features"][:, :15]
            del file["validation/features"], file["validation/groups"]
            file["validation/features"], file["validation/groups"] = x, x
    before = (place / "run" / "config.json").read_text()
    assert train("--resume", place / "run", "--data", path) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "expected the clips that" in said
    assert (place / "run" / "config.json").read_text() == before


@pytest.mark.parametrize("auto", [False, True])
def test_a_run_has_its_clips_from_a_file_or_makes_them(place, capsys, auto):
    config = place / "run" / "config.json"
    before = config.read_text()
    made = json.loads(before)
    made["settings"]["data"] = made["clips"] = None
    for text, data in (
        (json.dumps(made), ["--data", place / "clips.h5"]),
        (before, []),
    ):
        config.write_text(text)
        line = ["--resume", place / "run"]
        if auto:
            line = [*LINE, 2, "--patience", 2]
            line += ["--resume", "auto", "--out", place / "run"]
        if not auto and not data:
            continue  # goes on with the run's
        try:
            status = train(*line, *data)
        except SystemExit as stop:
            status = stop.code
        said = capsys.readouterr().err
        assert status == 2 and "data: expected" in said and "was begun" in said
        assert config.read_text() == text


def test_a_run_begun_before_clips_were_noted_notes_them(place):
    config = place / "run" / "config.json"
    content = json.loads(config.read_text())
    noted = content.pop("clips")
    config.write_text(json.dumps(content))
    assert train("--resume", place / "run") == 0
    assert json.loads(config.read_text())["clips"] == noted


def test_a_last_frame_without_labels(tmp_path, capsys):
    path, out = write(tmp_path / "clips.h5"), tmp_path / "run"
    with h5py.File(path, "a") as file:
        for split in file:
            file[f"{split}/groups"][3] = 0
    line = ["--data", path, "--out", out]
    assert train(*LINE, 1, *line) == 0
    assert train("--resume", out) == 0  # says it again
    said = capsys.readouterr()
    assert len(re.findall(r"last step none, mean over steps -?0\.", said.out)) == 4
    found = json.loads((out / "results.json").read_text())["test"]["ami"]
    assert found["last"] is None and found["per_step"][2] is None
    assert score(out) == 0


LABELS = ("ami", "ari", "purity", "distinct", "confidence", "the paper", "AMI", "ARI")


@pytest.mark.parametrize("labels", ["absent", "zero"])
def test_without_labels_nothing_is_said_about_them(
    tmp_path, capsys, monkeypatch, labels
):
    path, out = write(tmp_path / "plain.h5", labels=False), tmp_path / "run"
    if labels == "zero":
        with h5py.File(path, "a") as file:
            for split in file:
                shape = file[split]["features"].shape
                file[f"{split}/groups"] = np.zeros(shape, "uint8")
        # Its scores are drawn; clips and curves are so once, where they are absent.
        monkeypatch.setattr(board, "Board", lambda *_: keras.callbacks.Callback())
        monkeypatch.setattr(pictures, "of_clip", lambda *_, **__: None)
    assert drawn(*LINE, 2, "--data", path, "--out", out) == 0
    with runs.eager():
        line = [str(out), "--clips", "4", "--starts", "2"]
        assert evaluate.main(line) == 0
    said = "".join(capsys.readouterr())
    assert "nats per clip" in said and "loss" in said
    written = (out / "log.csv").read_text() + (out / "results.json").read_text()
    again = out / "evaluate" / "starts2-clips4"
    written += (again / "results.json").read_text()
    assert not [word for word in LABELS if word in said + written]
    for folder in (out, again):
        for name in ("overview.png", "clip.gif"):
            assert (folder / name).is_file() == (labels == "absent")
        assert not (folder / "per_step.png").exists()
        assert json.loads((folder / "results.json").read_text())["test"]["loss"] > 0


def test_the_start_of_an_hdf5_file_is_told_from_others(tmp_path):
    path = tmp_path / "block.h5"
    for size in (0, 512, 4096, 2**20):
        with h5py.File(path, "w", userblock_size=size) as file:
            file["x"] = 1
        check_recording(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="expected an HDF5 file"):
        check_recording(path)
