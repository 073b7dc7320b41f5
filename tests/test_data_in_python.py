"""Data sets that call Python make no batch before it is asked for.

TensorFlow would stand still now and then where their iterator is deleted.
"""

import time

import h5py
import numpy as np
import pytest
import tensorflow as tf

from nem_tf import data, pixels
from nem_tf.data import plain

N, F, H, W = 40, 4, 8, 10  # clips, frames, rows, columns
SIZES = {"batch_size": 2, "components": 2}


@pytest.fixture
def clips(rng):
    """Clips (N, F, H, W, 1) of 0 and 255."""
    return 255 * (rng.random((N, F, H, W, 1)) < 0.2).astype("uint8")


def of_an_array(clips, _):
    return data.from_arrays(clips, background="plain", **SIZES)


def of_a_file(clips, folder):
    with h5py.File(folder / "clips.h5", "w") as file:
        file["training/features"] = clips.swapaxes(0, 1) / 255
    return data.recorded(folder / "clips.h5", steps=F - 1, **SIZES)


def of_own_clips(clips, folder):
    np.save(folder / "clips.npy", clips)
    own = data.OwnClips(folder / "clips.npy", background="plain")
    return data.from_folder(own, steps=F - 1, **SIZES)


def of_batches(clips, _):
    batches = tf.data.Dataset.from_tensor_slices(clips).batch(2)
    return plain.clips_of(batches, "train", components=2, background="plain")


@pytest.mark.parametrize("make", [of_an_array, of_a_file, of_own_clips, of_batches])
def test_no_batch_is_made_ahead(make, clips, tmp_path, monkeypatch):
    calls, really = [], tf.numpy_function

    def counting(function, *arguments, **settings):
        def counted(*values):
            calls.append(function)
            return function(*values)

        return really(counted, *arguments, **settings)

    monkeypatch.setattr(tf, "numpy_function", counting)
    made = iter(pixels.looked_through(make(clips, tmp_path)))
    for _ in range(6):  # TensorFlow's own threads would begin at the first
        next(made)
    time.sleep(0.1)
    per_batch = {function: calls.count(function) for function in calls}
    assert per_batch and set(per_batch.values()) <= {1, 6}  # 1: where a pass begins
    assert 6 in per_batch.values()
