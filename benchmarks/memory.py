"""Resident memory of a training run, and how it grows.

    python -m benchmarks.memory [--updates 6]

Each row is a process of its own that trains the paper's flying-shapes network on clips
made on the fly, as the trainers do, and reports its largest resident set. The last
lines compare with a process that only imports the package, and say how much the run's
own memory grows when one of T, K and B doubles.
"""

import multiprocessing
import resource
import sys

from benchmarks import arguments
from trainers.training.machine import machine

BASE = {"T": 20, "K": 3, "B": 64}


def main(given=None):
    given = arguments.parse(__doc__, given, updates=6)
    base, updates = (
        ({"T": 2, "K": 2, "B": 4}, 1) if given.tiny else (BASE, given.updates)
    )
    print(machine())
    empty = measured(None, 0)
    first = measured(base, updates)
    print(f"{'importing alone':28s} {empty:5.2f} GB")
    print(f"{as_text(base):28s} {first:5.2f} GB")
    for name, value in () if given.tiny else base.items():
        changed = {**base, name: 2 * value}
        found = measured(changed, updates)
        grown = (found - empty) / (first - empty)
        print(
            f"{as_text(changed):28s} {found:5.2f} GB; without what importing takes "
            f"{grown:.2f} times as much for twice {name}",
            flush=True,
        )


def as_text(sizes):
    return ", ".join(f"{name} = {value}" for name, value in sizes.items())


def measured(sizes, updates):
    """Largest resident set of a process that trains so, GB."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_train, args=(sizes, updates, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise SystemExit("a run failed; its error is above") from None
    finally:
        process.join()


def _train(sizes, updates, pipe):
    from benchmarks import steps
    from nem_tf import data
    from trainers.training import devices

    if sizes:
        task = steps.Task(**sizes)
        lanes = devices.lanes_of(task.B)
        devices.share_cores(lanes)
        nem = steps.model(task)
        nem.lanes = lanes
        clips = data.flying_shapes(
            steps=task.T, components=task.K, batch_size=task.B, epochs=None
        )
        nem.fit(clips, steps_per_epoch=updates, shuffle=False, verbose=0)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send(kilobytes * 1024 / 1e9)


if __name__ == "__main__":
    sys.exit(main())
