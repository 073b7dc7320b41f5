"""What a person sees of a command: on a terminal, in a file, and what comes next."""

import contextlib
import os
import pty
import re
import threading
import time

import pytest

from export import saved_model
from trainers.training import progress, quiet


@contextlib.contextmanager
def terminal():
    """While open, stderr is a terminal; a list of what it has shown."""
    here, there = pty.openpty()
    shown = []

    def read():
        with contextlib.suppress(OSError):  # nobody writes any more
            while True:
                shown.append(os.read(here, 4096).decode())

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(there, "w", buffering=1) as file, contextlib.redirect_stderr(file):
        yield shown
    reader.join()
    os.close(here)


def test_a_terminal_counts_the_seconds_of_a_phase(monkeypatch):
    monkeypatch.setattr(progress, "MOMENT", 0.0)
    with terminal() as shown, progress.Phase("importing") as phase:
        time.sleep(1.2)
        phase.text = "reading"
    said = "".join(shown)
    assert said == "\rimporting, 0 s\rimporting, 1 s\r\n"


def test_a_moment_leaves_nothing_on_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "MOMENT", 0.0)
    with terminal() as shown, progress.Phase("reading"):
        time.sleep(0.1)
    said = "".join(shown)
    assert said == "\rreading, 0 s\r" + " " * len("reading, 0 s") + "\r"


def test_a_file_has_a_line_of_a_long_phase_only(capsys, monkeypatch):
    with progress.Phase("short"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "LONG", 0.0)
    with progress.Phase("long"):
        time.sleep(0.1)
    assert capsys.readouterr().err == "long ...\n"


def test_a_phase_is_seen_while_others_are_held_back(monkeypatch):
    monkeypatch.setattr(progress, "MOMENT", 0.0)
    with terminal() as shown:
        with progress.Phase("importing"), quiet.startup():
            time.sleep(0.1)
            assert shown == ["\rimporting, 0 s"]


def test_a_failing_phase_ends():
    with pytest.raises(KeyError):
        with progress.Phase("failing") as phase:
            raise KeyError
    assert not phase._thread.is_alive()


def updates(bar, count):
    for _ in range(count):
        bar.update(loss=12.34)


def test_the_bar_has_the_loss_from_the_first_update_on():
    with terminal() as shown:
        with progress.Bar("stage 1/2", total=40, done=0, later=60) as bar:
            bar.begin("compiling the update")
            bar._refresh()
            updates(bar, 1)
            bar._refresh()
            with bar.phase("validation"):
                bar._refresh()
            bar.epoch("AMI 0.500, validation 11.0")
            updates(bar, 2)
    said = "".join(shown)
    states = [state.rstrip() for state in re.findall(r"[0-9]+/40[^\r\x1b]*", said)]
    assert states[0] == "0/40"
    assert "0/40, compiling the update, 0 s" in states
    assert "1/40, loss 12.3" in states
    assert "1/40, validation, 0 s, loss 12.3" in states
    assert states[-1] == "3/40, 0:00 left, loss 12.3, AMI 0.500, validation 11.0"


def test_the_time_left_is_that_of_all_stages(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Bar("stage 1/2", total=40, done=0, later=60) as bar:
        for _ in range(11):
            now[0] += 2.0
            bar.update(loss=12.34)
        bar.epoch("validation 11.0")
    assert capsys.readouterr().err == (
        "stage 1/2: 10/40 updates, 0:20 spent, at most 3:00 left for all stages, "
        "2000 ms an update, loss 12.3\n"
        "stage 1/2: 11/40 updates, 0:22 spent, at most 2:58 left for all stages, "
        "loss 12.3, validation 11.0\n"
    )


def test_a_file_has_a_line_in_a_long_epoch(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    with progress.Bar("shapes", total=40, done=0, later=0) as bar:
        updates(bar, 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and "shapes: 2/40 updates" in said


def test_of_many_hosts_one_talks(capsys):
    with progress.Bar("shapes", total=40, done=0, later=0, silent=True) as bar:
        with bar.phase("validation"):
            pass
        updates(bar, 20)
        bar.epoch("validation 11.0")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.9, "0:09"), (200, "3:20"), (3723, "1:02:03")]
)
def test_clock(seconds, text):
    assert progress.clock(seconds) == text


def test_an_export_says_what_comes_next(exported):
    path = exported.models / "tiny_k3" / "1"
    said = saved_model._next(path, "saved_model").splitlines()
    assert f"export.segment {exported.models}/tiny_k3 clip.gif" in said[0]
    assert "export.client clip.gif --model tiny_k3" in said[1] and len(said) == 2
    assert str(path / "README.md") in saved_model._next(path, "litert")
