"""An interrupted run ends as an undisturbed one; what it saved is kept and checked."""

import functools
import signal
import time
import zipfile

import numpy as np
import pytest

from tests import runs
from trainers import flying_mnist
from trainers.training import command, loop, state
from trainers.training.errors import Damaged
from trainers.training.state import Position, State

EXACT = {**runs.MNIST, "deterministic": True, "resume": "auto"}
QUICK = {**EXACT, **runs.N_EM}
del QUICK["features"]


STOPS = {  # what is told to stop where (stage, epoch, update), and by which signal
    "validation": ((0, 0, 5), signal.SIGTERM),
    "epoch": ((0, 1, 2), signal.SIGTERM),
    "stage": ((1, 0, 0), signal.SIGINT),
}


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """What two runs computed: an undisturbed one, and one that was stopped thrice.

    And where the latter stood each time.
    """
    folders = tmp_path_factory.mktemp("runs")
    whole, stopped = folders / "whole", folders / "stopped"
    settings = {**QUICK, "out": whole}
    jobs = {
        "stopped": functools.partial(disturbed, stopped),
        "whole": functools.partial(runs.train, "flying_mnist", settings, 1),
    }
    positions = runs.together(jobs)["stopped"]
    return positions, runs.outcome(stopped), runs.outcome(whole)


def disturbed(out):
    """Stop a run at each place of `STOPS`, one after another, and let it end."""
    settings, positions = {**QUICK, "out": out}, {}
    for name, (place, number) in STOPS.items():
        module = ["tests.stop_at", ",".join(map(str, place)), str(int(number))]
        process = runs.start([*module, "flying_mnist", *runs.flags(settings)])
        said = runs.finish(process, status=128 + number)
        assert f"continue with --resume {out}" in said.splitlines()[-1]
        assert not (out / "results.json").exists()
        assert len(runs.states(out)) == 2
        at = state.load(out / "last").position
        positions[name] = at.stage, at.epoch, at.update
    runs.train("flying_mnist", settings, devices=1)
    return positions


@pytest.mark.slow
@pytest.mark.parametrize("name", STOPS)
def test_stops_where_it_is(name, ends):
    positions, _, _ = ends
    (stage, epoch, update), _ = STOPS[name]
    # A signal within an update lets it finish; one in the validation ends it at once.
    assert positions[name] == (stage, epoch, update + (name != "validation"))


@pytest.mark.slow
def test_continues_exactly(ends):
    _, found, whole = ends
    assert [part for part in whole if found[part] != whole[part]] == []


@pytest.mark.slow
def test_ctrl_c_twice(tmp_path):
    out = tmp_path / "run"
    process = runs.begin("flying_mnist", {**EXACT, "out": out, "epoch-updates": 500})
    runs.wait_for(lambda: runs.states(out), process)
    process.send_signal(signal.SIGINT)  # in the first update, which takes seconds
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT  # a shell calls it 130


def test_a_complete_run_says_so(tmp_path, capsys):
    out = tmp_path / "run"
    settings = {**runs.MNIST, "stages": 20, "epochs": 1, "resume": "auto"}
    line = runs.flags({**settings, "out": out})
    with runs.eager(), runs.undrawn():
        assert command.main(flying_mnist.FlyingMNIST, "x", line) == 0
    first = capsys.readouterr()
    assert command.main(flying_mnist.FlyingMNIST, "x", line) == 0
    again = capsys.readouterr()
    assert "the run is complete" in again.err
    assert again.out == first.out


def a_state(update):
    values = np.arange(300, dtype="float32") + update
    position = Position(stage=1, epoch=2, update=update, best=0.5)
    return State(position, "a,b\n1,2\n", [values, np.array(7)], [values[:3]])


def test_states_come_back_as_they_were(tmp_path):
    assert state.load(tmp_path / "last") is None
    for update in range(4):
        state.save(tmp_path / "last", a_state(update))
    assert [path.name for path in runs.states(tmp_path)] == [
        "state-000003.npz",
        "state-000004.npz",
    ]
    found, wanted = state.load(tmp_path / "last"), a_state(3)
    assert found[:2] == wanted[:2]
    for ours, theirs in zip(found[2] + found[3], wanted[2] + wanted[3], strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_a_damaged_state_falls_back_to_the_one_before(tmp_path, capsys):
    folder = tmp_path / "last"
    state.save(folder, a_state(1))
    newest = state.save(folder, a_state(2))
    newest.write_bytes(newest.read_bytes()[:500])
    assert state.load(folder).position.update == 1
    said = capsys.readouterr().err
    assert f"{newest} is damaged" in said and "trying the state before it" in said
    assert newest.with_name("state-000002.npz.damaged").is_file()
    (before,) = runs.states(tmp_path)
    before.write_bytes(b"")
    with pytest.raises(Damaged, match="there is none before it; begin anew"):
        state.load(folder)


def test_no_flipped_bit_goes_unseen(rng):
    """Each either does not matter or is found."""
    data = bytearray(state.pack(a_state(1)))
    wanted = state.unpack(bytes(data))
    for bit in rng.choice(8 * len(data), 400, replace=False):
        data[bit // 8] ^= 1 << bit % 8
        try:
            found = state.unpack(bytes(data))
        except (Damaged, ValueError):
            pass
        else:
            assert found[:2] == wanted[:2]
            for ours, theirs in zip(found[2], wanted[2], strict=True):
                np.testing.assert_array_equal(ours, theirs)
        data[bit // 8] ^= 1 << bit % 8


def test_reading_a_state_runs_no_code(tmp_path):
    path = tmp_path / "last" / "state-000001.npz"
    path.parent.mkdir()

    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    np.savez(path, format=np.array(1), log=np.array([Evil()], dtype=object))
    with pytest.raises(Damaged, match="allow_pickle"):
        state.load(path.parent)
    assert not (tmp_path / "ran").exists()


def test_a_state_of_another_version_is_refused(tmp_path):
    path = state.save(tmp_path / "last", a_state(1))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if name == "format.npy":
                content = content[:-8] + (99).to_bytes(8, "little")
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="of format 1, received 99"):
        state.load(tmp_path / "last")


def test_the_stages_best_model_survives_the_next_stage(tmp_path):
    """A state of stage 1 is resumed although stage 2 has written model.keras."""
    config = flying_mnist.FlyingMNIST.configured(stages=(20, 50))
    folder = type("Folder", (), {"best": tmp_path / "model.keras"})()
    folder.__class__.__truediv__ = lambda self, name: tmp_path / name
    assert loop.Run(config, folder).best == tmp_path / "stages" / "1.keras"
    assert loop.Run(config, folder, at=Position(stage=1)).best.name == "2.keras"
