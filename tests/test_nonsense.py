"""Nonsense in, one line out: what is wrong, its value, what to do; nothing is left.

Command lines and run folders are refused before TensorFlow is imported, so within the
blink of an eye; `quiet.startup`, which imports it, fails here.
"""

import json
import pathlib
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from export import saved_model, segment
from nem_tf import data
from tests import runs, tiny
from trainers import flying_mnist, flying_shapes, static_shapes
from trainers.training import command, quiet

TRAINERS = {
    "mnist": flying_mnist.FlyingMNIST,
    "shapes": flying_shapes.FlyingShapes,
    "static": static_shapes.StaticShapes,
}
COMMAND_LINES = [
    ("shapes", "--nois 0.1", "--nois"),
    ("shapes", "extra", "extra"),
    ("shapes", "--steps", "--steps: expected one argument"),
    ("shapes", "--steps 0", "steps: expected at least 1, received 0"),
    ("shapes", "--steps -3", "steps: expected at least 1, received -3"),
    ("shapes", "--steps 2.5", "--steps: expected a number, received '2.5'"),
    ("shapes", "--steps many", "--steps: expected a number, received 'many'"),
    ("shapes", "--steps=", "--steps: expected a value, received ''"),
    ("shapes", "--components 0", "components: expected at least 1, received 0"),
    ("shapes", "--batch-size 0", "batch_size: expected at least 1, received 0"),
    ("shapes", "--batch-size 64 --train-size 9", "at most train_size (9)"),
    ("shapes", "--objects 0", "objects: expected at least 1, received 0"),
    ("shapes", "--objects 100000", "objects: expected at most 256"),
    ("shapes", "--noise 2", "noise: expected at most 1.0, received 2.0"),
    ("shapes", "--noise -0.1", "noise: expected at least 0.0, received -0.1"),
    ("shapes", "--noise nan", "noise: expected at least 0.0, received nan"),
    ("shapes", "--inter-weight -1", "inter_weight: expected at least 0.0"),
    ("shapes", "--inter-weight inf", "inter_weight: expected a finite number"),
    ("shapes", "--learning-rates -1", "learning_rates: expected at least 0.0"),
    ("shapes", "--learning-rates nan", "learning_rates: expected at least 0.0"),
    ("shapes", "--learning-rates 1,1", "learning_rates: expected one for all"),
    ("shapes", "--learning-rates 1;1", "--learning-rates: expected a number"),
    ("shapes", "--schedule linear", "schedule: expected constant or cosine"),
    ("shapes", "--preset best", "recipe: expected ours or paper or quick, received"),
    ("shapes", "--epochs 0", "epochs: expected at least 1, received 0"),
    ("shapes", "--epochs 1,2", "epochs: expected one for all stages or one per"),
    ("shapes", "--epochs 99999999", "epochs: expected at most 16777216"),
    ("shapes", "--epoch-updates -1", "epoch_updates: expected at least 0"),
    ("shapes", "--patience 0", "patience: expected at least 1, received 0"),
    ("shapes", "--train-size 99999999999", "train_size: expected at most 4294967296"),
    ("shapes", "--validation-size 0", "validation_size: expected at least 1"),
    ("shapes", "--test-size 0", "test_size: expected at least 1, received 0"),
    ("shapes", "--seed -1", "seed: expected at least 0, received -1"),
    ("shapes", "--seed 99999999999", "seed: expected at most 4294967295"),
    ("shapes", "--save-minutes -1", "save_minutes: expected at least 0.0"),
    ("shapes", "--save-minutes inf", "save_minutes: expected a finite number"),
    ("shapes", "--strategy tpu", "strategy: expected auto or one or mirrored or hosts"),
    ("shapes", "--strategy hosts", "coordinator: expected HOST:PORT"),
    ("shapes", "--strategy hosts --coordinator a", "received 'a'; for example"),
    ("shapes", "--strategy hosts --coordinator a:99999", "received 'a:99999'"),
    ("shapes", "--strategy hosts --coordinator a:1", "hosts: expected at least 2"),
    (
        "shapes",
        "--strategy hosts --coordinator a:1 --hosts 2 --host-index 2",
        "host_index: expected 0 to 1, received 2",
    ),
    ("shapes", "--hosts 2", "hosts: expected only with --strategy hosts"),
    ("shapes", "--host-index 1", "host_index: expected only with --strategy hosts"),
    ("shapes", "--data no.h5", "data: no such file, no.h5"),
    ("shapes", "--data FOLDER", "data: no such file"),
    ("shapes", "--data TEXT", "data: expected an HDF5 file"),
    ("shapes", "--out TEXT", "is a file; choose a new folder"),
    ("shapes", "--out FOLDER", "is not empty; choose a new folder"),
    ("shapes", "--out TEXT/run", "out: cannot write into"),
    ("shapes", f"--out {'x' * 300}", "cannot be used (File name too long)"),
    ("shapes", "--out=", "--out: expected a value, received ''"),
    ("shapes", "--resume auto", "resume: auto continues the run in --out"),
    ("shapes", "--resume=", "--resume: expected a value, received ''"),
    ("shapes", "--debug 1", "unrecognized arguments: 1"),
    ("static", "--loss-steps first", "loss_steps: expected last or all"),
    ("static", "--gamma-gradient yes", "gamma_gradient: expected on or off"),
    ("static", "--stages 20", "unrecognized arguments: --stages 20"),
    ("mnist", "--stages 500,20", "put the smallest stage first"),
    ("mnist", "--stages 20,20", "received 20,20; put the smallest stage first"),
    ("mnist", "--stages ,", "--stages: expected numbers between commas"),
    ("mnist", "--stages 0,20", "stages: expected at least 1, received 0"),
    ("mnist", "--stages 20;500", "--stages: expected a number, received '20;500'"),
    ("mnist", "--stages 99999999", "stages: expected at most 1000000"),
    ("mnist", "--learning-rates 1,1", "learning_rates: expected one for all"),
    ("mnist", "--digits emnist", "digits: expected auto or mnist or sklearn-digits"),
]
LATER = [  # what only the model can tell, or the data
    ("shapes", "--steps 1000000000", "components: expected what fits"),
    ("shapes", "--components 1000000", "received 1000000, whose psi and gamma take"),
    (
        "shapes",
        "--batch-size 999999999 --train-size 999999999",
        "a smaller --batch-size or fewer --steps",
    ),
    ("shapes", "--network huge", "network: expected one of static_shapes"),
    ("static", "--model em", "model: expected rnn-em or n-em or windows"),
    ("static", "--model n-em --network small", "network: expected paper"),
]
SETTINGS = {"preset": "quick", "steps": 3, "stages": [20]}
RUN = json.dumps({"experiment": "flying_mnist", "settings": SETTINGS})
RUN_FOLDERS = [  # config.json, flags, message
    (None, "", "no run in"),
    (b"", "", "cannot be read (Expecting value"),
    (b"{", "", "cannot be read (Expecting property name"),
    (b"[1]", "", "cannot be read"),
    (b"{}", "", "cannot be read ('experiment')"),
    (b"\xff\xfe\x00", "", "cannot be read ('utf-8' codec"),
    (b'{"experiment": "flying_mnist", "settings": 3}', "", "cannot be read"),
    (RUN.replace("flying_mnist", "static_shapes"), "", "use trainers.static_shapes"),
    (RUN.replace("steps", "stpes"), "", "stpes: a setting that this version"),
    (RUN.replace(": 3", ': "3"'), "", "steps: expected int in config.json"),
    (RUN.replace(": 3", ": 3.5"), "", "steps: expected int in config.json"),
    (RUN.replace(": 3", ": true"), "", "steps: expected int in config.json"),
    (RUN.replace(": 3", ": null"), "", "steps: expected int in config.json"),
    (RUN.replace(": 3", ": -1"), "", "steps: expected at least 1, received -1"),
    (RUN.replace("[20]", "[20, 10]"), "", "put the smallest stage first"),
    (RUN, "--steps 4", "steps: expected 3, with which"),
    (RUN, "--stages 20,50", "stages: expected 20, with which"),
    (RUN, "--out elsewhere", "out: expected none or"),
]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    (tmp_path / "text").write_text("no run")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    monkeypatch.chdir(tmp_path)


