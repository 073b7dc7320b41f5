"""Warm-up requests: TF Serving replays them before a version answers anyone.

A record that fails makes the server refuse the model, so they are replayed at export.
"""

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from trainers.training.errors import sentence

FILE = "assets.extra/tf_serving_warmup_requests"


def write(folder, served, batch_sizes, steps):
    """One request per signature and batch size, cut to what the model answers.

    Args:
        folder: of the SavedModel.
        served: its `signatures.ServedModel`.
        batch_sizes: B of the requests; fewer where frames are so large that the model
            would refuse them.
        steps: T of `serving_default`, at most.
    """
    sizes = sorted({min(batch, served.most_frames) for batch in batch_sizes})
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for name, specs in served.specs.items():
            longest = steps if name == "serving_default" else min(steps, 8)
            for batch in sizes:
                length = min(longest, served.most_frames // batch)
                request = predict_pb2.PredictRequest()
                request.model_spec.signature_name = name
                for spec in specs:
                    _fill(request.inputs[spec.name], spec, batch, length, served)
                log = prediction_log_pb2.PredictLog(request=request)
                record = prediction_log_pb2.PredictionLog(predict_log=log)
                file.write(record.SerializeToString())


def replay(folder):
    """Send the written requests through the written graph.

    Returns:
        the signatures of that graph.

    Raises:
        ValueError: if one fails, or its results are not finite.
    """
    signatures = tf.saved_model.load(str(folder)).signatures
    for record in tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record)
        request = request.predict_log.request
        name = request.model_spec.signature_name
        inputs = {
            key: tf.constant(tf.make_ndarray(value))
            for key, value in request.inputs.items()
        }
        try:
            results = signatures[name](**inputs)
        except tf.errors.OpError as error:
            raise ValueError(f"{name}: {sentence(error.message)}") from None
        for key, value in results.items():
            if not np.isfinite(value.numpy()).all():
                raise ValueError(f"{name}: {key} has NaN or infinity")
    return signatures


def _fill(tensor, spec, batch, length, served):
    """A tensor of one value, which is stored once: the file stays small."""
    sizes = [batch, *spec.shape[1:]]
    for size in sizes if spec.name != "frames" else [batch, length, *spec.shape[2:]]:
        tensor.tensor_shape.dim.add(size=size)
    tensor.dtype = spec.dtype.as_datatype_enum
    if spec.dtype == tf.int32:
        tensor.int_val.append(0)
    else:
        value = 1.0 / served.components if spec.name == "pi" else 0.0
        tensor.float_val.append(value)
