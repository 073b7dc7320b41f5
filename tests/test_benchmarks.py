"""Every benchmark still runs, at tiny sizes; nothing here looks at a clock."""

import functools
import importlib
import json
import multiprocessing
import pathlib
import pickle
import types

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import all as every
from benchmarks import own_clips, startup, steps, training_step, turns, window_step
from nem_tf import networks
from tests import runs

NOT_ON_THE_PAGE = ("all", "crash", "own_clips", "partitions")
SCRIPTS = sorted(
    path.stem
    for path in (pathlib.Path(every.__file__).parent).glob("*.py")
    if "__main__" in path.read_text() and path.stem not in NOT_ON_THE_PAGE
)
STEPS = ("training_step", "static_step", "places_step")  # with a first draft of ours


def test_every_script_has_a_goal_on_the_page():
    assert SCRIPTS == sorted(every.GOALS)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch", "ignore::UserWarning:torch"
)
@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - set(STEPS)))
def test_a_benchmark_runs(name, capsys, monkeypatch):
    """In this process, eagerly, and on a plain network."""
    plain = functools.partial(networks.narrow, features=32)
    monkeypatch.setattr(networks, "flying_shapes", plain)
    monkeypatch.delitem(startup.COMMANDS, "python that imports tensorflow")
    here = types.SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Here)
    monkeypatch.setattr(multiprocessing, "get_context", {"spawn": here}.get)
    once = functools.partial(turns.alternately, warm=0)
    monkeypatch.setattr(turns, "alternately", once)
    for size in ("B", "T", "K"):
        monkeypatch.setattr(window_step, size, 2)
    with runs.eager():
        assert not importlib.import_module(f"benchmarks.{name}").main(["--tiny"])
    assert capsys.readouterr().out


class Here:
    """In the place of a process that is spawned: what it is to do is done here."""

    def __init__(self, target, args):
        self.target, self.args = target, args

    def start(self):
        *args, pipe = self.args
        pickle.loads(pickle.dumps(self.target))(*pickle.loads(pickle.dumps(args)), pipe)

    def join(self):
        pass


def test_the_table_of_own_clips(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(own_clips, "TEST_CLIPS", 10)
    monkeypatch.setattr(own_clips, "_run", lambda *_: None)  # a training
    for seed, ari in ((0, 0.5), (1, 0.7)):
        run, scored = (tmp_path / part / f"tetro-{seed}" for part in ("runs", "eval"))
        run.mkdir(parents=True)
        scored.mkdir(parents=True)
        settings = {"model": "windows", "size": [8, 8], "components": 4}
        for path, content in (
            (run / "config.json", {"settings": {**settings, "object_size": 3.0}}),
            (run / "results.json", {"seconds": 90.0, "updates": 5}),
            (
                scored / "results.json",
                {
                    "test": {
                        **{
                            key: {"last": ari if "no_learning" not in key else 0.25}
                            for keys in own_clips.SCORES.values()
                            for key in keys
                            if key
                        },
                        **{"clips": 1, "psnr": 20.0, "repeat_psnr": None},
                        "used_components": 2.0,
                    }
                },
            ),
        ):
            path.write_text(json.dumps(content))
    command = ["--out", str(tmp_path), "--seeds", "2", "--kinds", "tetro"]
    assert own_clips.main(command) == 0
    assert np.load(tmp_path / "tetro_test.npy").shape == (10, 1, 35, 35, 3)
    row = capsys.readouterr().out.splitlines()[-1]
    assert "three tetrominoes | 0.600 ± 0.141 (0.250) |" in row and row.endswith(
        "1.5 |"
    )
    table = json.loads((tmp_path / "table.json").read_text())
    assert [run["seed"] for run in table["kinds"]["tetro"]["runs"]] == [0, 1]


@pytest.mark.parametrize("kind", sorted({"plain", "texture", "blobs", "tetro"}))
def test_scenes_have_their_objects(kind):
    about = own_clips.KINDS[kind]
    frames, labels = about.make(2, 3)
    assert frames.dtype == labels.dtype == np.uint8
    assert frames.shape[:4] == labels.shape and frames.shape[0] == 2
    most = {"plain": 4, "texture": 4, "blobs": 8, "tetro": 3}[kind]
    assert 2 <= labels.max() <= most
    again = about.make(2, 3)
    np.testing.assert_array_equal(again[0], frames)
    behind = frames[labels == 0].astype(int)
    if kind in ("plain", "tetro"):  # one colour a clip
        assert all(
            np.ptp(f[n == 0], axis=0).max() == 0
            for f, n in zip(frames, labels, strict=True)
        )
    assert behind.size > 0.4 * frames.size


FIRST_DRAFTS = {
    "nem_tf, float32": "straightforward, float32",
    "flying_shapes, ours": "flying_shapes, first draft",
    "flying_mnist, ours": "flying_mnist, first draft",
}


@pytest.mark.parametrize("name", STEPS)
def test_a_first_draft_computes_what_ours_does(name, capsys, monkeypatch):
    losses = {}

    def recorded(name, prepare):
        step = prepare()

        def timed():
            losses.setdefault(name, []).append(float(step()))

        return timed

    def in_turns(contestants, *others, **settings):
        watched = {
            name: functools.partial(recorded, name, prepare)
            for name, prepare in contestants.items()
        }
        return turns.in_turns(watched, *others, **settings)

    script = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(
        training_step if name == "static_step" else script, "in_turns", in_turns
    )
    monkeypatch.setattr(steps, "clips", functools.cache(steps.clips))
    twice = functools.partial(turns.alternately, warm=1)  # the second tells gradients
    monkeypatch.setattr(turns, "alternately", twice)
    graph = tf.function
    monkeypatch.setattr(
        tf, "function", lambda f=None, **jit: graph(f, **jit) if jit else f
    )
    with runs.eager():
        assert not script.main(["--tiny"])
    assert capsys.readouterr().out
    drafts = {FIRST_DRAFTS[ours]: losses[ours] for ours in FIRST_DRAFTS.keys() & losses}
    assert drafts
    for draft, found in drafts.items():
        assert found == pytest.approx(losses[draft], rel=1e-4)


def test_the_page_keeps_the_sections_that_were_not_run(tmp_path):
    page = tmp_path / "BENCHMARKS.md"
    every.write(page, "scale", "## Scale\n\nold\n")
    every.write(page, "data_speed", "## Data\n\nfirst\n")
    every.write(page, "data_speed", "## Data\n\nsecond\n")
    text = page.read_text()
    assert "first" not in text
    assert 0 < text.index("second") < text.index("old")
    with pytest.raises(SystemExit) as error:
        every.main(["--only", "no-such"])
    assert error.value.code == 2


def test_a_failing_benchmark_is_not_written(tmp_path, monkeypatch):
    page = tmp_path / "BENCHMARKS.md"
    monkeypatch.setattr(every.sys, "executable", "/bin/false")
    with pytest.raises(SystemExit, match="benchmarks.data_speed failed"):
        every.main(["--only", "data_speed", "--tiny", "--page", str(page)])
    assert not page.exists()
