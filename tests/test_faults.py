"""A full disk, a vanished folder, damaged data, NaN: one line, and nothing is lost."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf

from nem_tf import data
from tests import runs
from trainers import flying_shapes
from trainers.training import command, keeping, run_folder, state


@contextlib.contextmanager
def small_disk(path, megabytes):
    """A file system of that size; the test is skipped where one cannot be mounted."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def run(out, traced=False, **settings):
    """A run in this process: its exit status."""
    line = runs.flags({**runs.N_EM, "epochs": 4, "epoch-updates": 2, "out": out})
    line += runs.flags({name.replace("_", "-"): settings[name] for name in settings})
    try:
        with runs.undrawn(), contextlib.nullcontext() if traced else runs.eager():
            return command.main(flying_shapes.FlyingShapes, "x", line)
    except SystemExit as stopped:  # refused before anything began
        return stopped.code


@contextlib.contextmanager
def at_epoch(number, action):
    """While open, `action` happens when an epoch begins, counted from 0."""

    def begin(epoch, logs=None):
        if epoch == number:
            action()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping.Keep, "on_epoch_begin", staticmethod(begin))
        yield


def last_line(capsys):
    """What was said last on stderr; there must be no traceback."""
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.splitlines()[-1]


def test_a_full_disk(tmp_path, capsys):
    with small_disk(tmp_path / "disk", 40) as disk:
        out, filler = disk / "run", disk / "filler"

        def fill():
            filler.write_bytes(bytes(shutil.disk_usage(disk).free - 8192))

        with at_epoch(2, fill):
            assert run(out) == 1
        said = last_line(capsys)
        assert "No space left" in said and "free space, then continue with" in said
        assert state.load(out / "last").position.epochs == 2
        runs.weights(out)  # can be read
        assert not list(out.rglob("*.part*"))
        filler.unlink()
        assert run(out, resume="auto") == 0
        assert [row["epoch"] for row in runs.log(out)] == [0, 1, 2, 3]


def test_a_disk_too_small_from_the_start(tmp_path, capsys):
    with small_disk(tmp_path / "disk", 1) as disk:
        assert run(disk / "run") == 1
        assert "No space left" in last_line(capsys)


def test_a_vanished_folder(tmp_path, capsys):
    out = tmp_path / "run"
    with at_epoch(1, lambda: shutil.rmtree(out)):
        assert run(out) == 1
    said = last_line(capsys)
    assert str(out) in said and "restore the folder" in said


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert run(tmp_path / "run") == 2
    assert "cannot write into" in last_line(capsys)


def test_a_folder_on_a_disk_for_reading_only(tmp_path, capsys):
    with small_disk(tmp_path / "disk", 1) as disk:
        again = ["mount", "-o", "remount,ro", str(disk)]
        subprocess.run(again, check=True)
        assert run(disk / "run") == 2
        assert f"cannot write into {disk}" in last_line(capsys)


@pytest.mark.parametrize("where", ["pi", "clean"])
def test_nan_stops_and_keeps_the_last_good_state(tmp_path, capsys, monkeypatch, where):
    out = tmp_path / "run"
    original = flying_shapes.FlyingShapes.clips

    def spoiled(self, split, stage=-1, **settings):
        clips = original(self, split, stage, **settings)
        if split != "train" or settings.get("epochs", 1) is not None:
            return clips
        return clips.enumerate().map(
            lambda count, batch: {
                **batch,
                where: batch[where] + tf.where(count == 4, float("nan"), 0.0),
            }
        )

    monkeypatch.setattr(flying_shapes.FlyingShapes, "clips", spoiled)
    assert run(out, traced=True) == 1
    said = last_line(capsys)
    if where == "pi":
        assert "loss became nan at update 5 (stage 1, epoch 3)" in said
        assert str(out / "last") in said and "--learning-rates" in said
    else:
        assert "clean: expected pixels in [0, 1], received values in [nan, nan]" in said
        assert "(update 5)" in said and "--resume" in said
    found = state.load(out / "last")
    assert (found.position.epoch, found.position.update) == (2, 0)
    assert all(np.isfinite(value).all() for value in found.variables)
    assert all(np.isfinite(value).all() for value in runs.weights(out))


