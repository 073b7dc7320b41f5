"""Measure things against each other: each in a process of its own, in turns.

Machines are shared, and their speed drifts. So nothing is timed alone: every round runs
each contestant once, and what counts is the ratio within the rounds.
"""

import multiprocessing
import statistics
import time


def in_turns(contestants, rounds, apart=True):
    """Seconds that each contestant took, round by round.

    Args:
        contestants: dict from a name to a picklable function without arguments that
            prepares, and returns the function to be timed.
        rounds: how often each is timed, after two calls that are not.
        apart: whether each has a process of its own, or all share this one.

    Returns:
        dict from the name to a list of seconds.
    """
    if not apart:
        calls = [prepare() for prepare in contestants.values()]
        return dict(zip(contestants, alternately(calls, rounds), strict=True))
    spawn = multiprocessing.get_context("spawn")
    workers = {}
    for name, prepare in contestants.items():
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_work, args=(prepare, theirs), daemon=True)
        process.start()
        theirs.close()
        try:
            ours.recv()  # one prepares at a time
        except EOFError:
            raise SystemExit(f"{name} failed to start; its error is above") from None
        workers[name] = (process, ours)
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, (_, pipe) in workers.items():
            pipe.send("go")
            seconds[name].append(pipe.recv())
    for process, pipe in workers.values():
        pipe.send("stop")
        process.join()
    return seconds


def alternately(calls, rounds, warm=2):
    """Seconds of each call, round by round, all in this process.

    Args:
        calls: functions without arguments.
        rounds: how often each is timed.
        warm: calls before that are not.

    Returns:
        a list of seconds per call.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for round_ in range(-warm, rounds):
        for call, found in zip(calls, seconds, strict=True):
            began = time.perf_counter()
            call()
            if round_ >= 0:
                found.append(time.perf_counter() - began)
    return seconds


def _work(prepare, pipe):
    """Runs in the contestant's process."""
    timed = prepare()
    timed(), timed()  # compiles, and fills the caches
    pipe.send("ready")
    while pipe.recv() == "go":
        began = time.perf_counter()
        timed()
        pipe.send(time.perf_counter() - began)


def print_ratios(seconds, reference, unit=1000.0, of="ms"):
    """Print one row per contestant: median, minimum, and times faster than one.

    Args:
        seconds: what `in_turns` returned.
        reference: the name of what the others are compared to.
        unit: units in a second.
        of: name of the unit.
    """
    print(f"{'':34s} {'median':>9s} {'minimum':>9s} {of}  times faster (range)")
    for name, found in seconds.items():
        pairs = zip(seconds[reference], found, strict=True)
        ratios = [base / mine for base, mine in pairs]
        print(
            f"{name:34s} {unit * statistics.median(found):9.2f} "
            f"{unit * min(found):9.2f} {' ' * len(of)}  "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )
