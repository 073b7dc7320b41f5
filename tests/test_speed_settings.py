"""Precision, compilation, unrolling and lanes: what they set, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import runs
from trainers import experiment, flying_shapes
from trainers.training import command, devices

TINY = {**runs.SMALL, "batch-size": 16, "steps": 2, "test-size": 12}


@pytest.mark.parametrize(
    ("batch", "cores", "lanes"),
    [(64, 2, 2), (64, 1, 1), (64, 3, 2), (64, 16, 8), (66, 4, 3), (8, 4, 1), (7, 2, 1)],
)
def test_one_lane_per_core_where_the_batch_allows_it(monkeypatch, batch, cores, lanes):
    monkeypatch.setattr(devices, "cores", lambda: cores)
    assert devices.lanes_of(batch) == lanes


@pytest.mark.parametrize(
    ("clips", "most", "shares", "size"),
    [
        (1000, 64, 1, 40),
        (320, 64, 1, 64),
        (10_000, 64, 1, 40),
        (999, 63, 3, 63),  # 37 would not share
        (997, 64, 1, 64),
        (12, 8, 1, 6),
        (1, 1, 1, 1),
    ],
)
def test_batches_that_divide_the_clips(clips, most, shares, size):
    assert experiment.even_batch(clips, most, shares) == size


def test_validation_batches_are_all_of_one_size():
    config = flying_shapes.FlyingShapes.configured(validation_size=60, batch_size=16)
    clips = flying_shapes.FlyingShapes(config).clips("validation", clips=60)
    shapes = {tuple(batch["pi"].shape) for batch in clips}
    assert shapes == {(12, 3, 28, 28, 1)}
    assert clips.element_spec["pi"].shape[0] == 12


def test_tf32_needs_a_gpu():
    with pytest.raises(ValueError, match="precision: expected float32 or bfloat16"):
        devices.set_precision("tf32")


def test_bfloat16_keeps_weights_in_float32():
    devices.set_precision("bfloat16")
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    devices.set_precision("float32")
    assert keras.config.dtype_policy().name == "float32"
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_several_devices_are_not_compiled(monkeypatch):
    config = flying_shapes.FlyingShapes.configured(
        strategy="mirrored", compile="on", batch_size=2, validation_size=2
    )
    with pytest.raises(ValueError, match="compile: expected auto or off on several"):
        devices.choose(config)


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    """The training losses of one small run under each setting."""
    out = tmp_path_factory.mktemp("settings")
    settings = {
        "plain": {"lanes": 1},
        "lanes-unroll": {"lanes": 2, "unroll": True},
        "compile": {"compile": "on"},
        "bfloat16": {"precision": "bfloat16"},
    }

    def train(name):
        line = runs.flags({**TINY, **settings[name], "out": out / name})
        with runs.undrawn():
            assert command.main(flying_shapes.FlyingShapes, "x", line) == 0
        return np.array([row["loss"] for row in runs.log(out / name)])

    return {name: train(name) for name in settings}


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("lanes-unroll", 1e-4), ("compile", 1e-4), ("bfloat16", 1e-2)],
)
def test_a_setting_changes_the_speed_only(losses, name, tolerance):
    np.testing.assert_allclose(losses[name], losses["plain"], rtol=tolerance)
    assert np.all(np.diff(losses["plain"]) < 0)
