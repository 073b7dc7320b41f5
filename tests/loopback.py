"""A small stand-in for TF Serving: its published protos and REST paths on loopback.

    python -m tests.loopback MODELS

It loads what models.config names and answers Predict and GetModelMetadata over gRPC and
REST, with TF Serving's status codes. It tests our client and our signatures; it is not
the server, which the C API test and tests/test_export_server.py come closer to. It
prints "GRPC_PORT REST_PORT" and serves until it is killed.
"""

import concurrent.futures
import http.server
import json
import math
import pathlib
import re
import sys
import threading

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import any_pb2, json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export import server_files
from export.versions import versions

MOST_BYTES = 2**28  # of an input tensor
PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(.*)")


class Refused(Exception):
    """A request that TF Serving would refuse, with its status code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def _loaded(folder, name):
    """The versions of a model that models.config asks for."""
    entry = server_files.entry(folder, name)
    if entry is None:
        return []
    policy = entry.model_version_policy
    if policy.WhichOneof("policy_choice") == "all":
        return versions(folder / name)
    return sorted(policy.specific.versions)


class Models:
    """The models of a folder, by name and version or label."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        names = [path.name for path in self.folder.iterdir() if path.is_dir()]
        self.loaded = {
            (name, version): tf.saved_model.load(
                str(self.folder / name / str(version))
            ).signatures
            for name in names
            for version in _loaded(self.folder, name)
        }

    def find(self, name, version=None, label=None):
        """The signatures of a model, and its version."""
        numbers = [number for model, number in self.loaded if model == name]
        if label:
            version = server_files.labels(self.folder, name).get(label, -1)
        version = version or max(numbers, default=-1)
        if (name, version) not in self.loaded:
            text = f"Servable not found for request: {name}, {label or version}"
            raise Refused(grpc.StatusCode.NOT_FOUND, text)
        return self.loaded[name, version], version

    def run(self, spec, signature, inputs, wanted=()):
        """Call a signature with arrays, after the checks that the server makes."""
        signatures, version = self.find(*spec)
        if signature not in signatures:
            message = f'Serving signature key "{signature}" not found.'
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, message)
        function = signatures[signature]
        specs = function.structured_input_signature[1]
        if set(inputs) != set(specs):
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input names: expected {sorted(specs)}, received {sorted(inputs)}",
            )
        unknown = set(wanted) - set(function.structured_outputs)
        if unknown:
            message = f"output_filter: no output {sorted(unknown)}"
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
        for name, value in inputs.items():
            if value.dtype != specs[name].dtype.as_numpy_dtype:
                message = f"{name}: expected {specs[name].dtype.name}, {value.dtype}"
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
        try:
            results = function(**{name: tf.constant(x) for name, x in inputs.items()})
        except tf.errors.OpError as error:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            raise Refused(codes[error.error_code], error.message) from None
        names = wanted or results
        return {name: results[name].numpy() for name in names}, version


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """PredictionService over gRPC."""

    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):
        try:
            inputs = {name: _array(name, x) for name, x in request.inputs.items()}
            spec = request.model_spec
            where = (spec.name, spec.version.value, spec.version_label)
            signature = spec.signature_name or "serving_default"
            wanted = list(request.output_filter)
            results, version = self.models.run(where, signature, inputs, wanted)
        except Refused as error:
            context.abort(error.code, str(error))
        reply = predict_pb2.PredictResponse()
        reply.model_spec.name = spec.name
        reply.model_spec.version.value = version
        for name, value in results.items():
            reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return reply

    def GetModelMetadata(self, request, context):
        spec = request.model_spec
        try:
            where = (spec.name, spec.version.value, spec.version_label)
            signatures, _ = self.models.find(*where)
        except Refused as error:
            context.abort(error.code, str(error))
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        packed = any_pb2.Any()
        packed.Pack(_metadata(signatures))
        reply.metadata["signature_def"].CopyFrom(packed)
        return reply


def rest_handler(models):
    """The request handler of the REST API, columns only ("inputs")."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            name, version, label, rest = PATH.fullmatch(self.path).groups()
            try:
                assert rest == "/metadata", rest
                signatures, _ = models.find(name, int(version or 0), label)
                found = json_format.MessageToDict(
                    _metadata(signatures), preserving_proto_field_name=True
                )
                self._reply(200, {"metadata": {"signature_def": found}})
            except Refused as error:
                self._reply(404, {"error": str(error)})

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            name, version, label, rest = PATH.fullmatch(self.path).groups()
            try:
                assert rest == ":predict", rest
                request = json.loads(body)
                signature = request.get("signature_name", "serving_default")
                signatures, _ = models.find(name, int(version or 0), label)
                specs = signatures[signature].structured_input_signature[1]
                inputs = {
                    key: np.asarray(value, specs[key].dtype.as_numpy_dtype)
                    for key, value in request["inputs"].items()
                }
                where = (name, int(version or 0), label)
                results, _ = models.run(where, signature, inputs)
                outputs = {key: value.tolist() for key, value in results.items()}
                self._reply(200, {"outputs": outputs})
            except Refused as error:
                missing = error.code is grpc.StatusCode.NOT_FOUND
                self._reply(404 if missing else 400, {"error": str(error)})
            except (ValueError, KeyError, TypeError) as error:
                self._reply(400, {"error": f"cannot be read: {error!r}"})

        def _reply(self, status, content):
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            """Quiet."""

    return Handler


def _array(name, proto):
    """A tensor of a request; a shape that its content does not fill is refused."""
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    dtype = tf.dtypes.as_dtype(proto.dtype) if proto.dtype in (1, 3) else None
    if dtype is None:
        message = f"{name}: expected float32 or int32"
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
    count = math.prod(sizes) if all(size >= 0 for size in sizes) else -1
    if not 0 <= count * dtype.size <= MOST_BYTES:
        message = f"{name}: tensor of shape {sizes}"
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
    values = {1: proto.float_val, 3: proto.int_val}[proto.dtype]
    if proto.tensor_content and len(proto.tensor_content) != count * dtype.size:
        message = f"{name}: content does not fill the shape {sizes}"
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
    if not proto.tensor_content and count and not 1 <= len(values) <= count:
        message = f"{name}: {len(values)} values for the shape {sizes}"
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
    return tf.make_ndarray(proto)


def _metadata(signatures):
    found = get_model_metadata_pb2.SignatureDefMap()
    for signature, function in signatures.items():
        for name, spec in function.structured_input_signature[1].items():
            info = found.signature_def[signature].inputs[name]
            info.dtype = spec.dtype.as_datatype_enum
            for size in spec.shape:
                info.tensor_shape.dim.add(size=-1 if size is None else size)
    return found


def main(folder):
    models = Models(folder)
    pool = concurrent.futures.ThreadPoolExecutor(8)
    server = grpc.server(pool, options=[("grpc.max_receive_message_length", 2**28)])
    service = Service(models)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), rest_handler(models))
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    print(port, rest.server_address[1], flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1])
