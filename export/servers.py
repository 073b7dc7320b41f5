"""A model on a TF Serving process, over gRPC or REST, behind one interface.

A request that the server has no thread for, or that breaks off, is sent again after
growing waits: it carries the state of its stream, so it means the same the next time.
"""

import functools
import itertools
import json
import random
import threading
import time
import urllib.parse
from typing import NamedTuple

import grpc
import numpy as np
import requests
import tensorflow as tf
from requests.exceptions import ChunkedEncodingError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from urllib3.exceptions import ReadTimeoutError

from export.errors import TOO_LARGE, Passing, Refused, passes
from trainers.training.errors import sentence

UNLIMITED = -1  # gRPC's own limit of 4 MiB is below the reply for one batch of clips
INTEGERS = "segmentation", "used"  # of the results
MOST_CONNECTIONS = 64  # kept open over REST; more streams open theirs anew
ARRIVAL = 5.0  # seconds in which a server must first be reached; a typing error is told
FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0  # seconds between two tries, doubling
LEAST_TIME = 0.02  # seconds; a try with less would end in its own timeout
CHANNEL = {
    "grpc.max_receive_message_length": UNLIMITED,
    "grpc.max_send_message_length": UNLIMITED,
    "grpc.min_reconnect_backoff_ms": round(1000 * ARRIVAL),  # to give up a connection
    "grpc.initial_reconnect_backoff_ms": round(1000 * FIRST_WAIT),
    "grpc.max_reconnect_backoff_ms": round(1000 * LONGEST_WAIT),  # else two minutes
}
CODES = {  # of HTTP, as TF Serving translates them; 502 is a proxy's
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Spec(NamedTuple):
    """Which model of a server is meant: a version, a label, or the newest."""

    name: str
    version: int | None = None
    label: str | None = None


class Reply(NamedTuple):
    """What a request has brought."""

    outputs: dict[str, np.ndarray]
    version: int  # that answered
    retries: int  # how often the request was sent again


class Server:
    """What both protocols have.

    Args:
        address: "HOST:PORT".
        spec: which model.
        timeout: of a request with all its tries, in seconds.
    """

    def __init__(self, address, spec, timeout):
        self.address = address
        self.spec = spec
        self.timeout = timeout
        self.reached = False  # whether the server has ever answered
        self.closed = threading.Event()

    def shapes(self):
        """Inputs of each signature: dict of dicts of tuples, -1 for any size.

        Raises:
            ValueError: if the server does not answer or has no such model.
        """
        raise NotImplementedError

    def call(self, signature, inputs, outputs, version=None):
        """One request.

        Args:
            signature: its name.
            inputs: dict of arrays.
            outputs: names of the results that are needed.
            version: the one that made the state among `inputs`; None for the one that
                the spec means now.

        Returns:
            a `Reply`, with the arrays of `outputs`.

        Raises:
            ValueError: if the server refuses the request or does not answer.
        """
        try:
            return self._predict(signature, inputs, outputs, version)
        except Refused as error:
            if error.code == "NOT_FOUND" and version is not None:
                raise ValueError(
                    f"{self.address}: version {version} of {self.spec.name}, which "
                    "made this stream's state, is no longer loaded; begin anew"
                ) from None
            raise

    def close(self):
        """End all requests, those of other threads too."""
        self.closed.set()

    def _predict(self, signature, inputs, outputs, version):
        raise NotImplementedError

    def _until_answered(self, request):
        """Send a request until it is answered.

        Args:
            request: called with the seconds that are left. Raises `Passing` if it may
                be sent again, TimeoutError if these seconds have passed.

        Returns:
            what it returned, and how often it was sent again.
        """
        began, passing = time.monotonic(), None
        for retries in itertools.count():
            try:
                answer = request(began + self.timeout - time.monotonic())
            except TimeoutError:
                raise ValueError(self._given_up(passing, retries + 1)) from None
            except Passing as error:
                passing = error
            else:
                self.reached = True
                return answer, retries
            self.reached |= passing.reached
            allowed = self.timeout if self.reached else min(self.timeout, ARRIVAL)
            left = began + allowed - time.monotonic()
            if left < LEAST_TIME or self.closed.wait(_pause(retries, left)):
                raise ValueError(self._given_up(passing, retries + 1))

    def _given_up(self, passing, tries):
        if passing is None:
            return f"{self.address}: no answer in {self.timeout:g} s; raise --timeout"
        if self.reached:
            return (
                f"{self.address}: {passing}; sent {_times(tries)} in "
                f"{self.timeout:g} s; raise --timeout, or see BUILD.md, Serving"
            )
        return (
            f"{self.address}: no server answers ({passing}); start one as BUILD.md "
            "says, or give --server HOST:PORT"
        )


class GrpcServer(Server):
    """The server's PredictionService, port 8500 by default."""

    def __init__(self, address, spec, timeout=60.0):
        super().__init__(address, spec, timeout)
        self.channel = grpc.insecure_channel(address, options=list(CHANNEL.items()))
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    def shapes(self):
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        self._address(request.model_spec)
        request.metadata_field.append("signature_def")
        reply, _ = self._answer(self.stub.GetModelMetadata, request)
        found = get_model_metadata_pb2.SignatureDefMap()
        reply.metadata["signature_def"].Unpack(found)
        return {
            signature: {
                name: tuple(dim.size for dim in info.tensor_shape.dim)
                for name, info in definition.inputs.items()
            }
            for signature, definition in found.signature_def.items()
        }

    def close(self):
        super().close()
        self.channel.close()

    def _predict(self, signature, inputs, outputs, version):
        request = predict_pb2.PredictRequest(output_filter=outputs)
        self._address(request.model_spec, version)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        reply, retries = self._answer(self.stub.Predict, request)
        arrays = {name: tf.make_ndarray(reply.outputs[name]) for name in outputs}
        return Reply(arrays, reply.model_spec.version.value, retries)

    def _address(self, spec, version=None):
        spec.name = self.spec.name
        version = version or self.spec.version
        if version is not None:
            spec.version.value = version
        elif self.spec.label is not None:
            spec.version_label = self.spec.label

    def _answer(self, method, request):
        def once(seconds):
            try:
                return method(request, timeout=seconds)
            except grpc.RpcError as error:
                code, details = error.code().name, error.details() or ""
            if code == "DEADLINE_EXCEEDED":
                raise TimeoutError
            said = f"{code}: {sentence(details)}"
            if passes(code, details):
                # UNAVAILABLE is gRPC's own word too, where nobody answers.
                raise Passing(said, reached=code == "RESOURCE_EXHAUSTED")
            remedy = "; send less at once (--chunk)" if TOO_LARGE in details else ""
            raise Refused(f"{self.address}: {said}{remedy}", code)

        return self._until_answered(once)


class RestServer(Server):
    """The server's REST API, port 8501 by default. It always sends all outputs."""

    def __init__(self, address, spec, timeout=60.0):
        super().__init__(address, spec, timeout)
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy between a client and its server
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=MOST_CONNECTIONS)
        self.session.mount("http://", adapter)

    def shapes(self):
        reply, _ = self._metadata()
        found = reply["metadata"]["signature_def"]["signature_def"]
        return {
            signature: {
                name: tuple(int(dim["size"]) for dim in info["tensor_shape"]["dim"])
                for name, info in definition["inputs"].items()
            }
            for signature, definition in found.items()
        }

    def close(self):
        super().close()
        self.session.close()

    def _predict(self, signature, inputs, outputs, version):
        version, asked = version or self.spec.version, 0
        if version is None:  # a reply to :predict does not say who made it
            reply, asked = self._metadata()
            version = int(reply["model_spec"]["version"])
        inputs = {name: np.asarray(value).tolist() for name, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": inputs})
        reply, retries = self._answer("POST", f"{self._url(version)}:predict", body)
        missing = sorted(set(outputs) - set(reply["outputs"]))
        if missing:
            raise ValueError(
                f"{self.address}: expected {', '.join(missing)} in the reply of "
                f"{signature}, received {', '.join(sorted(reply['outputs']))}; export "
                "the model again"
            )
        arrays = {name: _array(name, reply["outputs"][name]) for name in outputs}
        return Reply(arrays, version, asked + retries)

    def _metadata(self):
        reply, retries = self._answer("GET", f"{self._url()}/metadata")
        if not {"metadata", "model_spec"} <= set(reply):
            raise ValueError(f"{self._url()}: no metadata; is it TF Serving?")
        return reply, retries

    def _url(self, version=None):
        url = f"http://{self.address}/v1/models/{_quoted(self.spec.name)}"
        version = version or self.spec.version
        if version is not None:
            return f"{url}/versions/{version}"
        label = self.spec.label
        return url if label is None else f"{url}/labels/{_quoted(label)}"

    def _answer(self, method, url, body=None):
        once = functools.partial(self._once, method, url, body)
        return self._until_answered(once)

    def _once(self, method, url, body, seconds):
        try:
            timeouts = min(ARRIVAL, seconds), seconds  # to connect, to wait
            reply = self.session.request(method, url, data=body, timeout=timeouts)
        except (requests.ConnectionError, ChunkedEncodingError) as error:
            if error.args and isinstance(error.args[0], ReadTimeoutError):
                raise TimeoutError from None  # within the reply
            raise Passing(_cause(error), reached=False) from None
        except requests.Timeout:
            raise TimeoutError from None
        try:
            content = reply.json()
            said = str(content.get("error", "")) if reply.ok else content["error"]
        except (requests.JSONDecodeError, AttributeError, KeyError, TypeError):
            content, said = None, f"HTTP {reply.status_code} {reply.reason}"
        code = CODES.get(reply.status_code, "")
        if passes(code, said):
            raise Passing(sentence(said), reached=True)
        if content is None:
            raise ValueError(f"{url}: no JSON in the reply ({said}); is it TF Serving?")
        if said:
            raise Refused(f"{self.address}: {sentence(said)}", code)
        return content


def _pause(retries, left):
    """Seconds before the next try; chance keeps many streams from meeting again."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(retries, 20))
    return min(random.uniform(0.5, 1.0) * longest, left / 2)


def _times(number):
    return "once" if number == 1 else f"{number} times"


def _quoted(name):
    return urllib.parse.quote(name, safe="")


def _array(name, values):
    return np.asarray(values, "int32" if name in INTEGERS else "float32")


def _cause(error):
    """What the operating system said, inside what urllib3 and requests made of it."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return " ".join(str(error).split())
