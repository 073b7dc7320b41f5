"""N-EM beside slot attention and no learning, on the same clips in the same minutes.

    python -m benchmarks.peers --minutes 15 --seeds 3 [--data NAME ...]
                               [--methods NAME ...] [--cores 1] [--out runs/peers]
    python -m benchmarks.peers --tables-only

Each run is a process of its own. Minutes are those of two cores; `--cores 1` doubles
them, so that two such commands may fill one folder side by side: each takes a core and
a run that nobody has. Minutes of training count, and validation where a trainer does
it, starting and scoring do not. A command that was stopped goes on. Results are kept in
results/peers, a file for each run, and drawn: table.md and figure.png.
"""

import argparse
import contextlib
import fcntl
import os
import pathlib
import signal
import subprocess
import sys

from benchmarks.peers import tables, tasks
from benchmarks.peers.run import METHODS
from trainers.training import machine

RESULTS = pathlib.Path(__file__).parents[2] / "results" / "peers"
NOT_OF = {("paper", "sprites")}  # the paper has no such clips


def main(arguments=None):
    """Do what is not done, print the table.

    Returns:
        0; of a run that failed its status, of one that was stopped 143.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    minutes = "of training on two cores (15)"
    parser.add_argument("--minutes", type=float, default=15.0, help=minutes)
    parser.add_argument("--seeds", type=int, default=3, help="of each run (3)")
    parser.add_argument(
        "--data", nargs="+", choices=tasks.TASKS, default=list(tasks.TASKS)
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--cores", type=int, choices=(1, 2), default=2, help="a run's")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/peers"))
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--tables-only", action="store_true", help="train nothing")
    parser.add_argument("--clips", type=int, default=1000, help="of the test (1000)")
    given = parser.parse_args(arguments)
    for name in ("minutes", "seeds", "clips"):
        if getattr(given, name) <= 0:
            parser.error(
                f"--{name}: expected a number above 0, received "
                f"{getattr(given, name)}; leave it out for the usual one"
            )
    if not given.tables_only:
        with cores(given.out, given.cores) as taken:
            for seed in range(given.seeds):  # a first table of one seed comes early
                for data in given.data:
                    for method in given.methods:
                        if (method, data) not in NOT_OF:
                            status = do(given, method, data, seed, taken)
                            if status:
                                return status
    found = tables.read(given.results)
    print("\n".join(tables.write(found, given.results)))
    return 0


def do(given, method, data, seed, taken):
    """One run, unless it is done or another command has it; its exit status."""
    result = given.results / data / f"{method}-seed{seed}.json"
    out = given.out / f"{data}-{method}-seed{seed}"
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "lock", "w") as lock:
        if result.is_file() or not _locked(lock):
            return 0
        seconds = 60 * given.minutes * 2 / len(taken)
        words = [sys.executable, "-m", "benchmarks.peers.run", method, data, str(seed)]
        words += ["--seconds", str(seconds), "--test", str(given.clips)]
        words += ["--out", str(out), "--result", str(result), "--cores"]
        print(f"{data}, {method}, seed {seed} ...", file=sys.stderr, flush=True)
        child = subprocess.Popen([*words, *map(str, taken)])
        with _passed_on(child):
            status = child.wait()
    if status not in (0, 143):
        print(
            f"{data}, {method}, seed {seed}: ended with status {status}; mend it and "
            "begin again",
            file=sys.stderr,
        )
    return status


@contextlib.contextmanager
def cores(folder, count):
    """So many cores that no other command with this folder has; their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        taken = []
        for core in sorted(machine.cores()):
            lock = stack.enter_context(open(folder / f"core{core}.lock", "w"))
            if len(taken) < count and _locked(lock):
                taken.append(core)
        if len(taken) < count:
            raise SystemExit(
                f"--cores: expected {count} that no other command with {folder} has, "
                f"found {len(taken)}; wait for the others or use --cores 1"
            )
        yield taken


def _locked(file):
    """Whether the lock of a file could be taken."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _passed_on(child):
    """SIGTERM and Ctrl-C go to the child, which saves its state."""

    def note(number, frame):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)

    signals = signal.SIGTERM, signal.SIGINT
    before = {one: signal.signal(one, note) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


if __name__ == "__main__":
    sys.exit(main())
