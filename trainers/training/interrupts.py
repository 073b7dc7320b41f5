"""SIGTERM and Ctrl-C: training stops after the update at hand, with its state saved."""

import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """The run was asked to stop.

    Attributes:
        status: exit status of the program, 128 + the signal's number.
    """

    def __init__(self, status, message=""):
        super().__init__(message)
        self.status = status


class Interrupts:
    """Remembers that the run was asked to stop; use as a context manager.

    While `deferred`, the first signal only sets `status`, for the loop to look at;
    otherwise it raises `Stopped` at once. After the first signal the system's own
    handlers are back: the second one ends the program on the spot.

    Attributes:
        status: None, or the exit status that was asked for.
        deferred: whether the loop looks at `status` itself.
    """

    def __init__(self):
        self.status = None
        self.deferred = False

    def __enter__(self):
        self._before = {one: signal.signal(one, self._note) for one in SIGNALS}
        return self

    def __exit__(self, *_):
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _note(self, number, frame):
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        self.status = 128 + number
        if not self.deferred:
            raise Stopped(self.status, "stopped; what was trained is kept")
