"""Processes that need not import TensorFlow, which takes 4 s of CPU time each.

They are forked from one that has imported it and has not used it yet:

    python -m tests.forks SOCKET

There is one for each environment in which they are to begin, since libraries read it
when they are imported. All pytest-xdist workers share it; it ends with the tests.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import runpy
import select
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).parents[1]
SHARED = "NEM_TF_TESTS"  # names the folder that the processes of the tests share
_started: list[subprocess.Popen] = []


class Process:
    """`python -m LINE`, with the methods of `subprocess.Popen` that the tests use.

    A line that begins with "-c" has a program in its place, as for Python itself.
    """

    def __init__(self, line, environment):
        self.returncode = None
        self._said = [tempfile.NamedTemporaryFile("r") for _ in range(2)]
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(_server(frozenset(environment.items())))
        self._replies = self._socket.makefile("r")
        request = {"line": line, "said": [file.name for file in self._said]}
        self._socket.sendall(f"{json.dumps(request)}\n".encode())
        self.pid = int(self._replies.readline())

    def poll(self):
        """The exit status; None while the process runs."""
        return self.wait(0.0)

    def wait(self, timeout):
        if (
            self.returncode is None
            and select.select([self._socket], [], [], timeout)[0]
        ):
            self.returncode = int(self._replies.readline())
            self._replies.close()
            self._socket.close()
        return self.returncode

    def communicate(self, timeout=None):
        """What it wrote to stdout and stderr."""
        if self.wait(timeout) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        said = [file.read() for file in self._said]
        for file in self._said:
            file.close()
        return said

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)


def shared():
    """The folder that all processes of the tests share."""
    return pathlib.Path(os.environ[SHARED])


def begin():
    """Make that folder; what `end` takes. In it, a pipe that is closed at the end."""
    folder = tempfile.mkdtemp(prefix="nem-tf-tests-")
    os.environ[SHARED] = folder
    os.mkfifo(f"{folder}/open")
    return os.open(f"{folder}/open", os.O_RDWR)


def end(pipe):
    """The end of all processes that fork, and of the folder."""
    os.close(pipe)
    for process in _started:
        process.wait()
    shutil.rmtree(os.environ.pop(SHARED))


@contextlib.contextmanager
def alone(name):
    """While open, no other process of the tests is in here under that name."""
    with open(shared() / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def _server(environment):
    """The socket of the process that forks in an environment."""
    name = hashlib.sha256(repr(sorted(environment)).encode()).hexdigest()[:16]
    path = shared() / name
    with alone(name):
        if not path.exists():
            _begin(path, environment)
    return str(path)


def _begin(path, environment):
    with open(shared() / "open") as pipe:  # its end is the end of the process
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.forks", str(path)],
            cwd=ROOT,
            env={**os.environ, **dict(environment)},
            stdin=pipe,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    assert server.stdout.readline() == b"ready\n"
    server.stdout.close()
    if "PYTEST_XDIST_WORKER" in os.environ:
        server.returncode = 0  # not waited for: it outlives this process
    else:
        _started.append(server)


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    pass


class _Handler(socketserver.StreamRequestHandler):
    """In a process of its own: forks the one that was asked for, and waits for it."""

    def handle(self):
        request = json.loads(self.rfile.readline())
        sys.stdout.flush()
        child = os.fork()
        if not child:
            os._exit(_run(**request))
        self.wfile.write(f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        self.wfile.write(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _run(line, said):
    """Be `python -m LINE` or `python -c PROGRAM`; the exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in enumerate(said, start=1):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
    os.close(0)
    sys.argv = line
    try:
        if line[0] == "-c":
            sys.argv = ["-c", *line[2:]]
            exec(compile(line[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_module(line[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    import trainers.evaluate
    import trainers.experiments
    import trainers.training.board
    import trainers.training.loop
    import trainers.training.pictures  # noqa: F401

    with _Server(sys.argv[1], _Handler) as server:
        print("ready", flush=True)
        while not select.select([0, server.fileno()], [], [])[0].count(0):
            server.handle_request()
            server.service_actions()  # forgets those that have ended


if __name__ == "__main__":
    main()