def test_a_state_with_nan_is_never_saved(tmp_path, capsys, monkeypatch):
    original = keeping.Keep.on_train_batch_end

    def spoil(self, batch, logs=None):
        if self.run.updates == 2:
            weight = self.model.trainable_variables[0]
            weight.assign(weight * np.nan)
        original(self, batch, logs)

    monkeypatch.setattr(keeping.Keep, "on_train_batch_end", spoil)
    assert run(tmp_path / "run", save_minutes=0) == 1
    assert "a weight became nan at update 3" in last_line(capsys)
    assert state.load(tmp_path / "run" / "last").position.epochs == 1


def test_a_folder_in_use(tmp_path, capsys):
    out = tmp_path / "run"
    with run_folder.RunFolder(out) as folder:
        folder.write_json("config.json", {})
        with pytest.raises(ValueError) as error:
            run_folder.RunFolder(out, resumed=True)
    assert f"in use by process {os.getpid()} on" in str(error.value)
    with run_folder.RunFolder(out, resumed=True):
        pass  # free again


@pytest.fixture
def recording(tmp_path, rng):
    """An HDF5 file of the original's form."""
    path = tmp_path / "shapes.h5"
    with h5py.File(path, "w") as file:
        for split in ("training", "validation", "test"):
            features = (rng.random((4, 128, 28, 28, 1)) < 0.2).astype("float32")
            file.create_dataset(
                f"{split}/features", data=features, chunks=(4, 1, 28, 28, 1),
                fletcher32=True,
            )  # fmt: skip
            file[f"{split}/groups"] = features * rng.integers(1, 4, features.shape)
    return path


def damage(path, bytes_at):
    content = bytearray(path.read_bytes())
    content[bytes_at] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("cut", [0, 100, 5000, 400_000])
def test_a_truncated_recording(cut, recording, tmp_path, capsys):
    recording.write_bytes(recording.read_bytes()[:cut])
    assert run(tmp_path / "run", data=recording, train_size=16) == 2
    said = last_line(capsys)
    remedy = "fetch or export it again" if cut else "write one as docs/extending.md"
    assert str(recording) in said and remedy in said
    assert not (tmp_path / "run").exists()


def test_a_recording_damaged_within(recording, tmp_path, capsys):
    """Chunks carry a checksum; clip 1 is not looked at before it is trained on."""
    out = tmp_path / "run"
    content = recording.read_bytes()
    with h5py.File(recording) as file:
        where = file["training/features"].id.get_chunk_info(1)
    damage(recording, where.byte_offset + 100)
    settings = {"data": recording, "train_size": 128, "epochs": 1}
    settings |= {"batch_size": 32, "epoch_updates": 4}  # each clip once
    assert run(out, **settings) == 1
    said = last_line(capsys)
    assert str(recording) in said and "continue with --resume" in said
    assert state.load(out / "last") is not None
    recording.write_bytes(content)
    assert run(out, resume="auto", **settings) == 0


@pytest.mark.skipif(
    not os.environ.get("TFDS_DATA_DIR"), reason="TFDS_DATA_DIR names no prepared MNIST"
)
@pytest.mark.parametrize("damaged", ["truncated", "flipped", "json"])
def test_damaged_mnist(damaged, tmp_path, monkeypatch):
    source = pathlib.Path(os.environ["TFDS_DATA_DIR"])
    shutil.copytree(source / "mnist", tmp_path / "mnist")
    (folder,) = (tmp_path / "mnist").glob("*.*.*")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o700)
    (file,) = folder.glob("*train*")
    if damaged == "truncated":
        file.write_bytes(file.read_bytes()[:1_000_000])
    elif damaged == "flipped":
        damage(file, 1_000_000)
    else:
        (folder / "features.json").write_text("{")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError) as error:
        data.load_digits("mnist")
    assert str(folder) in str(error.value)
    assert "remove the folder and prepare MNIST again" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_best_model_is_named(tmp_path, capsys):
    """It is needed at the end of a stage; the run says which file is wrong."""
    out = tmp_path / "run"
    assert run(out, epochs=1) == 0
    (out / "results.json").unlink()
    model = out / "model.keras"
    with zipfile.ZipFile(model) as archive:
        damage(model, archive.getinfo("model.weights.h5").header_offset + 5000)
    assert run(out, epochs=1, resume="auto") == 1
    assert str(model) in last_line(capsys)
