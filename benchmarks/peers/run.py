"""One method on one data set with one seed, in a process of its own.

    python -m benchmarks.peers.run METHOD DATA SEED --seconds S --out FOLDER
                                   --result FILE --cores 0 1 [--settings NAME]

`benchmarks.peers` starts these. Ends with 143 if it was stopped; the same command goes
on then.
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import time

import numpy as np

from benchmarks.peers import tasks
from benchmarks.peers.settings import Settings, chosen
from benchmarks.peers.tuning import CANDIDATES
from trainers.training.files import write_json
from trainers.training.machine import commit, machine

METHODS = ("ours", "paper", "slot_attention", "no_learning")
TWO_CORE_MARKS = (0.5, 1, 2, 3, 5, 7, 10, 12)  # minutes; and the end
VALIDATION, TEST = 256, 1000  # clips
FRAMES = 40  # that are timed one by one
FILTERS = pathlib.Path(__file__).parents[2] / "results" / "peers" / "filters.json"


def main(arguments=None):
    """Train, score and write the result; 0, or 143 if it was stopped."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("data", choices=tasks.TASKS)
    parser.add_argument("seed", type=int)
    parser.add_argument("--seconds", type=float, required=True, help="of training")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--result", type=pathlib.Path, required=True)
    parser.add_argument("--cores", type=int, nargs="+", required=True)
    parser.add_argument("--validation", type=int, default=VALIDATION)
    parser.add_argument("--test", type=int, default=TEST)
    parser.add_argument("--filters", type=pathlib.Path, default=FILTERS)
    which = "of slot attention, a candidate of benchmarks.peers.tuning (the chosen)"
    parser.add_argument("--settings", metavar="NAME", choices=CANDIDATES, help=which)
    given = parser.parse_args(arguments)
    if given.settings and given.method != "slot_attention":
        parser.error(f"--settings: only slot_attention has them, not {given.method}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, given.cores)
    os.environ["OMP_NUM_THREADS"] = str(len(given.cores))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    given.out.mkdir(parents=True, exist_ok=True)
    found = {
        "ours": neural_em,
        "paper": neural_em,
        "slot_attention": slot_attention,
        "no_learning": no_learning,
    }[given.method](given)
    if found is None:
        return 143
    result = {
        "method": given.method,
        "data": given.data,
        "seed": given.seed,
        "cores": len(given.cores),
        "minutes_of_two_cores": round(given.seconds * len(given.cores) / 120, 3),
        "test_clips": given.test,
        "machine": machine(),
        "commit": commit(),
        **found,
    }
    given.result.parent.mkdir(parents=True, exist_ok=True)
    write_json(given.result, result)
    return 0


def two_core_minutes(seconds, cores):
    """Seconds on so many cores as minutes of two."""
    return round(seconds * cores / 120, 3)


def slot_attention(given):
    """Result of SAVi; None if it was stopped."""
    import torch

    from benchmarks.peers import scoring
    from benchmarks.peers.slot_training import Stopped, Training, parameters

    cores, settings = len(given.cores), chosen(given.data)
    if given.settings:
        settings = Settings(**CANDIDATES[given.settings])
    torch.set_num_threads(cores)
    training = Training(
        given.data,
        settings,
        given.seed,
        given.seconds,
        [120 * mark / cores for mark in TWO_CORE_MARKS],
        given.out / "state.pt",
        _sprites(given),
        given.validation,
    )
    _on_signal(training)
    try:
        training.run()
    except Stopped:
        return None
    _trained()
    memory, at = _memory(resource.RUSAGE_SELF), training.at
    clips = tasks.held_out(given.data, "test", given.test, given.seed)
    noise = tasks.TASKS[given.data].noise > 0
    return {
        "seconds": round(at.seconds, 1),
        "cpu_seconds": round(at.cpu, 1),
        "updates": at.updates,
        "parameters": parameters(training.model),
        "ms_update": round(1000 * at.seconds / at.updates, 1),
        "ms_frame": ms_each(training.stream(), clips.noisy[0][:FRAMES]),
        "memory_mb": memory,
        "settings": dataclasses.asdict(settings),
        "curve": [
            {"minutes": two_core_minutes(point["seconds"], cores), **point}
            for point in at.curve
        ],
        "test": scoring.score_both(clips, training.segment, noise),
    }


def neural_em(given):
    """Result of N-EM with a recipe; None if it was stopped."""
    from benchmarks.peers import neural_em as nem_runs

    cores = len(given.cores)
    trainer = nem_runs.Trainer(
        given.data,
        given.method,
        given.seed,
        given.seconds,
        given.out,
        _sprites(given),
    )
    _on_signal(trainer)
    if not trainer.run():
        return None
    _trained()
    memory = _most(given.out / "memory.json", _memory(resource.RUSAGE_CHILDREN))
    result = {**nem_runs.progress(trainer.run_folder), "memory_mb": memory}
    result |= _score_neural_em(given, trainer, cores)
    shutil.rmtree(given.out / "models", ignore_errors=True)
    return result


def _score_neural_em(given, trainer, cores):
    from benchmarks.peers import neural_em as nem_runs
    from benchmarks.peers import scoring
    from trainers.training import trained

    task = tasks.TASKS[given.data]
    kinds = ["clean", *(["noisy"] if task.noise else [])]
    model = trainer.run_folder / "model.keras"
    if not model.is_file():
        raise SystemExit(
            f"--minutes: expected enough for an epoch of {given.data}, received "
            f"{given.seconds / 60:.1f} on this machine; give more and another --out"
        )
    nem = trained.load(model, compiled=False).nem
    nem.lanes = cores
    held = tasks.held_out(given.data, "validation", given.validation, given.seed)
    ways = nem_runs.readouts(nem)
    k = task.components

    def reached(clips, kind, way):
        found = nem_runs.segment(nem, getattr(clips, kind), ways[way], k)
        return scoring.score(clips.groups[:, -1], found)

    readout = {
        kind: max(ways, key=lambda way: reached(held, kind, way)["ami"])
        for kind in kinds
    }
    curve = []
    last = nem.get_weights()
    for seconds, path in nem_runs.models(trainer.folder):
        nem.load_weights(path)
        scores = {kind: reached(held, kind, readout[kind]) for kind in kinds}
        minutes = two_core_minutes(seconds, cores)
        curve.append({"minutes": minutes, "seconds": seconds, **scores})
    nem.set_weights(last)
    clips = tasks.held_out(given.data, "test", given.test, given.seed)
    test = {kind: reached(clips, kind, readout[kind]) for kind in kinds}
    stream = nem.stream(components=k)
    return {
        "parameters": int(sum(np.prod(w.shape) for w in nem.trainable_weights)),
        "ms_frame": ms_each(stream, clips.noisy[0][:FRAMES]),
        "readout": readout,
        "words": trainer.command[2:],
        "curve": curve,
        "test": {"noisy": None, **test},
    }


def no_learning(given):
    """Result of what needs no training; its filter is that of results/peers."""
    from benchmarks.peers import no_learning as method
    from benchmarks.peers import scoring

    task = tasks.TASKS[given.data]
    filters = tuned_filters(given.data, given.validation, given.filters)
    clips = tasks.held_out(given.data, "test", given.test, given.seed)
    test, took = {"noisy": None}, []
    for kind, settings in filters.items():
        began = time.perf_counter()
        find = functools.partial(
            method.segment, settings=settings, background=background(task)
        )
        found = np.stack([find(clip) for clip in getattr(clips, kind)])
        frames = len(found) * (task.steps + 1)
        took.append(1000 * (time.perf_counter() - began) / frames)
        test[kind] = scoring.score(clips.groups[:, -1], found)
    return {
        "ms_frame": round(max(took), 3),
        "settings": {kind: dataclasses.asdict(s) for kind, s in filters.items()},
        "curve": [],
        "test": test,
    }


def tuned_filters(name, validation, path):
    """Filters for clips with noise and without, tuned once and kept in a file."""
    from benchmarks.peers import no_learning as method
    from benchmarks.peers import scoring

    known = _kept_filters(path)
    if name not in known:
        task = tasks.TASKS[name]
        clips = tasks.held_out(name, "validation", validation, 0)
        known[name] = {}
        for kind in ("noisy", "clean") if task.noise else ("clean",):
            best, score = method.tuned(
                getattr(clips, kind),
                clips.groups[:, -1],
                background(task),
                lambda groups, found: scoring.score(groups, found)["ami"],
            )
            known[name][kind] = {**dataclasses.asdict(best), "validation_ami": score}
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another command may have added to it meanwhile.
        write_json(path, {**_kept_filters(path), name: known[name]})
    fields = {field.name for field in dataclasses.fields(method.Filter)}
    return {
        kind: method.Filter(**{x: found[x] for x in found.keys() & fields})
        for kind, found in known[name].items()
    }


def _kept_filters(path):
    return json.loads(path.read_text()) if path.is_file() else {}


def background(task):
    """Black, where the clips are known to be; else None, the median over time."""
    return None if task.shape[-1] > 1 else np.zeros(task.shape, np.float32)


def ms_each(step, frames):
    """Milliseconds that a function takes for a frame: the median of the later ones."""
    took = []
    for frame in frames:
        began = time.perf_counter()
        step(frame)
        took.append(time.perf_counter() - began)
    return round(1000 * float(np.median(took[len(took) // 4 :])), 3)


def _sprites(given):
    """The clips to train on, where a trainer reads a file."""
    if given.data != "sprites":
        return None
    return tasks.make_sprites(given.out.parent / "clips", given.seed)


def _memory(who):
    """Most memory that was held, MB; of children, the largest one's."""
    return round(resource.getrusage(who).ru_maxrss / 1024)


def _most(path, number):
    """The larger of a number and the one in a file, which then holds it."""
    known = json.loads(path.read_text()) if path.is_file() else 0
    path.write_text(json.dumps(max(known, number)))
    return max(known, number)


def _on_signal(training):
    def note(number, frame):
        training.stop = True

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, note)


def _trained():
    """From here on a signal ends the process: scoring begins anew."""
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda number, frame: sys.exit(143))


if __name__ == "__main__":
    sys.exit(main())
