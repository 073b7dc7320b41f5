"""Each experiment, end to end on tiny settings."""

import contextlib
import csv
import dataclasses
import functools
import io
import json
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from tests import runs
from trainers import evaluate, flying_mnist, flying_shapes, static_shapes
from trainers.training import board, command

TINY = {
    "steps": 2,
    "batch_size": 8,
    "epochs": (2,),
    "epoch_updates": 2,
    "validation_size": 8,
    "test_size": 8,
    "learning_rates": (0.003,),
}
CASES = {
    "static": (static_shapes.StaticShapes, {"recipe": "quick", **TINY}),
    "n-em": (
        static_shapes.StaticShapes,
        {"model": "n-em", **TINY, "inter_weight": 1.0},
    ),
    "shapes": (flying_shapes.FlyingShapes, {"recipe": "ours", **TINY}),
    "mnist": (
        flying_mnist.FlyingMNIST,
        {"recipe": "quick", "digits": "sklearn-digits", "stages": (20,), **TINY},
    ),
}
NARROW = {"network": "narrow", "features": 32}
N_EM = {"model": "n-em", "network": "paper", "reads": "error"}  # the quickest one
N_EM_MNIST = {**CASES["mnist"][1], **N_EM}


def flags(settings, out):
    """Settings as a command line."""
    line = ["--out", str(out)]
    for name, value in settings.items():
        value = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        line += ["--" + name.replace("_", "-"), value]
    return line