def status_of(main, *arguments):
    try:
        return main(*arguments)
    except SystemExit as stopped:
        return stopped.code


def refused(capsys, message, before):
    """One line with the message on stderr, and no other file than before."""
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert message in said.err
    assert sorted(map(str, pathlib.Path().rglob("*"))) == before


def files():
    return sorted(map(str, pathlib.Path().rglob("*")))


@pytest.fixture
def no_tensorflow(monkeypatch):
    def startup():
        raise AssertionError("TensorFlow was needed")

    monkeypatch.setattr(quiet, "startup", startup)


@pytest.mark.parametrize(("trainer", "line", "message"), COMMAND_LINES)
def test_command_lines(trainer, line, message, capsys, no_tensorflow):
    line = line.replace("TEXT", "text").replace("FOLDER", "folder").split(" ")
    before = files()
    assert status_of(command.main, TRAINERS[trainer], "x", line) == 2
    refused(capsys, message, before)


@pytest.mark.parametrize(("trainer", "line", "message"), LATER)
def test_command_lines_that_the_model_refuses(trainer, line, message, capsys):
    before = files()
    assert status_of(command.main, TRAINERS[trainer], "x", line.split()) == 2
    refused(capsys, message, before)


@pytest.mark.parametrize(("config", "line", "message"), RUN_FOLDERS)
def test_run_folders(config, line, message, capsys, no_tensorflow):
    folder = pathlib.Path("run")
    folder.mkdir()
    if config is not None:
        content = config if isinstance(config, bytes) else config.encode()
        (folder / "config.json").write_bytes(content)
    before = files()
    line = ["--resume", "run", *line.split()]
    assert status_of(command.main, TRAINERS["mnist"], "x", line) == 2
    refused(capsys, message, before)


