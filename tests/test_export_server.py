"""The client against a server: loopback always, TF Serving itself where there is one.

The loopback server (tests/loopback.py) speaks TF Serving's published protos. It tests
our client and our signatures, not TF Serving. With TF_MODEL_SERVER set to the path of
tensorflow_model_server, or with Docker running, the same is asked of the real one.
"""

import concurrent.futures
import os
import pathlib
import shutil
import socket
import subprocess
import sys
from typing import NamedTuple

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2

from export import client, servers
from tests.tiny import C, H, K, W

ROOT = pathlib.Path(__file__).parents[1]
PREDICT = "/tensorflow.serving.PredictionService/Predict"
QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


class Address(NamedTuple):
    grpc: str
    rest: str
    process: int | None  # its id


@pytest.fixture(scope="module")
def server(exported):
    """The loopback server with the exported models."""
    line = [sys.executable, "-m", "tests.loopback", str(exported.models)]
    one_heap = {"MALLOC_ARENA_MAX": "1"}  # a heap per thread grows by 14 MiB at a time
    with subprocess.Popen(
        line,
        cwd=ROOT,
        env={**QUIET, **one_heap},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        ports = process.stdout.readline().split()
        addresses = [f"127.0.0.1:{port}" for port in ports]
        yield Address(*addresses, process.pid)
        process.kill()


@pytest.fixture
def video(rng):
    return (rng.random((6, H, W, C)) < 0.3).astype("float32")


def connect(address, kind="grpc", spec=None):
    spec = spec or servers.Spec(f"tiny_k{K}")
    if kind == "grpc":
        return servers.GrpcServer(address.grpc, spec)
    return servers.RestServer(address.rest, spec)


def segmented(exported, video, seed):
    return exported.nem.segment(video, components=K, seed=seed)


WAYS = {"step": {}, "chunk": {"chunk": 4}, "clip": {"clips": True}}


@pytest.mark.parametrize("kind", ["grpc", "rest"])
@pytest.mark.parametrize("way", WAYS)
def test_client_gets_the_models_numbers(exported, server, video, kind, way):
    played = client.play(connect(server, kind), video, 5, **WAYS[way])
    found = segmented(exported, video, 5)
    np.testing.assert_allclose(played.found.gamma, found.gamma, atol=2e-6)
    np.testing.assert_allclose(played.found.psi, found.psi, atol=2e-6)
    assert played.found.segments.shape == found.segments.shape
    assert len(played.latencies) == {"step": 6, "chunk": 2, "clip": 1}[way]


def test_client_asks_only_for_what_it_uses(server, video, monkeypatch):
    asked = []
    answer = servers.GrpcServer._answer

    def spy(self, method, request):
        reply, retries = answer(self, method, request)
        asked.append(set(reply.outputs))
        return reply, retries

    monkeypatch.setattr(servers.GrpcServer, "_answer", spy)
    state = {"theta", "psi", "pi"}
    client.play(connect(server), video[:1], 0, keep=False)
    client.play(connect(server), video[:1], 0)
    client.play(connect(server), video, 0, keep=False, clips=True)
    assert asked == [
        state,
        {"segmentation", "used"} | state,
        state,
        {"segmentation", "gamma", "used"} | state,
        {"segmentation", "used"},
    ]


def test_replies_may_be_larger_than_grpcs_limit(server):
    x = np.zeros((30, 100, H, W, C), "float32")
    inputs = {"frames": x, "seed": np.zeros(30, "int32")}
    reply = connect(server).call("serving_default", inputs, ["gamma"])
    assert reply.outputs["gamma"].nbytes > 4 * 2**20


@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_the_command_streams_several_videos(server, video, kind, tmp_path, capsys):
    np.save(tmp_path / "a.npy", video)
    pages = [Image.fromarray((255 * x[..., 0]).astype("uint8")) for x in video[::-1]]
    pages[0].save(tmp_path / "b.gif", save_all=True, append_images=pages[1:])
    flags = ["--model", f"tiny_k{K}", "--label", "stable", "--streams", "3"]
    flags += ["--server", server.grpc] if kind == "grpc" else ["--rest"]
    flags += [] if kind == "grpc" else ["--server", server.rest]
    out = tmp_path / "results" / "found.gif"
    inputs = [str(tmp_path / "a.npy"), str(tmp_path / "b.gif")]
    assert client.main([*inputs, *flags, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "3 streams, 18 frames" in said and "frames/s" in said
    assert "median" in said and "99 %" in said and "retr" not in said
    assert "answered by version 1 of" in said
    for number in (1, 2):
        with Image.open(out.with_stem(f"found-{number}")) as picture:
            assert picture.n_frames == 5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "other"], "Servable not found for request: Latest(other)"),
        (["--model", "tiny_k4", "--version", "7"], "Specific(tiny_k4, 7)"),
        (
            ["--model", "tiny_k4", "--label", "beta"],
            "Unrecognized servable version label: beta",
        ),
        (["--model", "tiny_k4", "--server", "127.0.0.1:1"], "no server answers"),
        (["--model", "tiny_k4", "INPUT", "nothing.gif"], "nothing.gif: no such file"),
    ],
)
def test_mistakes_end_in_one_line(
    server, video, flags, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(servers, "ARRIVAL", 0.2)
    np.save(tmp_path / "a.npy", video)
    inputs = [str(tmp_path / "a.npy")]
    if "INPUT" in flags:
        inputs, flags = [flags[3]], flags[:2]
    for kind, address in (("grpc", server.grpc), ("rest", server.rest)):
        line = [*inputs, "--server", address, *flags]
        assert client.main([*line, "--rest"] if kind == "rest" else line) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and message in error


def test_results_are_not_written_over_videos(tmp_path, capsys):
    for name in ("clip.gif", "found-2.gif"):
        (tmp_path / name).write_bytes(b"GIF")
    clip, found, second = (
        str(tmp_path / name) for name in ("clip.gif", "found.gif", "found-2.gif")
    )
    for line in ([clip, "--out", clip], [clip, second, "--out", found]):
        assert client.main([*line, "--model", "tiny"]) == 2
        assert f"out: {line[-3]} is the input" in capsys.readouterr().err


def test_clients_never_see_each_others_state(exported, server, rng):
    videos = (rng.random((4, 12, H, W, C)) < 0.3).astype("float32")

    def stream(number):
        return client.play(connect(server), videos[number], number).found

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(stream, range(4)))
    for number, found in enumerate(results):
        expected = segmented(exported, videos[number], number)
        np.testing.assert_allclose(found.gamma, expected.gamma, atol=2e-6)


