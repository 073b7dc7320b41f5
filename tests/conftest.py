"""What every test has: quiet TensorFlow, exact float32, one source of randomness."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

tf.config.experimental.enable_tensor_float_32_execution(False)


@pytest.fixture(autouse=True)
def _same_start():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def rng():
    """The random numbers of a test."""
    return np.random.default_rng(0)