def test_another_experiments_run_is_not_continued_by_auto(capsys, no_tensorflow):
    pathlib.Path("run").mkdir()
    pathlib.Path("run", "config.json").write_text(RUN)
    before = files()
    line = ["--resume", "auto", "--out", "run"]
    assert status_of(command.main, TRAINERS["shapes"], "x", line) == 2
    refused(capsys, "a run of flying_mnist; use trainers.flying_mnist", before)


def test_bytes_that_are_not_utf_8():
    line = [sys.executable, "-m", "trainers.flying_shapes", "--data", b"\xff.h5"]
    done = subprocess.run(line, capture_output=True, cwd=runs.ROOT)
    assert done.returncode == 2
    assert b"data: no such file" in done.stderr and done.stderr.count(b"\n") == 1


def test_workers_of_tf_config(capsys, no_tensorflow, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')
    before = files()
    assert status_of(command.main, TRAINERS["shapes"], "x", ["--out", "new"]) == 2
    refused(capsys, "issues/20585", before)


def test_debug_shows_where(no_tensorflow):
    with pytest.raises(ValueError, match="noise: expected at most"):
        command.main(TRAINERS["shapes"], "x", ["--noise", "2", "--debug"])
    with pytest.raises(Exception, match="is a file"):
        command.main(TRAINERS["shapes"], "x", ["--out", "text", "--debug"])


H, W, C = tiny.H, tiny.W, tiny.C
DATASETS = [  # of which data set, settings, message
    ("shapes", {"split": "training"}, "split: expected one of train, validation, test"),
    ("shapes", {"steps": 0}, "steps: expected an integer >= 1, received 0"),
    ("shapes", {"steps": 2.0}, "steps: expected an integer >= 1, received 2.0"),
    ("shapes", {"steps": True}, "steps: expected an integer >= 1, received True"),
    ("shapes", {"batch_size": 0}, "batch_size: expected an integer >= 1, received 0"),
    ("shapes", {"components": None}, "components: expected an integer >= 1"),
    ("shapes", {"objects": -1}, "objects: expected an integer >= 1, received -1"),
    ("shapes", {"seed": -1}, "seed: expected an integer >= 0, received -1"),
    ("shapes", {"seed": 2**63}, "seed: expected an integer below 2**63"),
    ("shapes", {"noise": "0.2"}, "noise: expected a probability in [0, 1]"),
    ("shapes", {"noise": float("nan")}, "noise: expected a probability in [0, 1]"),
    ("shapes", {"noise": 1.5}, "noise: expected a probability in [0, 1], received 1.5"),
    ("shapes", {"size": 0}, "size: expected an integer >= 1, received 0"),
    ("shapes", {"size": (28,)}, "size: expected rows and columns, received (28,)"),
    ("shapes", {"size": "28"}, "size: expected rows and columns, received '28'"),
    ("shapes", {"size": 8}, "size: expected room for up (7 x 12 pixels), received 8"),
    ("shapes", {"speed": 20}, "speed: expected at most"),
    ("shapes", {"speed": -1}, "speed: expected an integer >= 0, received -1"),
    ("shapes", {"clips": 0}, "clips: expected an integer >= 1, received 0"),
    ("shapes", {"skip": -1}, "skip: expected an integer >= 0, received -1"),
    ("shapes", {"epochs": 0}, "epochs: expected an integer >= 1, received 0"),
    ("shapes", {"part": (2, 2)}, "part: expected i from 0 to n - 1, received 2 of 2"),
    ("shapes", {"bitmaps": {}}, "bitmaps: expected"),
    ("mnist", {"pool": 0}, "pool: expected an integer >= 1, received 0"),
    ("mnist", {"digits": "letters"}, "digits: expected 'auto', 'mnist'"),
    ("mnist", {"size": 6}, "size: expected room for digits (10 x 10 pixels)"),
    ("file", {"path": "nowhere.h5"}, "received nowhere.h5, which does not exist"),
    ("file", {"path": "text"}, "path: expected an HDF5 file, received text"),
    ("file", {"path": "text", "noise_kind": "salt"}, "noise_kind: expected one of"),
]
FRAMES = [  # what is given to NeuralEM.segment, message
    ({"frames": np.zeros((0, H, W))}, "frames: expected (T, 8, 12, 1)"),
    ({"frames": np.zeros((3, W, H))}, "received (3, 12, 8); resize or convert"),
    ({"frames": np.zeros((3, H, W, 3))}, "received (3, 8, 12, 3); resize or convert"),
    ({"frames": np.zeros(())}, "frames: expected (T, 8, 12, 1)"),
    ({"frames": np.full((3, H, W), 255)}, "frames: expected pixels in [0, 1]"),
    ({"frames": np.full((3, H, W), np.nan)}, "frames: expected pixels in [0, 1]"),
    ({"frames": "video"}, "frames: expected an array of numbers"),
    ({"components": 0}, "components: expected at least 1, received 0"),
    ({"components": 10**9}, "components: expected what fits"),
    ({"components": 2.5}, "components: expected a whole number, received 2.5"),
    ({"seed": -1}, "seed: expected integers from 0 to 2**31 - 1"),
    ({"seed": 1.5}, "seed: expected integers from 0 to 2**31 - 1"),
    ({"seed": [1, 2]}, "seed: expected one or one per clip (1), received 2"),
    ({"starts": 0}, "starts: expected a whole number of at least 1, received 0"),
    ({"starts": "4"}, "starts: expected a whole number of at least 1, received '4'"),
]


@pytest.mark.parametrize(("kind", "settings", "message"), DATASETS)
def test_datasets(kind, settings, message):
    make = {"shapes": data.flying_shapes, "mnist": data.flying_mnist}.get(kind)
    if kind == "mnist":
        settings = {"digits": "sklearn-digits", **settings}
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        (make or data.recorded)(**settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value) and "; " in str(error.value)


@pytest.mark.parametrize(("given", "message"), FRAMES)
def test_frames(given, message):
    with pytest.raises(ValueError) as error:
        tiny.model().segment(**{"frames": np.zeros((3, H, W)), **given})
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("exporter", [saved_model, segment])
@pytest.mark.parametrize("kind", ["empty", "text", "another model", "folder"])
def test_files_that_are_no_model(exporter, kind, capsys):
    path = pathlib.Path("no.keras")
    np.save("clip.npy", np.zeros((3, H, W)))
    if kind == "folder":
        path = pathlib.Path("folder")
    elif kind == "another model":
        layers = [keras.layers.Input((2,)), keras.layers.Dense(1)]
        keras.Sequential(layers).save(path)
    else:
        path.write_text("" if kind == "empty" else "text")
    before = files()
    line = [str(path)] if exporter is saved_model else [str(path), "clip.npy"]
    assert status_of(exporter.main, line) == 2
    refused(capsys, str(path), before)


@pytest.mark.parametrize("how", ["lambda", "module"])
def test_loading_a_run_folder_runs_no_code_from_it(how, capsys, tmp_path):
    """Keras's safe mode: neither a pickled function nor any module of the folder."""
    run = tmp_path / "run"
    run.mkdir()
    ran = pathlib.Path("ran")
    (run / "evil.py").write_text("import os\nos.mkdir('ran')\nclass Dense: pass\n")
    layer = keras.layers.Dense(1)
    if how == "lambda":
        layer = keras.layers.Lambda(
            lambda x: [__import__("os").makedirs("ran", exist_ok=True), x][1]
        )
    keras.Sequential([keras.layers.Input((2,)), layer]).save(run / "model.keras")
    if how == "module":
        rewrite(run / "model.keras", '"keras.layers"', '"evil"')
    else:
        assert ran.is_dir()  # the function does run where it is trusted
        ran.rmdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(run))
        assert status_of(saved_model.main, [str(run), "--out", "models"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not ran.exists() and not pathlib.Path("models").exists()


def rewrite(path, old, new):
    """Change the configuration inside a .keras file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = members["config.json"].decode()
    assert old in config
    members["config.json"] = config.replace(old, new).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