def test_500_malformed_requests_leave_the_server_well(exported, server, video, rng):
    good = _good_requests(video)
    with grpc.insecure_channel(server.grpc) as channel:
        predict = channel.unary_unary(PREDICT)  # bytes in, bytes out

        def answer():
            raw = predict(good["serving_default"].SerializeToString(), timeout=60)
            reply = predict_pb2.PredictResponse.FromString(raw)
            return tf.make_ndarray(reply.outputs["gamma"])

        expected = answer()
        np.testing.assert_allclose(
            expected[0], segmented(exported, video, 5).gamma, atol=2e-6
        )
        memory = []
        for number in range(500):
            with pytest.raises(grpc.RpcError) as refused:
                predict(_malformed(number, rng, good), timeout=60)
            code = refused.value.code().name
            assert code in (
                "INVALID_ARGUMENT",
                "NOT_FOUND",
                "FAILED_PRECONDITION",
                "INTERNAL",  # gRPC's own, for bytes that are no message
            ), (number, code, refused.value.details())
            np.testing.assert_array_equal(answer(), expected)
            if number >= 200:  # by then its threads are there
                memory.append(_resident(server.process))
    grown = np.median(memory[-100:]) - np.median(memory[:100])
    assert grown < 4 * 2**20, f"{grown / 2**20:.1f} MiB in 200 requests"


def _good_requests(video):
    """A valid request of each signature."""
    state = {
        "theta": np.zeros((1, K, 7), "float32"),
        "psi": np.zeros((1, K, H, W, C), "float32"),
        "pi": np.full((1, K, H, W, 1), 1 / K, "float32"),
    }
    seed = np.array([5], "int32")
    inputs = {
        "serving_default": {"frames": video[None], "seed": seed},
        "init": {"seed": seed},
        "step": {"frame": video[:1], **state},
        "chunk": {"frames": video[None], **state},
    }
    requests = {}
    for signature, arrays in inputs.items():
        request = requests[signature] = predict_pb2.PredictRequest()
        request.model_spec.name = f"tiny_k{K}"
        request.model_spec.signature_name = signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return requests


