"""The client under load, through restarts and promotions, against tests/loopback.py."""

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
)

from export import client, label, saved_model, servers
from export.address import parse
from nem_tf import inference
from tests import loopback, tiny
from tests.tiny import C, H, W
from trainers.training import trained as runs

NAME = "tiny"
both = pytest.mark.parametrize("kind", ["grpc", "rest"])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model's two versions, whose weights differ: stable, and canary and newest."""
    folder = tmp_path_factory.mktemp("models")
    nem = tiny.model("n-em")
    nem(tiny.batch(np.random.default_rng(1)))
    trained = runs.Trained(nem, NAME, {"steps": 5}, "generated", None, {}, None)
    for change in (0.0, 0.5):
        nem.set_weights([w + change for w in nem.get_weights()])
        saved_model.export(trained, folder, NAME, tiny.K, batch_sizes=(1,))
    return loopback.Models(folder)


@pytest.fixture
def server(models):
    """A server within this process, with the labels as they were at first."""
    running = loopback.Loopback(models).start()
    loaded = dict(models.loaded)
    yield running
    running.stop()
    models.loaded = loaded
    label.label(models.folder / NAME, "stable", 1)


@pytest.fixture
def video(rng):
    return (rng.random((6, H, W, C)) < 0.3).astype("float32")


def connect(server, kind, spec=None, timeout=60.0):
    spec = spec or servers.Spec(NAME)
    if kind == "grpc":
        return servers.GrpcServer(server.addresses[0], spec, timeout)
    return servers.RestServer(server.addresses[1], spec, timeout)


def command(server, kind, inputs, *flags):
    """The line of the command for a server."""
    address = server.addresses[kind == "rest"]
    line = [*map(str, inputs), "--model", NAME, "--server", address, *flags]
    return [*line, "--rest"] if kind == "rest" else line


def saved(tmp_path, *videos):
    paths = [tmp_path / f"clip{number}.npy" for number in range(len(videos))]
    for path, frames in zip(paths, videos, strict=True):
        np.save(path, frames)
    return paths


def segmented(server, version, video):
    """What one version finds, without a client."""
    inputs = {"frames": video[None], "seed": np.array([5], "int32")}
    spec = NAME, version
    return server.models.run(spec, "serving_default", inputs)[0]["gamma"][0]


# Where the server is.


@pytest.mark.parametrize(
    ("text", "over_grpc", "over_rest"),
    [
        (None, "localhost:8500", "localhost:8501"),
        ("gpu-1.lab", "gpu-1.lab:8500", "gpu-1.lab:8501"),
        ("gpu_1:9000", "gpu_1:9000", "gpu_1:9000"),
        ("10.0.0.1/", "10.0.0.1:8500", "10.0.0.1:8501"),
        ("10.0.0.1:9000/", "10.0.0.1:9000", "10.0.0.1:9000"),
        ("[::1]", "[::1]:8500", "[::1]:8501"),
        ("[::1]:9000", "[::1]:9000", "[::1]:9000"),
        ("::1", "[::1]:8500", "[::1]:8501"),
        ("2001:db8::2", "[2001:db8::2]:8500", "[2001:db8::2]:8501"),
        ("SCHEME://gpu", "gpu:8500", "gpu:8501"),
        ("SCHEME://gpu:9000/", "gpu:9000", "gpu:9000"),
        ("SCHEME://[::1]:9000", "[::1]:9000", "[::1]:9000"),
    ],
)
def test_a_server_without_a_port_has_tf_servings(text, over_grpc, over_rest):
    for rest, scheme, expected in (
        (False, "grpc", over_grpc),
        (True, "HTTP", over_rest),
    ):
        given = text and text.replace("SCHEME", scheme)
        assert parse(given, rest) == expected


