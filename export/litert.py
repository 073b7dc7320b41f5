"""LiteRT: the signature `step` for phones and boards, one stream, built-in ops only."""

import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from export.signatures import ServedModel

FILE = "model.tflite"
TOLERANCE = 1e-3  # of the written file against TensorFlow, on numbers around 1


def write(served: ServedModel, folder):
    """Convert `step` at B = 1 and write model.tflite into a folder.

    The state goes in and out under the same names, as in the SavedModel; the checks of
    pixels and state stay out, since LiteRT has no errors to raise.

    Returns:
        dict from "step" to the converted function, for its names and shapes.

    Raises:
        ValueError: if the written file does not compute what TensorFlow computes.
    """
    specs = [
        tf.TensorSpec((1, *spec.shape[1:]), spec.dtype, name=spec.name)
        for spec in served.specs["step"]
    ]
    path = pathlib.Path(folder) / FILE
    with tempfile.TemporaryDirectory() as beside:
        signatures = served.save(beside, {"step": (served.trusted_step, specs)})
        converter = tf.lite.TFLiteConverter.from_saved_model(
            beside, signature_keys=["step"]
        )
        path.write_bytes(converter.convert())
    _compare(served, path)
    return signatures


def _compare(served, path):
    """Run one frame through the file and through TensorFlow."""
    height, width, channels = served.cell.frame_shape
    frame = np.linspace(0.0, 1.0, height * width * channels, dtype="float32")
    frame = frame.reshape((1, height, width, channels))
    behind = [np.zeros_like(frame)] if served.cell.layered else []
    begin = served.init(tf.constant([0]), *behind)
    state = {name: x.numpy() for name, x in begin.items()}
    expected = served.trusted_step(frame, **state)
    found = Interpreter(str(path)).get_signature_runner("step")(frame=frame, **state)
    for name, value in expected.items():
        if name == "segmentation":  # where two components tie, either is right
            continue
        worst = float(np.abs(found[name] - value).max())
        if not worst <= TOLERANCE:
            raise ValueError(
                f"litert: {name} differs by {worst:g} from TensorFlow, nothing was "
                "published; try another version of ai-edge-litert"
            )
