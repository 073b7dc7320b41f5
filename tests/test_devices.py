"""Several devices and hosts train what one does; each run in processes of its own."""

import functools
import os
import signal
import socket

import pytest

from tests import runs
from trainers.training import devices, settings

SHAPES = {**runs.N_EM, "epochs": 4}
DIGITS = {**runs.MNIST, "stages": 20, "epochs": 4}
RUNS = {  # trainer, settings, devices, backend
    "mnist-1": ("flying_mnist", DIGITS, 1, "tensorflow"),
    "jax-1": ("flying_shapes", SHAPES, 1, "jax"),
    "jax-2": ("flying_shapes", SHAPES, 2, "jax"),
}
PAIRS = [
    ("one-then-two", "mnist-1"),
    ("jax-2", "jax-1"),
    ("hosts", "jax-1"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folders of all runs, each of 20 updates."""
    out = tmp_path_factory.mktemp("runs")
    # The longest first and not beside the hosts, which are two processes themselves.
    jobs = {"one-then-two": functools.partial(one_then_two, out)}
    jobs |= {name: functools.partial(train, out, name) for name in RUNS}
    jobs["hosts"] = functools.partial(two_hosts, out)
    runs.together(jobs)
    return out


def train(out, name):
    trainer, settings, devices, backend = RUNS[name]
    strategy = "one" if devices == 1 else "mirrored"
    settings = {**settings, "out": out / name, "strategy": strategy}
    environment = runs.on_jax() if backend == "jax" else {}
    runs.train(trainer, settings, devices=devices, **environment)


def one_then_two(out):
    """Stop a run on one device after two updates; continue it on two."""
    folder = out / "one-then-two"
    line = ["tests.stop_at", "0,0,1", "15", "flying_mnist"]
    line += runs.flags({**DIGITS, "out": folder})
    runs.finish(runs.start(line), status=143)
    again = {"resume": folder, "strategy": "mirrored"}
    runs.train("flying_mnist", again, devices=2)


def two_hosts(out):
    """Stop by a signal to host 1, which has no files; continue on both."""

    def begin(devices=None):
        address = f"localhost:{_free_port()}"
        shared = {**SHAPES, "strategy": "hosts", "hosts": 2, "resume": "auto"}
        shared["coordinator"] = address
        return [
            runs.begin(
                "flying_shapes",
                {**shared, "host-index": index, "out": folder},
                devices,
                **runs.on_jax(),
            )
            for index, folder in enumerate((out / "hosts", out / "host-1"))
        ]

    hosts = begin(devices=1)  # which draws nothing
    runs.wait_for(lambda: (out / "hosts" / "model.keras").is_file(), hosts[0])
    hosts[1].send_signal(signal.SIGTERM)
    assert "the state is in" in runs.finish(hosts[0], status=143)
    assert "host 0 has the state" in runs.finish(hosts[1], status=143)
    for host in begin():
        runs.finish(host)
    said = [runs.finish(host) for host in begin()]  # nothing is left to do
    assert "the run is complete" in said[0]
    assert not (out / "host-1").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "one"), PAIRS, ids=[name for name, _ in PAIRS])
def test_trains_what_one_device_does(name, one, folders):
    runs.assert_same_run(folders / name, folders / one, atol=1e-5)


def _free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def test_a_part_of_each_batch():
    from nem_tf import data

    settings = {"steps": 2, "batch_size": 6, "clips": 9, "epochs": 2}
    whole = data.flying_shapes("train", **settings).as_numpy_iterator()
    parts = [data.flying_shapes("train", part=(i, 3), **settings) for i in range(3)]
    batches = zip(whole, *(part.as_numpy_iterator() for part in parts), strict=True)
    count = 0
    for all_clips, *shares in batches:
        count += 1
        for name, clips in all_clips.items():
            assert [len(share[name]) for share in shares] == [2, 2, 2]
            joined = [clip for share in shares for clip in share[name]]
            assert (joined == clips).all()
    assert count == 3


@pytest.mark.parametrize(
    ("part", "problem"),
    [((2, 2), "part: expected i from 0"), (1, "part: expected (i, n)")],
)
def test_no_such_part(part, problem):
    from nem_tf import data

    with pytest.raises(ValueError) as error:
        data.flying_shapes(part=part)
    assert problem in str(error.value)


def test_parts_must_divide_the_clips():
    from nem_tf import data

    with pytest.raises(ValueError, match="part: expected 64 and 1001 clips"):
        data.flying_shapes("test", clips=1001, part=(0, 2))
    with pytest.raises(ValueError, match="part: expected 9"):
        data.flying_shapes("train", batch_size=9, part=(0, 2))


@pytest.mark.parametrize(
    ("size", "count", "nearest"), [(30, 4, "28 and 32"), (3, 4, "nearest: 4")]
)
def test_an_indivisible_batch_is_refused_with_the_nearest(size, count, nearest):
    with pytest.raises(ValueError) as error:
        devices.check_divides("batch_size", size, count)
    assert nearest in str(error.value)
    devices.check_divides("batch_size", 2 * count, count)


@pytest.mark.parametrize(
    ("backend", "problem"),
    [("torch", "expected tensorflow or jax, received torch"), ("jax", "not installed")],
)
def test_a_backend_that_cannot_be_used(backend, problem, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=problem):
        devices.check_backend()


def test_hosts_take_jax(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.delenv("KERAS_BACKEND")
    devices.prepare(settings.Settings())
    assert "KERAS_BACKEND" not in os.environ
    of_hosts = {"strategy": "hosts", "coordinator": "a:1", "hosts": 2}
    devices.prepare(settings.Settings.of(**of_hosts))
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_many_workers_of_tensorflow_are_told_what_works(monkeypatch):
    cluster = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 0}}'
    config = settings.Settings()
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}}')
    devices.prepare(config)
    monkeypatch.setenv("TF_CONFIG", cluster)
    with pytest.raises(ValueError) as error:
        devices.prepare(config)
    for said in ("issues/20585", "--strategy hosts", "received 2"):
        assert said in str(error.value)
