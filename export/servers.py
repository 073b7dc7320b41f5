"""A model on a TF Serving process, over gRPC or REST, behind one interface."""

import urllib.parse
from typing import NamedTuple

import grpc
import numpy as np
import requests
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.errors import sentence

UNLIMITED = -1  # gRPC's own limit of 4 MiB is below the reply for one batch of clips
MOST_CONNECTIONS = 64  # kept open over REST; more streams open theirs anew


class Spec(NamedTuple):
    """Which model of a server is meant: a version, a label, or the newest."""

    name: str
    version: int | None = None
    label: str | None = None


class Server:
    """What both protocols have.

    Args:
        address: "HOST:PORT".
        spec: which model.
        timeout: of a request, in seconds.
    """

    def __init__(self, address, spec, timeout):
        self.address = address
        self.spec = spec
        self.timeout = timeout

    def shapes(self):
        """Inputs of each signature: dict of dicts of tuples, -1 for any size.

        Raises:
            ValueError: if the server does not answer or has no such model.
        """
        raise NotImplementedError

    def call(self, signature, inputs, outputs):
        """One request.

        Args:
            signature: its name.
            inputs: dict of arrays.
            outputs: names of the results that are needed.

        Returns:
            dict of NumPy arrays, those of `outputs`.

        Raises:
            ValueError: if the server refuses the request or does not answer.
        """
        raise NotImplementedError


class GrpcServer(Server):
    """The server's PredictionService, port 8500 by default."""

    def __init__(self, address, spec, timeout=60.0):
        super().__init__(address, spec, timeout)
        limits = ("grpc.max_receive_message_length", "grpc.max_send_message_length")
        options = [(limit, UNLIMITED) for limit in limits]
        self.channel = grpc.insecure_channel(address, options=options)
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    def shapes(self):
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        self._address(request.model_spec)
        request.metadata_field.append("signature_def")
        reply = self._answer(self.stub.GetModelMetadata, request)
        found = get_model_metadata_pb2.SignatureDefMap()
        reply.metadata["signature_def"].Unpack(found)
        return {
            signature: {
                name: tuple(dim.size for dim in info.tensor_shape.dim)
                for name, info in definition.inputs.items()
            }
            for signature, definition in found.signature_def.items()
        }

    def call(self, signature, inputs, outputs):
        request = predict_pb2.PredictRequest(output_filter=outputs)
        self._address(request.model_spec)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        reply = self._answer(self.stub.Predict, request)
        return {name: tf.make_ndarray(reply.outputs[name]) for name in outputs}

    def _address(self, spec):
        spec.name = self.spec.name
        if self.spec.version is not None:
            spec.version.value = self.spec.version
        elif self.spec.label is not None:
            spec.version_label = self.spec.label

    def _answer(self, method, request):
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            code, details = error.code().name, error.details()
        if code == "UNAVAILABLE":
            raise ValueError(_nobody(self.address, details))
        raise ValueError(f"{self.address}: {code}: {sentence(details)}")


class RestServer(Server):
    """The server's REST API, port 8501 by default. It always sends all outputs."""

    def __init__(self, address, spec, timeout=60.0):
        super().__init__(address, spec, timeout)
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy between a client and its server
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=MOST_CONNECTIONS)
        self.session.mount("http://", adapter)
        path = f"/v1/models/{urllib.parse.quote(spec.name)}"
        if spec.version is not None:
            path += f"/versions/{spec.version}"
        elif spec.label is not None:
            path += f"/labels/{urllib.parse.quote(spec.label)}"
        self.url = f"http://{address}{path}"

    def shapes(self):
        reply = self._answer("GET", f"{self.url}/metadata")
        found = reply["metadata"]["signature_def"]["signature_def"]
        return {
            signature: {
                name: tuple(int(dim["size"]) for dim in info["tensor_shape"]["dim"])
                for name, info in definition["inputs"].items()
            }
            for signature, definition in found.items()
        }

    def call(self, signature, inputs, outputs):
        inputs = {name: np.asarray(value).tolist() for name, value in inputs.items()}
        body = {"signature_name": signature, "inputs": inputs}
        reply = self._answer("POST", f"{self.url}:predict", json=body)["outputs"]
        return {name: _array(name, reply[name]) for name in outputs}

    def _answer(self, method, url, **kwargs):
        try:
            reply = self.session.request(method, url, timeout=self.timeout, **kwargs)
            content = reply.json()
        except requests.ConnectionError as error:
            raise ValueError(_nobody(self.address, error)) from None
        except requests.Timeout:
            raise ValueError(
                f"{self.address}: no answer in {self.timeout:g} s; raise --timeout"
            ) from None
        except requests.JSONDecodeError:
            raise ValueError(
                f"{url}: no JSON in the reply; is it TF Serving?"
            ) from None
        if "error" in content:
            raise ValueError(f"{self.address}: {sentence(content['error'])}")
        return content


def _array(name, values):
    return np.asarray(values, "int32" if name == "segmentation" else "float32")


def _nobody(address, details):
    return (
        f"{address}: no server answers ({str(details)[:120]}); start one as BUILD.md "
        "says, or give --server HOST:PORT"
    )
