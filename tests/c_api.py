"""Run a SavedModel through TensorFlow's C API, without Python's tensorflow.

    python tests/c_api.py MODEL TENSORS.json INPUTS.npz OUTPUTS.npz

`TF_LoadSessionFromSavedModel` is the loader that TF Serving is built on. TENSORS.json
is a list of calls: the graph's names of the inputs and outputs of a signature, and
which arrays of INPUTS.npz go in. OUTPUTS.npz gets each call's outputs, or its error.
"""

import ctypes
import importlib.util
import json
import pathlib
import sys

import numpy as np

FLOAT, INT32 = 1, 3
TYPES = {FLOAT: np.dtype("float32"), INT32: np.dtype("int32")}


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def library():
    """The C API of the installed wheel, with pointers as return types."""
    spec = importlib.util.find_spec("tensorflow")  # finds the folder, imports nothing
    folder = pathlib.Path(spec.origin).parent
    framework = folder / "libtensorflow_framework.so.2"
    ctypes.CDLL(str(framework), mode=ctypes.RTLD_GLOBAL)
    tf = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"), mode=ctypes.RTLD_GLOBAL)
    for name in (
        "NewStatus",
        "NewGraph",
        "NewSessionOptions",
        "LoadSessionFromSavedModel",
        "GraphOperationByName",
        "AllocateTensor",
        "TensorData",
    ):
        getattr(tf, f"TF_{name}").restype = ctypes.c_void_p
    tf.TF_Message.restype = ctypes.c_char_p
    tf.TF_Dim.restype = ctypes.c_int64
    tf.TF_TensorByteSize.restype = ctypes.c_size_t
    return tf


class Session:
    """A loaded SavedModel."""

    def __init__(self, path):
        self.tf = library()
        self.status = ctypes.c_void_p(self.tf.TF_NewStatus())
        self.graph = ctypes.c_void_p(self.tf.TF_NewGraph())
        options = ctypes.c_void_p(self.tf.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        session = self.tf.TF_LoadSessionFromSavedModel(
            options, None, str(path).encode(), tags, 1, self.graph, None, self.status
        )
        self._check()
        self.session = ctypes.c_void_p(session)

    def run(self, inputs, outputs):
        """dict of arrays by tensor name, list of tensor names -> list of arrays."""
        feeds = (Output * len(inputs))(*map(self._output, inputs))
        values = (ctypes.c_void_p * len(inputs))(*map(self._tensor, inputs.values()))
        fetches = (Output * len(outputs))(*map(self._output, outputs))
        results = (ctypes.c_void_p * len(outputs))()
        self.tf.TF_SessionRun(
            self.session,
            *(None, feeds, values, len(inputs), fetches, results, len(outputs)),
            *(None, 0, None, self.status),
        )
        for value in values:
            self.tf.TF_DeleteTensor(ctypes.c_void_p(value))
        self._check()
        return [self._array(ctypes.c_void_p(result)) for result in results]

    def _output(self, name):
        operation, _, index = name.partition(":")
        found = self.tf.TF_GraphOperationByName(self.graph, operation.encode())
        assert found, name
        return Output(found, int(index or 0))

    def _tensor(self, array):
        kind = next(k for k, dtype in TYPES.items() if dtype == array.dtype)
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = ctypes.c_size_t(array.nbytes)
        tensor = self.tf.TF_AllocateTensor(kind, dims, array.ndim, size)
        data = self.tf.TF_TensorData(ctypes.c_void_p(tensor))
        ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, array.nbytes)
        return tensor

    def _array(self, tensor):
        tf = self.tf
        shape = [tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor))]
        dtype, data = TYPES[tf.TF_TensorType(tensor)], tf.TF_TensorData(tensor)
        raw = ctypes.string_at(data, tf.TF_TensorByteSize(tensor))
        tf.TF_DeleteTensor(tensor)
        return np.frombuffer(raw, dtype).reshape(shape)

    def _check(self):
        if self.tf.TF_GetCode(self.status):
            raise RuntimeError(self.tf.TF_Message(self.status).decode())


def main(model, calls, inputs, outputs):
    session, arrays, results = Session(model), np.load(inputs), {}
    for number, call in enumerate(json.loads(pathlib.Path(calls).read_text())):
        fed = {tensor: arrays[key] for tensor, key in call["inputs"].items()}
        names = call["outputs"]
        try:
            found = session.run(fed, list(names.values()))
        except RuntimeError as error:
            results[f"{number}/error"] = np.array(str(error))
        else:
            results |= {
                f"{number}/{name}": x for name, x in zip(names, found, strict=True)
            }
    assert "tensorflow" not in sys.modules
    np.savez(outputs, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