def log_of(out):
    with open(out / "log.csv") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A function from a case to the folder of its run and what was said."""

    @functools.cache
    def run(case):
        kind, settings = CASES[case]
        out = tmp_path_factory.mktemp(case) / "20260102-030405-seed0"
        traced = case == "shapes"
        with (
            contextlib.redirect_stdout(io.StringIO()) as said,
            contextlib.nullcontext() if traced else runs.eager(),
        ):
            assert command.main(kind, "x", flags(settings, out)) == 0
        return out, said.getvalue()

    return run


@pytest.mark.parametrize("case", CASES)
def test_a_run_lowers_its_loss_and_fills_its_folder(case, ran):
    out, said = ran(case)
    names = {path.name for path in out.iterdir()}
    assert names == {
        "config.json",
        "model.keras",
        ".lock",
        "last",
        "log.csv",
        "tensorboard",
        "overview.png",
        "clip.gif",
        "per_step.png",
        "results.json",
    }
    first, second = log_of(out)
    assert float(second["val_loss"]) < float(first["val_loss"])
    config = json.loads((out / "config.json").read_text())
    assert config["settings"]["seed"] == 0
    results = json.loads((out / "results.json").read_text())
    source = "sklearn-digits" if case == "mnist" else "generated"
    assert config["data"] == results["data"] == source
    assert results["updates"] == 4
    test = results["test"]
    assert test["clips"] == 8
    for score in ("ami", "ami_arithmetic", "ari"):
        assert len(test[score]["per_step"]) == 2
        assert test[score]["last"] == pytest.approx(
            test[score]["per_step"][-1], abs=1e-5
        )
    assert 0.0 <= test["confidence"] <= 1.0
    assert "AMI on 8 test clips" in said


def events_of(out, run):
    folder = str(out / "tensorboard" / run)
    return EventAccumulator(folder, size_guidance={"tensors": 0}).Reload()


def series(events, tag):
    """A dict from updates to values."""
    found = events.Tensors(tag)
    return {event.step: float(tf.make_ndarray(event.tensor_proto)) for event in found}


def test_tensorboard_shows_curves_pictures_and_settings(ran):
    out, _ = ran("shapes")
    assert {path.name for path in (out / "tensorboard").iterdir()} == {
        "train",
        "validation",
        "test",
    }
    train, validation, test = (
        events_of(out, run) for run in ("train", "validation", "test")
    )
    shared = {"loss/total", "loss/intra", "loss/inter", "loss/next_step_bound"}
    shared |= {"grouping/ari", "grouping/distinct_components", "grouping/purity"}
    of_run = {"run/learning_rate", "run/stage", "run/seconds", "settings"}
    assert set(train.Tags()["tensors"]) == shared | of_run
    ami = {"grouping/ami", "grouping/ami_mean"}
    assert set(validation.Tags()["tensors"]) == shared | ami | {"run/clip"}
    log = log_of(out)
    losses = series(train, "loss/total")
    assert list(losses) == list(range(1, 5))  # of each update
    for epoch, row in enumerate(log):
        mean = np.mean(list(losses.values())[2 * epoch : 2 * epoch + 2])
        assert mean == pytest.approx(float(row["loss"]), rel=1e-4)
    for tag, column in (("loss/total", "val_loss"), ("grouping/ami", "val_ami")):
        wanted = {2: float(log[0][column]), 4: float(log[1][column])}
        assert series(validation, tag) == pytest.approx(wanted, rel=1e-5)
    scores = json.loads((out / "results.json").read_text())["test"]
    assert series(test, "test/ami") == pytest.approx({4: scores["ami"]["last"]})
    assert series(test, "test/loss") == pytest.approx({4: scores["loss"]})


def test_hparams_have_what_matters_and_a_short_name(tmp_path):
    settings = {name: 1 for name in board.HPARAMS} | {"stages": [20, 50], "noise": 0.2}
    board.write_settings(tmp_path / "tensorboard", settings, "030405-seed0")
    found = events_of(tmp_path, "test").SummaryMetadata("_hparams_/session_start_info")
    content = plugin_data_pb2.HParamsPluginData.FromString(found.plugin_data.content)
    started = content.session_start_info
    assert started.group_name == "030405-seed0"
    assert len(started.hparams) == 10 and "noise" not in started.hparams
    assert started.hparams["stages"].string_value == "20,50"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/runs/flying_mnist/20260102-030405-seed0", "030405-seed0"),
        ("/runs/ours/direct/seed3", "direct/seed3"),
    ],
)
def test_short_names_of_runs(path, name):
    assert board.short_name(pathlib.Path(path)) == name


def test_a_stage_starts_from_the_best_of_the_stage_before(tmp_path, monkeypatch):
    out = tmp_path / "run"
    seen = []
    original = flying_mnist.FlyingMNIST.clips

    def spy(self, split, stage=-1, **settings):
        seen.append((split, stage))
        return original(self, split, stage, **settings)

    class Spoiler(keras.callbacks.Callback):
        """Makes a stage end with worse weights than its best ones."""

        def __init__(self, *_):
            super().__init__()

        def on_train_end(self, logs=None):
            self.model.set_weights([w + 1.0 for w in self.model.get_weights()])

    monkeypatch.setattr(flying_mnist.FlyingMNIST, "clips", spy)
    # A rate of 0 in the second stage: its weights must be the first stage's best ones.
    settings = {**N_EM_MNIST, "stages": (20, 50), "learning_rates": (0.003, 0.0)}
    settings = {**settings, "schedule": "constant"}
    with runs.undrawn(), runs.eager(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(board, "Board", Spoiler)
        assert command.main(flying_mnist.FlyingMNIST, "x", flags(settings, out)) == 0
    first = keras.saving.load_model(out / "stages" / "1.keras")
    second = keras.saving.load_model(out / "stages" / "2.keras")
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # The optimizer went on from where it was: its count of updates did not restart.
    assert int(np.asarray(second.optimizer.iterations.value)) > 2
    assert [row["stage"] for row in log_of(out)] == ["1", "1", "2", "2"]
    assert [row["epoch"] for row in log_of(out)] == ["0", "1", "2", "3"]
    assert {("train", 0), ("train", 1), ("test", -1)} <= set(seen)


def test_the_same_seed_trains_the_same_weights(tmp_path):
    weights = []
    for name in ("a", "b"):
        settings = {"recipe": "quick", **TINY, **NARROW, "epochs": (1,)}
        config = flying_shapes.FlyingShapes.configured(**settings)
        with runs.undrawn(), runs.eager():
            nem = _train(flying_shapes.FlyingShapes, config, tmp_path / name)
        weights.append(nem.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "settings", "own"),
    [
        (static_shapes.StaticShapes, {"network": "narrow"}, 16),
        (static_shapes.StaticShapes, {"network": "small"}, 250),
        (static_shapes.StaticShapes, {"network": "paper"}, 250),
        (static_shapes.StaticShapes, {"model": "n-em"}, 250),
        (static_shapes.StaticShapes, {"network": "places"}, 96),
        (flying_shapes.FlyingShapes, {"network": "narrow"}, 16),
        (flying_shapes.FlyingShapes, {"network": "places"}, 96),
        (flying_shapes.FlyingShapes, {"network": "small"}, 250),
        (flying_shapes.FlyingShapes, {"network": "paper"}, 100),
        (flying_mnist.FlyingMNIST, {"network": "small"}, 100),
        (flying_mnist.FlyingMNIST, {"network": "places"}, 96),
        (flying_mnist.FlyingMNIST, {"network": "tracking"}, 250),
        (flying_mnist.FlyingMNIST, {"network": "paper"}, 250),
    ],
)
def test_the_sizes_of_a_network_can_be_set(kind, settings, own):
    if kind is flying_mnist.FlyingMNIST:
        settings = {**settings, "digits": "sklearn-digits"}
    assert kind(kind.configured(**settings)).cell().noisy_units == own
    asked = kind(kind.configured(**settings, units=7)).cell()
    assert asked.noisy_units == 7
    asked.build()
    if settings.get("model") != "n-em":
        wider = kind(kind.configured(**settings, units=7, features=33)).cell()
        wider.build()
        assert wider.decoder.count_params() != asked.decoder.count_params()


def test_a_patch_has_room_for_the_largest_digit():
    settings = {"network": "tracking", "digits": "sklearn-digits", "digit_size": 14}
    kind = flying_mnist.FlyingMNIST
    cell = kind(kind.configured(**settings)).cell()
    assert cell.decoder.layers[-1].size == (15, 15)


@pytest.mark.skipif(
    not os.environ.get("TFDS_DATA_DIR"), reason="TFDS_DATA_DIR names no prepared MNIST"
)
def test_trains_on_real_mnist(tmp_path):
    out = tmp_path / "run"
    settings = {**N_EM_MNIST, "digits": "mnist", "stages": (20, 500)}
    settings["epochs"] = (2, 1)
    with runs.undrawn(), runs.eager():
        assert command.main(flying_mnist.FlyingMNIST, "x", flags(settings, out)) == 0
    assert json.loads((out / "results.json").read_text())["data"] == "mnist"
    rows = log_of(out)
    assert float(rows[1]["val_loss"]) < float(rows[0]["val_loss"])


def test_asking_for_mnist_without_it_fails_in_one_line(tmp_path, monkeypatch, capsys):
    from nem_tf.data import MNISTNotFound, digits

    def missing():
        raise MNISTNotFound("digits: MNIST is not here; set TFDS_DATA_DIR")

    monkeypatch.setattr(digits, "_mnist", missing)
    out = tmp_path / "run"
    line = flags({"recipe": "quick", "digits": "mnist"}, out)
    assert command.main(flying_mnist.FlyingMNIST, "x", line) == 2
    error = capsys.readouterr().err
    assert "TFDS_DATA_DIR" in error.splitlines()[-1] and "Traceback" not in error
    assert not out.exists()


def test_reads_the_originals_files(tmp_path, capsys):
    import h5py

    rng = np.random.default_rng(0)
    path = tmp_path / "shapes.h5"
    with h5py.File(path, "w") as file:
        for split in ("training", "validation", "test"):
            features = (rng.random((5, 16, 28, 28, 1)) < 0.2).astype("float32")
            file[f"{split}/features"] = features
            file[f"{split}/groups"] = features * rng.integers(1, 4, features.shape)
    out = tmp_path / "run"
    settings = {**CASES["shapes"][1], **N_EM, "epochs": (1,)}
    settings = {**settings, "train_size": 16, "data": path}
    with runs.undrawn(), runs.eager():
        assert command.main(flying_shapes.FlyingShapes, "x", flags(settings, out)) == 0
    assert json.loads((out / "results.json").read_text())["data"] == str(path)

    def score(words):
        with runs.eager():
            return evaluate.main(words)

    assert score([str(out)]) == 0  # on the same file
    again = json.loads((out / "results.json").read_text())
    assert again["data"] == str(path) and again["test"]["clips"] == 8
    assert again["not_as_in_training"] == {}
    assert not (out / "covered.png").exists()  # such a file has no masks
    for objects, name in (("2", "generated-objects2"), ("3", "generated")):
        assert score([str(out), "--objects", objects]) == 0
        made = out / "evaluate" / name / "results.json"
        found = json.loads(made.read_text())
        assert found["data"] == "generated"
        assert found["not_as_in_training"] == {"data": ["generated", str(path)]}
    assert json.loads((out / "results.json").read_text()) == again
    with h5py.File(path, "a") as file:
        file["test/groups"][...] = 1
    capsys.readouterr()
    assert score([str(out), "--clips", "4"]) == 0
    differ = f"not as in training: data {path} (other clips in its place)"
    assert differ in capsys.readouterr().out

    wrong = (
        (flying_shapes.FlyingShapes, {"test_size": 17}, "test_size: expected at most"),
        (flying_mnist.FlyingMNIST, {}, "data: expected frames of (24, 24, 1)"),
    )
    for kind, more, problem in wrong:
        line = flags({**settings, **more}, tmp_path / "other")
        capsys.readouterr()
        assert command.main(kind, "x", line) == 2
        assert problem in capsys.readouterr().err
        assert not (tmp_path / "other").exists()


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        flying_shapes.FlyingShapes.configured().clips.seed = 1


def _train(kind, config, out):
    from trainers.training import loop, run_folder

    keras.utils.set_random_seed(config.clips.seed)
    with run_folder.RunFolder(out) as folder:
        kind(config).train(loop.Run(config, folder))
    return keras.saving.load_model(folder.best)