@both
def test_a_host_alone_is_asked_at_its_port(
    server, video, kind, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("export.address.GRPC_PORT", server.ports[0])
    monkeypatch.setattr("export.address.REST_PORT", server.ports[1])
    line = command(server, kind, saved(tmp_path, video))
    place = line.index("--server") + 1
    for host in ("127.0.0.1", "127.0.0.1/"):
        line[place] = host
        assert client.main(line) == 0
    assert "1 stream, 6 frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "flags", "remedy"),
    [
        (":8500", [], "name the host"),
        ("8500", [], "name the host, such as localhost:8500"),
        ("", [], "name the host"),
        ("http://", ["--rest"], "name the host"),
        ("gpu:", [], "from 1 to 65535"),
        ("gpu:http", [], "from 1 to 65535"),
        ("gpu:0", [], "from 1 to 65535"),
        ("gpu:-1", [], "from 1 to 65535"),
        ("gpu:70000", ["--rest"], "from 1 to 65535"),
        ("gpu:８５００", [], "from 1 to 65535"),
        ("[::1", [], "as [::1]:8500"),
        ("[gpu]:8500", [], "as [::1]:8500"),
        ("gpu:8500:8501", [], "as [::1]:8500"),
        ("http://gpu:8501", [], "add --rest"),
        ("grpc://gpu:8500", ["--rest"], "omit --rest"),
        ("https://gpu", ["--rest"], "omit https://"),
        ("gpu:8501/v1/models", ["--rest"], "write nothing else"),
        ("user@gpu", [], "write nothing else"),
        ("gpu :8500", [], "write nothing else"),
    ],
)
def test_what_is_no_server_is_told_at_once(text, flags, remedy, monkeypatch, capsys):
    def too_late(extra):
        raise AssertionError("only what is imported at once may come before")

    monkeypatch.setattr("export.command.need", too_late)
    line = ["clip.gif", "--model", NAME, f"--server={text}", *flags]
    assert client.main(line) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and remedy in error
    assert "expected HOST or HOST:PORT, such as localhost:85" in error
    assert f"received {text!r}" in error


# Requests that are refused or break off.


@both
@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "UNAVAILABLE"])
def test_16_streams_share_a_server_with_4_threads(
    server, rng, kind, code, tmp_path, capsys
):
    videos = (rng.random((16, 4, H, W, C)) < 0.3).astype("float32")
    server.trouble = loopback.Trouble(at_once=4, code=code)
    out = tmp_path / "found.npz"
    line = command(server, kind, saved(tmp_path, *videos), "--out", str(out))
    assert client.main(line) == 0
    said = capsys.readouterr()
    assert "16 streams, 64 frames" in said.out and said.err == ""
    assert server.trouble.refused and f"{server.trouble.refused} retr" in said.out
    assert len(list(tmp_path.glob("found-*.npz"))) == 16


@both
@pytest.mark.parametrize("way", [{}, {"chunk": 4}, {"clips": True}])
def test_a_refused_request_is_sent_again(server, video, kind, way):
    undisturbed = client.play(connect(server, kind), video, 5, **way)
    server.trouble = loopback.Trouble(every=2)
    played = client.play(connect(server, kind), video, 5, **way)
    np.testing.assert_array_equal(played.found.gamma, undisturbed.found.gamma)
    assert played.retries == server.trouble.refused > 0 == undisturbed.retries
    assert len(played.latencies) == len(undisturbed.latencies)
    assert max(played.latencies) > 0.5 * servers.FIRST_WAIT  # with its tries


def test_a_request_that_a_stopping_server_cancels_is_sent_again(server, video):
    undisturbed = client.play(connect(server, "grpc"), video, 5)
    server.trouble = loopback.Trouble(every=2, code="CANCELLED")
    played = client.play(connect(server, "grpc"), video, 5)
    np.testing.assert_array_equal(played.found.gamma, undisturbed.found.gamma)
    assert played.retries == server.trouble.refused > 0


def coming_back(server, after):
    """Let a server go away and come back after some seconds; the thread that does."""
    server.stop()
    coming = threading.Timer(after, server.start)
    coming.start()
    return coming


@both
def test_a_stream_outlives_a_restart(server, video, kind):
    answered, coming = [], []

    def restart(count):
        answered.append(count)
        if len(answered) == 3:
            coming.append(coming_back(server, 1.0))

    played = client.play(connect(server, kind), video, 5, on_frames=restart)
    coming[0].join()
    expected = segmented(server, 2, video)
    np.testing.assert_allclose(played.found.gamma, expected, atol=2e-6)
    assert len(answered) == len(video) and played.retries
    assert max(played.latencies) > 0.5


@both
def test_a_stream_outlives_an_answer_that_breaks_off(server, video, kind, monkeypatch):
    """The server goes away while it computes; over REST replies are cut off too."""
    run, asked, gone = server.models.run, [], threading.Event()

    def restart():
        server.stop()
        gone.set()
        time.sleep(0.3)
        server.start()

    restarting = threading.Thread(target=restart)

    def breaking(*arguments):
        asked.append(arguments)
        if len(asked) == 4:
            restarting.start()
            gone.wait(10 if kind == "rest" else 0.5)  # gRPC's stop waits for this
        return run(*arguments)

    monkeypatch.setattr(server.models, "run", breaking)
    server.trouble = loopback.Trouble(cut=3)
    played = client.play(connect(server, kind), video, 5)
    restarting.join()
    expected = segmented(server, 2, video)
    np.testing.assert_allclose(played.found.gamma, expected, atol=2e-6)
    assert played.retries >= (2 if kind == "rest" else 1)


@both
@pytest.mark.parametrize(
    "trouble",
    [
        {"code": "INVALID_ARGUMENT"},
        {"code": "NOT_FOUND"},
        {"code": "FAILED_PRECONDITION"},
        {"code": "INTERNAL"},
        {
            "code": "RESOURCE_EXHAUSTED",
            "text": "Received message larger than max (9 vs. 4)",
        },
    ],
    ids=lambda trouble: trouble["code"],
)
def test_what_never_passes_is_asked_once(server, kind, trouble):
    server.trouble = loopback.Trouble(every=1, **trouble)
    with pytest.raises(ValueError) as refused:
        connect(server, kind).shapes()
    assert server.trouble.requests == 1
    assert server.trouble.text in str(refused.value)


@both
def test_the_timeout_holds_for_all_tries(server, kind):
    one = connect(server, kind, timeout=0.7)
    one.shapes()
    for trouble in ({"every": 1}, {"every": 1, "code": "UNAVAILABLE"}):
        server.trouble = loopback.Trouble(**trouble)
        began = time.monotonic()
        with pytest.raises(ValueError) as refused:
            one.call("init", {"seed": np.zeros(1, "int32")}, ["pi"], 1)
        assert 0.4 < time.monotonic() - began < 1.5
        assert server.trouble.requests > 3
        said = str(refused.value)
        assert "Server Threadpool Exhausted" in said and "in 0.7 s" in said
        assert "raise --timeout" in said


@pytest.mark.parametrize("seconds", ["inf", "nan", "0", "-1", "soon"])
def test_a_timeout_is_a_time(seconds, capsys):
    with pytest.raises(SystemExit) as ended:
        client.main(["clip.gif", "--model", NAME, f"--timeout={seconds}"])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.count("\n") == 1 and "timeout" in error


@both
def test_a_slow_answer_ends_with_the_timeout(server, kind, monkeypatch):
    done = threading.Event()
    monkeypatch.setattr(server.models, "run", lambda *arguments: done.wait(10))
    with pytest.raises(ValueError, match=r"no answer in 0.5 s; raise --timeout"):
        connect(server, kind, timeout=0.5).call(
            "init", {"seed": np.zeros(1, "int32")}, ["pi"], 1
        )
    done.set()


@both
@pytest.mark.parametrize("how", ["refusing", "gone"])
def test_streams_that_end_are_written(
    server, video, kind, how, tmp_path, capsys, monkeypatch
):
    """The short video has ended when the server has no time any more, or goes."""
    play = client.play

    def ending(one, frames, *arguments, **flags):
        played = play(one, frames, *arguments, **flags)
        if how == "gone":
            server.stop()
        server.trouble = loopback.Trouble(every=1)
        return played

    monkeypatch.setattr(client, "play", ending)
    paths = saved(tmp_path, np.tile(video, (100, 1, 1, 1)), video)
    flags = "--out", str(tmp_path / "found.npz"), "--timeout", "2"
    assert client.main(command(server, kind, paths, *flags)) == 1
    said = capsys.readouterr()
    assert "1 stream, 6 frames" in said.out
    assert said.out.endswith(f"wrote {tmp_path / 'found-2.npz'}\n")
    assert not (tmp_path / "found-1.npz").exists()
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"export.client: stream 1 ({paths[0]}): ")
    assert "in 2 s; raise --timeout" in said.err and "of 600 frames" in said.err
    assert ("Threadpool Exhausted" in said.err) == (how == "refusing")
    with np.load(tmp_path / "found-2.npz") as found:
        assert len(found["segments"]) == len(video)


