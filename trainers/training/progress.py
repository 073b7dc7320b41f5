"""What a person sees on stderr while a command works: phases, and a bar of updates.

On a terminal, what takes longer than a moment shows its seconds, and the bar moves.
Elsewhere, as in a file, each phase is a line if it is long, and so is each epoch.
Nothing here imports TensorFlow.
"""

import contextlib
import os
import sys
import threading
import time

from tqdm import tqdm

MOMENT = 0.2  # seconds of a phase that a terminal does not show
SHORT = 1.0  # of one that leaves no line there
LONG = 3.0  # of one that is worth a line in a file
LINE_EVERY = 300.0  # seconds within an epoch, in a file
TIMED = 10  # updates before a file is told how long they take
FORMAT = "{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}"


class Phase:
    """A context: what is done in it is said on stderr, if it takes a while.

    Args:
        text: what it is; as an attribute, it may change meanwhile.
    """

    def __init__(self, text):
        self.text = text
        self._over = threading.Event()

    def __enter__(self):
        self._began = time.monotonic()
        # Opened here: the thread may come too late, after stderr was turned away.
        self._screen = contextlib.ExitStack()
        file = self._screen.enter_context(_stderr())
        self._thread = threading.Thread(target=self._say, args=(file,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._screen.close()

    def _say(self, file):
        if file.isatty():
            self._show(file)
        elif not self._over.wait(LONG):
            file.write(f"{self.text} ...\n")
            file.flush()

    def _show(self, file):
        """One line with the seconds, over itself until the phase is over."""
        wait, line = MOMENT, ""
        while not self._over.wait(wait):
            wait, before = 1.0, len(line)
            line = f"{self.text}, {self._seconds:.0f} s"
            file.write(f"\r{line:<{before}}")
            file.flush()
        if line:
            brief = self._seconds < SHORT
            file.write(f"\r{'':<{len(line)}}\r" if brief else "\n")
            file.flush()

    @property
    def _seconds(self):
        return time.monotonic() - self._began


@contextlib.contextmanager
def _stderr():
    """stderr as it is now: `quiet.startup` holds back what others write there later."""
    sys.stderr.flush()
    try:
        number = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):  # it is no file
        yield sys.stderr
    else:
        with os.fdopen(number, "w") as file:
            yield file


class Counted:
    """A dataset with a `Phase` that counts its clips while they are gone through.

    Args:
        clips: dataset of dicts of batches.
        text: what is done with them, with a place for the count: "scoring {} clips".
        total: how many there are.
    """

    def __init__(self, clips, text, total):
        self.clips, self.text, self.total = clips, text, total

    def as_numpy_iterator(self):
        """The batches as NumPy arrays."""
        done = 0
        with Phase(self.text.format(self.total)) as phase:
            for batch in self.clips.as_numpy_iterator():
                yield batch
                done += len(next(iter(batch.values())))
                phase.text = self.text.format(f"{done}/{self.total}")


class Bar:
    """A context: the updates of one stage, with its scores and the time left.

    Args:
        label: names the stage.
        total: its updates, at most.
        done: those of them that were done before.
        later: updates of the stages after it, at most.
        silent: whether nothing is said.
    """

    def __init__(self, label, total, done, later, silent=False):
        self.label, self.total, self.later = label, total, later
        self.first = self.done = done
        self.silent = silent
        self.loss = self.scores = ""
        self._phase = None  # (text, when it began, or a `Phase`)
        self._said = set()  # texts of phases, which a file is told once
        self._over = threading.Event()

    def __enter__(self):
        self.began = self.told = time.monotonic()
        self.timed = None  # when the first update was done, which was compiled
        self.terminal = sys.stderr.isatty() and not self.silent
        if self.terminal:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
            self._bar = tqdm(
                total=self.total,
                initial=self.first,
                desc=self.label,
                bar_format=FORMAT,
                ncols=columns or 80,  # some terminals do not know
                nrows=None if columns else 24,
                dynamic_ncols=bool(columns),
            )
            self._thread = threading.Thread(target=self._tick, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_):
        self.end()
        if self.terminal:
            self._over.set()
            self._thread.join()
            self._refresh()
            self._bar.close()

    def _tick(self):
        while not self._over.wait(1.0):
            self._refresh()

    def _refresh(self):
        self._bar.set_postfix_str(self._state())

    def _state(self):
        """What stands beside the bar: the phase, or the time left; then the scores."""
        phase = self._phase
        if phase is not None:
            text, began = phase
            now = f"{text}, {time.monotonic() - began:.0f} s"
        else:
            now = self._left()
        return ", ".join(filter(None, (now, self.loss, self.scores)))

    def _left(self):
        """The time left for all stages; nothing before it can be told."""
        timed = self.done - self.first - 1
        if self.timed is None or timed < 1:
            return ""
        seconds = (time.monotonic() - self.timed) / timed
        return f"{clock(seconds * (self.total - self.done + self.later))} left"

    def begin(self, text):
        """From now on it is busy with something else than updates.

        Args:
            text: with what.
        """
        self.end()
        if self.terminal:
            self._phase = text, time.monotonic()
        elif text not in self._said and not self.silent:
            self._said.add(text)
            self._phase = Phase(f"{self.label}: {text}")
            self._phase.__enter__()

    def end(self):
        """What `begin` said is over."""
        phase, self._phase = self._phase, None
        if isinstance(phase, Phase):
            phase.__exit__()

    @contextlib.contextmanager
    def phase(self, text):
        """Context in which it is busy with something else than updates."""
        self.begin(text)
        yield
        self.end()

    def update(self, loss):
        """An update is done.

        Args:
            loss: the mean over the epoch so far, nats per clip.
        """
        self.end()
        self.done += 1
        self.loss = f"loss {loss:.1f}"
        if self.timed is None:
            self.timed = time.monotonic()
        if self.terminal:
            self._bar.set_postfix_str(self._state(), refresh=False)
            self._bar.update()
        elif self.done == self.first + TIMED and not self.scores:
            milliseconds = 1000 * (time.monotonic() - self.timed) / (TIMED - 1)
            self._line(f"{milliseconds:.0f} ms an update")
        elif time.monotonic() - self.told > LINE_EVERY:
            self._line()

    def epoch(self, scores):
        """An epoch is over.

        Args:
            scores: those of the validation, as text.
        """
        self.scores = scores
        if not self.terminal:
            self._line()

    def _line(self, more=""):
        if self.silent:
            return
        self.told = time.monotonic()
        spent = f"{clock(self.told - self.began)} spent"
        left = self._left()
        said = f"at most {left}" + (" for all stages" if self.later else "")
        parts = (spent, left and said, more, self.loss, self.scores)
        line = ", ".join(filter(None, parts))
        text = f"{self.label}: {self.done}/{self.total} updates, {line}"
        print(text, file=sys.stderr, flush=True)


def clock(seconds):
    """Seconds as 1:02:03 or 2:03."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
