"""A small stand-in for TF Serving: its published protos and REST paths on loopback.

    python -m tests.loopback MODELS [--ports GRPC,REST] [--refuse-every N] [--at-once N]

It loads what models.config names and answers Predict, GetModelMetadata and
GetModelStatus over gRPC and REST, with TF Serving's status codes and words. It tests
our client and our signatures; it is not the server, which the C API test and
tests/test_export_server.py come closer to. It prints "GRPC_PORT REST_PORT" and serves
until it is killed. As `Loopback` it runs within a test, and can go away and come back.
"""

import argparse
import concurrent.futures
import contextlib
import http.server
import json
import math
import pathlib
import re
import socket
import threading
import urllib.parse

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import any_pb2, json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export import server_files
from export.documents import versions

MOST_BYTES = 2**28  # of an input tensor
PATH = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(:predict|/metadata)?"
)
THREADS = 32  # more than a test has streams, so that `Trouble` alone refuses
STATUS = {  # of HTTP, as TF Serving's http_server.cc has it; 500 for the others
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}


class Refused(Exception):
    """A request that TF Serving would refuse, with its status code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Trouble:
    """Which requests are refused though nothing is wrong with them, as under load.

    Args:
        every: the first of each so many; 0 for none.
        at_once: so many are answered at the same time, others refused; 0 for any.
        cut: each so many-th reply over REST ends in its middle; 0 for none.
        code: of the refusal; RESOURCE_EXHAUSTED is 429 over REST, UNAVAILABLE 503.
        text: of the refusal.
    """

    def __init__(
        self,
        every=0,
        at_once=0,
        cut=0,
        code="RESOURCE_EXHAUSTED",
        text="Server Threadpool Exhausted",
    ):
        self.every, self.at_once, self.cut = every, at_once, cut
        self.code, self.text = grpc.StatusCode[code], text
        self.requests = self.running = self.refused = self.replies = 0
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def admitted(self):
        """Around a request; raises `Refused`."""
        with self.lock:
            self.requests += 1
            self.running += 1
            refused = bool(self.at_once) and self.running > self.at_once
            refused |= bool(self.every) and self.requests % self.every == 1 % self.every
            self.refused += refused
        try:
            if refused:
                raise Refused(self.code, self.text)
            yield
        finally:
            with self.lock:
                self.running -= 1

    def cuts(self):
        """Whether the next reply is cut off."""
        with self.lock:
            self.replies += 1
            return bool(self.cut) and self.replies % self.cut == 0


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
        if label:
            known = server_files.labels(self.folder, name)
            if label not in known:
                text = f"Unrecognized servable version label: {label}"
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, text)
            version = known[label]
        asked = f"Specific({name}, {version})" if version else f"Latest({name})"
        version = version or max(self.versions(name), default=-1)
        if (name, version) not in self.loaded:
            text = f"Servable not found for request: {asked}"
            raise Refused(grpc.StatusCode.NOT_FOUND, text)
        return self.loaded[name, version], version

    def versions(self, name):
        """The loaded ones, the newest first."""
        numbers = [number for model, number in self.loaded if model == name]
        return sorted(numbers, reverse=True)

    def metadata(self, name, version=None, label=None):
        """A GetModelMetadataResponse."""
        signatures, version = self.find(name, version, label)
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        reply.model_spec.name = name
        reply.model_spec.version.value = version
        packed = any_pb2.Any()
        packed.Pack(_metadata(signatures))
        reply.metadata["signature_def"].CopyFrom(packed)
        return reply

    def status(self, name, version=None):
        """A GetModelStatusResponse: of all versions unless one is named, as TF Serving
        does whatever the label says."""
        numbers = [n for n in self.versions(name) if version in (None, 0, n)]
        if not numbers:
            which = f"version {version} of" if version else "any versions of"
            text = f"Could not find {which} model {name}"
            raise Refused(grpc.StatusCode.NOT_FOUND, text)
        reply = get_model_status_pb2.GetModelStatusResponse()
        for number in numbers:
            found = reply.model_version_status.add(version=number)
            found.state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
            found.status.SetInParent()
        return reply

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


class Service(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """PredictionService and ModelService over gRPC.

    Args:
        server: a `Loopback`.
    """

    def __init__(self, server):
        self.server = server
        self.models = server.models

    def Predict(self, request, context):
        spec = request.model_spec
        signature = spec.signature_name or "serving_default"
        with self._refusals(context):
            inputs = {name: _array(name, x) for name, x in request.inputs.items()}
            wanted = list(request.output_filter)
            results, version = self.models.run(_spec(spec), signature, inputs, wanted)
        reply = predict_pb2.PredictResponse()
        reply.model_spec.name = spec.name
        reply.model_spec.signature_name = signature
        reply.model_spec.version.value = version
        for name, value in results.items():
            reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return reply

    def GetModelMetadata(self, request, context):
        with self._refusals(context):
            return self.models.metadata(*_spec(request.model_spec))

    def GetModelStatus(self, request, context):
        with self._refusals(context):
            return self.models.status(*_spec(request.model_spec)[:2])

    @contextlib.contextmanager
    def _refusals(self, context):
        try:
            with self.server.trouble.admitted():
                yield
        except Refused as error:
            context.abort(error.code, str(error))


def rest_handler(server):
    """The request handler of the REST API of a `Loopback`, columns only ("inputs")."""
    models = server.models

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a body waits 40 ms for its head's ACK

        def do_GET(self):
            self._answer(self._get)

        def do_POST(self):
            self._answer(self._predict)

        def _get(self, spec, method, _):
            if method == ":predict":
                raise self._malformed()
            if not method:
                return _dict(models.status(*spec[:2]))
            reply = models.metadata(*spec)
            found = get_model_metadata_pb2.SignatureDefMap()
            reply.metadata["signature_def"].Unpack(found)
            definitions = json_format.MessageToDict(
                found, preserving_proto_field_name=True
            )
            return {
                "model_spec": _dict(reply.model_spec),
                "metadata": {"signature_def": definitions},
            }

        def _predict(self, spec, method, body):
            if method != ":predict":
                raise self._malformed()
            try:
                request = json.loads(body)
                signature = request.get("signature_name", "serving_default")
                signatures, _ = models.find(*spec)
                specs = signatures[signature].structured_input_signature[1]
                inputs = {
                    key: np.asarray(value, specs[key].dtype.as_numpy_dtype)
                    for key, value in request["inputs"].items()
                }
            except (ValueError, KeyError, TypeError) as error:
                text = f"cannot be read: {error!r}"
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, text) from None
            results, _ = models.run(spec, signature, inputs)
            return {"outputs": {key: value.tolist() for key, value in results.items()}}

        def _answer(self, action):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                with server.trouble.admitted():
                    matched = PATH.fullmatch(self.path)
                    if not matched:
                        raise self._malformed()
                    name, version, label, method = matched.groups()
                    label = label and urllib.parse.unquote(label)
                    spec = (urllib.parse.unquote(name), int(version or 0), label)
                    self._reply(200, action(spec, method, body))
            except Refused as error:
                self._reply(STATUS.get(error.code, 500), {"error": str(error)})

        def _malformed(self):
            text = f"Malformed request: {self.command} {self.path}"
            return Refused(grpc.StatusCode.INVALID_ARGUMENT, text)

        def _reply(self, status, content):
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if server.trouble.cuts():
                body, self.close_connection = body[: len(body) // 2], True
            self.wfile.write(body)

        def log_message(self, *arguments):
            """Quiet."""

    return Handler


class RestListener(http.server.ThreadingHTTPServer):
    """An HTTP server whose end is the end of its connections too."""

    def __init__(self, *arguments):
        self.connections = set()
        super().__init__(*arguments)

    def process_request(self, request, client_address):
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        """Quiet: the connection has gone."""

    def stop(self):
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Loopback:
    """The server within this process.

    Args:
        models: a `Models`.
        trouble: a `Trouble`, which may be another later; none if None.
        ports: for gRPC and for REST; 0 for any free one, which it keeps.
    """

    def __init__(self, models, trouble=None, ports=(0, 0)):
        self.models = models
        self.trouble = trouble or Trouble()
        self.ports = tuple(ports)

    def start(self):
        """Listen; again on the same ports after `stop`."""
        pool = concurrent.futures.ThreadPoolExecutor(THREADS)
        options = [("grpc.max_receive_message_length", 2**28)]
        self.grpc = grpc.server(pool, options=options)
        service = Service(self)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            service, self.grpc
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, self.grpc)
        port = self.grpc.add_insecure_port(f"127.0.0.1:{self.ports[0]}")
        self.grpc.start()
        place = "127.0.0.1", self.ports[1]
        self.rest = RestListener(place, rest_handler(self))
        serve = threading.Thread(target=self.rest.serve_forever, args=(0.05,))
        serve.daemon = True
        serve.start()
        self.ports = port, self.rest.server_address[1]
        return self

    def stop(self):
        """Go away: what is being answered breaks off."""
        self.grpc.stop(0).wait()
        self.rest.stop()

    @property
    def addresses(self):
        """The HOST:PORT of gRPC and of REST."""
        return tuple(f"127.0.0.1:{port}" for port in self.ports)


def _spec(spec):
    return spec.name, spec.version.value, spec.version_label


def _dict(message):
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


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


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=pathlib.Path)
    parser.add_argument("--ports", default="0,0", help="of gRPC and REST (any)")
    parser.add_argument("--refuse-every", type=int, default=0, metavar="N")
    parser.add_argument("--at-once", type=int, default=0, metavar="N")
    given = parser.parse_args(arguments)
    trouble = Trouble(given.refuse_every, given.at_once)
    ports = [int(port) for port in given.ports.split(",")]
    server = Loopback(Models(given.models), trouble, ports).start()
    print(*server.ports, flush=True)
    server.grpc.wait_for_termination()


if __name__ == "__main__":
    main()