def test_a_refused_stream_leaves_the_others(
    server, video, tmp_path, capsys, monkeypatch
):
    play = client.play

    def spoilt(one, frames, *arguments, **flags):
        return play(one, (3.0 - len(frames) / 6) * frames, *arguments, **flags)

    monkeypatch.setattr(client, "play", spoilt)
    paths = saved(tmp_path, video, np.tile(video, (2, 1, 1, 1)))
    out = str(tmp_path / "found.npz")
    assert client.main(command(server, "grpc", paths, "--out", out)) == 1
    said = capsys.readouterr()
    assert f"stream 1 ({paths[0]})" in said.err and said.err.count("\n") == 1
    assert "expected pixels in [0, 1]" in said.err and "0 of 6 frames" in said.err
    assert "found-2.npz" in said.out and "found-1" not in said.out


def test_a_result_that_cannot_be_written_leaves_the_others(
    server, video, tmp_path, capsys
):
    (tmp_path / "found-1.npz").mkdir()
    out = str(tmp_path / "found.npz")
    paths = saved(tmp_path, video, video)
    assert client.main(command(server, "grpc", paths, "--out", out)) == 1
    said = capsys.readouterr()
    assert "found-1.npz" in said.err and said.err.count("\n") == 1
    assert (tmp_path / "found-2.npz").is_file() and "found-2.npz" in said.out


@both
def test_a_server_that_is_not_there_is_told_soon(server, kind, monkeypatch):
    server.stop()
    monkeypatch.setattr(servers, "ARRIVAL", 0.5)
    began = time.monotonic()
    with pytest.raises(ValueError, match="no server answers .* give --server") as none:
        connect(server, kind).shapes()
    assert time.monotonic() - began < 2
    assert "refused" in str(none.value) and "\n" not in str(none.value)
    server.start()


@both
def test_a_server_may_come_a_moment_later(server, kind):
    coming = coming_back(server, 0.7)
    assert set(connect(server, kind).shapes()) >= {"init", "step"}
    coming.join()


@both
def test_ctrl_c_ends_at_once(server, video, kind, tmp_path, capsys, monkeypatch):
    """While one request hangs, and while all are refused."""
    run, done = server.models.run, threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in nohup, too

    def hanging(*arguments):
        interrupt.start()
        done.wait(30)
        return run(*arguments)

    def refusing(*arguments):
        server.trouble = loopback.Trouble(every=1)
        interrupt.start()
        return run(*arguments)

    line = command(server, kind, saved(tmp_path, video))
    for way in (hanging, refusing):
        interrupt = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        monkeypatch.setattr(server.models, "run", way)
        began = time.monotonic()
        assert client.main(line) == 130
        assert time.monotonic() - began < 3
        assert capsys.readouterr().err == "export.client: stopped\n"
    done.set()
    signal.signal(signal.SIGINT, before)


# Several starts.


STARTS = 4


def each_start(server, video):
    """gamma (STARTS, T, K, H, W, 1) of each, and sums of log_likelihood so far."""
    seeds = inference.several_seeds(5, STARTS)
    assert seeds[0] == 5 and len(set(seeds)) == STARTS and seeds.min() >= 0
    inputs = {"frames": np.repeat(video[None], STARTS, 0), "seed": seeds}
    reply = server.models.run((NAME, 2), "serving_default", inputs)[0]
    return reply, np.cumsum(reply["log_likelihood"], 1)


@both
@pytest.mark.parametrize("chunk", [1, 4])
def test_each_frame_is_that_of_the_likeliest_start_so_far(server, video, kind, chunk):
    reply, sums = each_start(server, video)
    gamma, best = np.asarray(reply["gamma"]), sums.argmax(0)  # of 0 is the first
    assert len(set(best)) > 1
    played = client.play(connect(server, kind), video, 5, chunk=chunk, starts=STARTS)
    likeliest = inference.LikeliestSoFar(STARTS, tiny.K)
    for t, start in enumerate(best):
        likeliest(np.asarray(reply["log_likelihood"])[:, t], gamma[:, t])
        assert likeliest.start == start
        for name in ("gamma", "psi"):
            shown = np.asarray(reply[name])[start, t][likeliest.order]
            found = getattr(played.found, name)[t]
            np.testing.assert_allclose(found, shown, atol=2e-6)
    most = played.found.gamma[..., 0].argmax(1)
    np.testing.assert_array_equal(played.found.segments, most)
    assert played.start == best[-1] and played.used.shape == (len(video),)
    unkept = client.play(
        connect(server, kind), video, 5, chunk=chunk, starts=STARTS, keep=False
    )
    assert unkept.found is None and unkept.start == played.start


@both
def test_a_whole_video_has_the_likeliest_start_of_its_end(
    server, video, kind, tmp_path, capsys
):
    reply, sums = each_start(server, video)
    best = sums[:, -1].argmax()
    flags = "--seed", "5", "--starts", str(STARTS), "--clips"
    out = tmp_path / "found.npz"
    line = command(server, kind, saved(tmp_path, video), *flags, "--out", str(out))
    assert client.main(line) == 0
    said = capsys.readouterr().out
    assert f"likeliest of the starts 0 to {STARTS - 1}: {best}\n" in said
    with np.load(out) as found:
        expected = np.asarray(reply["segmentation"])[best]
        np.testing.assert_array_equal(found["segments"], expected)


def test_an_earlier_export_cannot_be_compared(server, video, monkeypatch):
    run = server.models.run

    def earlier(*arguments):
        outputs, *more = run(*arguments)
        return {k: v for k, v in outputs.items() if k != "log_likelihood"}, *more

    monkeypatch.setattr(server.models, "run", earlier)
    with pytest.raises(ValueError, match="log_likelihood .*export the model again"):
        client.play(connect(server, "rest"), video, 5, starts=2)
    assert client.play(connect(server, "rest"), video, 5).start == 0


# Versions and labels.


def get(server, path):
    """Status and content of a GET over REST."""
    try:
        with urllib.request.urlopen(f"http://{server.addresses[1]}{path}") as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@both
def test_an_unknown_label_is_an_invalid_argument(server, kind):
    spec = servers.Spec(NAME, label="beta")
    words = "Unrecognized servable version label: beta"
    with pytest.raises(ValueError, match=words) as refused:
        connect(server, kind, spec).shapes()
    assert refused.value.code == "INVALID_ARGUMENT"
    status, content = get(server, "/v1/models/tiny/labels/beta/metadata")
    assert (status, content) == (400, {"error": words})


def test_a_model_status_lists_all_versions_whatever_the_label(server):
    ok = {"error_code": "OK", "error_message": ""}
    listed = [
        {"version": version, "state": "AVAILABLE", "status": ok}
        for version in ("2", "1")
    ]
    for place in ("", "/labels/stable", "/labels/beta"):
        found = get(server, f"/v1/models/tiny{place}")
        assert found == (200, {"model_version_status": listed})
    found = get(server, "/v1/models/tiny/versions/1")
    assert found == (200, {"model_version_status": listed[1:]})
    assert get(server, "/v1/models/tiny/versions/7")[0] == 404
    assert get(server, "/v1/models/other")[0] == 404
    with grpc.insecure_channel(server.addresses[0]) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = NAME
        found = stub.GetModelStatus(request).model_version_status
        assert [status.version for status in found] == [2, 1]


def test_a_metadata_reply_names_its_version(server):
    for place, version in (("", "2"), ("/labels/stable", "1"), ("/versions/1", "1")):
        status, content = get(server, f"/v1/models/tiny{place}/metadata")
        spec = {"name": NAME, "signature_name": "", "version": version}
        assert (status, content["model_spec"]) == (200, spec)