def _malformed(number, rng, good):
    """The bytes of a request that has to be refused; ten kinds in turn."""
    signature = list(good)[rng.integers(4)]
    request = predict_pb2.PredictRequest()
    request.CopyFrom(good[signature])
    name = sorted(request.inputs)[rng.integers(len(request.inputs))]
    tensor = request.inputs[name]
    kind = number % 10
    if kind == 0:  # something is missing, the state for instance
        del request.inputs[name]
    elif kind == 1:
        request.inputs[f"{name}_{number}"].CopyFrom(tensor)
    elif kind == 2:  # a shape that promises far more than there is
        tensor.tensor_shape.dim[0].size = int(rng.choice([2**20, 2**40, 2**62, -7]))
    elif kind == 3:
        value = float(rng.choice([np.nan, np.inf, -np.inf, -1.0, 3.0]))
        floats = [n for n in request.inputs if n not in ("seed", "theta", "psi")]
        if not floats:
            return _malformed(4, rng, good)
        array = tf.make_ndarray(request.inputs[floats[0]]).copy()
        array.flat[rng.integers(array.size)] = value
        request.inputs[floats[0]].CopyFrom(tf.make_tensor_proto(array))
    elif kind == 4:
        text = tf.make_tensor_proto(np.array([b"text"] * 3, object))
        tensor.CopyFrom(text)
    elif kind == 5:
        request.CopyFrom(good["init"])
        seeds = -rng.integers(1, 2**31, size=2)
        request.inputs["seed"].CopyFrom(tf.make_tensor_proto(seeds.astype("int32")))
    elif kind == 6:  # a message that ends too early
        raw = request.SerializeToString()
        return raw[: rng.integers(1, len(raw))]
    elif kind == 7:
        wrong = rng.random(rng.integers(1, 4, size=rng.integers(0, 7)))
        tensor.CopyFrom(tf.make_tensor_proto(wrong.astype("float32")))
    elif kind == 8:
        request.model_spec.signature_name = f"signature{number}"
    else:
        return rng.bytes(int(rng.integers(1, 2000)))
    return request.SerializeToString()


def _resident(process):
    """Resident memory of a process, in bytes."""
    pages = pathlib.Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _real_server(models):
    """The command of TF Serving itself with two free ports, or why there is none."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    binary = os.environ.get("TF_MODEL_SERVER")
    if binary:
        flags = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
        config = models / "local.config"
        text = (models / "models.config").read_text()
        config.write_text(text.replace('"/models/', f'"{models}/'))
        return [binary, *flags, f"--model_config_file={config}"], ports
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "info"], capture_output=True).returncode == 0:
        line = [docker, "run", "--rm", "-v", f"{models}:/models:ro"]
        line += ["-p", f"{ports[0]}:8500", "-p", f"{ports[1]}:8501"]
        line += ["tensorflow/serving", "--model_config_file=/models/models.config"]
        return line, ports
    pytest.skip("TF_MODEL_SERVER names no tensorflow_model_server, no Docker answers")


@pytest.mark.slow
def test_tensorflow_model_server_itself(exported, video):
    line, ports = _real_server(exported.models)
    address = Address(*(f"127.0.0.1:{port}" for port in ports), None)
    line.append("--allow_version_labels_for_unavailable_models=true")
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(24):  # each within servers.ARRIVAL
                try:
                    connect(address).shapes()
                    break
                except ValueError:
                    assert process.poll() is None, "the server stopped"
            expected = segmented(exported, video, 5)
            stable = servers.Spec(f"tiny_k{K}", label="stable")
            unknown = servers.Spec(f"tiny_k{K}", label="beta")
            for kind in ("grpc", "rest"):
                for way in WAYS.values():
                    played = client.play(
                        connect(address, kind, stable), video, 5, **way
                    )
                    np.testing.assert_allclose(
                        played.found.gamma, expected.gamma, atol=1e-5
                    )
                    assert played.version == 1
                with pytest.raises(ValueError, match="Unrecognized servable version"):
                    connect(address, kind, unknown).shapes()
                one = connect(address, kind)
                with concurrent.futures.ThreadPoolExecutor(16) as pool:
                    streams = [
                        pool.submit(client.play, one, video, 5) for _ in range(16)
                    ]
                    for stream in streams:
                        np.testing.assert_allclose(
                            stream.result().found.gamma, expected.gamma, atol=1e-5
                        )
            with pytest.raises(ValueError, match=r"expected pixels in \[0, 1\]"):
                client.play(connect(address), 255.0 * video, 5)
            client.play(connect(address), video, 5)
        finally:
            process.terminate()
