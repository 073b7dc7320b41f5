"""LiteRT: the signature `step` for phones and boards, one stream, built-in ops only."""

import pathlib
import tempfile

import keras
import tensorflow as tf

from export.signatures import ServedModel

FILE = "model.tflite"


def write(served: ServedModel, folder):
    """Convert `step` at B = 1 and write model.tflite into a folder.

    The state goes in and out under the same names, as in the SavedModel; the checks of
    pixels and state stay out, since LiteRT has no errors to raise.

    Returns:
        dict from "step" to the converted function, for its names and shapes.
    """
    specs = [
        tf.TensorSpec((1, *spec.shape[1:]), spec.dtype, name=spec.name)
        for spec in served.specs["step"]
    ]
    archive = keras.export.ExportArchive()
    archive.track(served.nem)
    archive.add_endpoint("step", served.trusted_step, input_signature=specs)
    with tempfile.TemporaryDirectory() as beside:
        archive.write_out(beside, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            beside, signature_keys=["step"]
        )
        (pathlib.Path(folder) / FILE).write_bytes(converter.convert())
        return {"step": tf.saved_model.load(beside).signatures["step"]}