@both
@pytest.mark.parametrize("way", [[], ["--chunk", "4"], ["--clips"]])
def test_the_version_that_answered_is_printed(
    server, video, kind, way, tmp_path, capsys
):
    paths = saved(tmp_path, video)
    for flags, version in (
        (["--label", "stable"], 1),
        (["--label", "canary"], 2),
        (["--version", "1"], 1),
        ([], 2),
    ):
        line = command(server, kind, paths, *way, *flags)
        assert client.main(line) == 0
        said = capsys.readouterr().out
        assert f"answered by version {version} of tiny\n" in said
        assert "components used in a frame: " in said


@both
@pytest.mark.parametrize("chunk", [1, 2])
def test_a_stream_stays_with_the_version_that_began_it(server, video, kind, chunk):
    """The label moves after the first request."""
    first, second = (segmented(server, n, video) for n in (1, 2))
    assert np.abs(first - second).max() > 0.01
    folder = server.models.folder / NAME

    def promote(count):
        label.label(folder, "stable", 2)

    one = connect(server, kind, servers.Spec(NAME, label="stable"))
    played = client.play(one, video, 5, chunk=chunk, on_frames=promote)
    np.testing.assert_allclose(played.found.gamma, first, atol=2e-6)
    assert played.version == 1
    anew = client.play(one, video, 5, chunk=chunk)
    np.testing.assert_allclose(anew.found.gamma, second, atol=2e-6)
    assert anew.version == 2


@both
def test_a_stream_without_a_label_stays_with_its_version_too(server, video, kind):
    newest = server.models.loaded.pop((NAME, 2))

    def load(count):
        server.models.loaded[NAME, 2] = newest

    one = connect(server, kind, servers.Spec(NAME))
    played = client.play(one, video, 5, on_frames=load)
    expected = segmented(server, 1, video)
    np.testing.assert_allclose(played.found.gamma, expected, atol=2e-6)
    assert (played.version, client.play(one, video, 5).version) == (1, 2)


@both
@pytest.mark.parametrize("flags", [["--label", "stable"], ["--version", "1"]])
def test_a_version_that_is_unloaded_ends_its_stream_in_one_line(
    server, video, kind, flags, tmp_path, capsys, monkeypatch
):
    run, asked = server.models.run, []

    def unloading(spec, signature, *arguments):
        asked.append(signature)
        if len(asked) == 4:
            del server.models.loaded[NAME, 1]
        return run(spec, signature, *arguments)

    monkeypatch.setattr(server.models, "run", unloading)
    line = command(server, kind, saved(tmp_path, video), *flags)
    assert client.main(line) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "2 of 6 frames" in error
    assert "version 1 of tiny, which made this stream's state, is no longer" in error


def test_labels_lead_to_versions(server, video):
    """The server follows models.config; version 2 has other weights."""
    first, second = (segmented(server, n, video) for n in (1, 2))
    inputs = {"frames": video[None], "seed": np.array([5], "int32")}

    def gamma(text):
        spec = NAME, None, text
        return server.models.run(spec, "serving_default", inputs)[0]["gamma"][0]

    np.testing.assert_array_equal(gamma("stable"), first)
    np.testing.assert_array_equal(gamma("canary"), second)
    label.main([str(server.models.folder / NAME), "stable", "2"])
    np.testing.assert_array_equal(gamma("stable"), second)


def test_odd_names_reach_the_server_as_they_are(server):
    """A label may have characters that mean something in an address."""
    label.label(server.models.folder / NAME, "a/b c", 1)
    for kind in ("grpc", "rest"):
        one = connect(server, kind, servers.Spec(NAME, label="a/b c"))
        assert one.call("init", {"seed": np.zeros(1, "int32")}, ["pi"]).version == 1


# The loopback server itself.


def test_the_command_of_the_loopback_server_knows_its_flags(monkeypatch, capsys):
    made = []

    class Started:
        ports = (1, 2)

        def __init__(self, models, trouble, ports):
            made.append((trouble.every, trouble.at_once, list(ports)))
            self.grpc = self

        def start(self):
            return self

        def wait_for_termination(self):
            pass

    monkeypatch.setattr(loopback, "Loopback", Started)
    monkeypatch.setattr(loopback, "Models", lambda folder: None)
    line = ["models", "--ports", "8500,8501", "--refuse-every", "3", "--at-once", "4"]
    loopback.main(line)
    assert made == [(3, 4, [8500, 8501])] and capsys.readouterr().out == "1 2\n"
