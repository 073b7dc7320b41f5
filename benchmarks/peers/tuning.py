"""Compare settings of slot attention on validation clips.

    python -m benchmarks.peers.tuning [--minutes 3] [--data flying_shapes3 flying_mnist]
                                      [--only NAME ...] [--seed 0] [--of MINUTES]
                                      [--table-only]

Each is trained for so many minutes of one core, counted as time of the processor, so
that other work on the machine does not matter, and with the schedule of so many
minutes or, with --of, as the beginning of a training of more. Results go into
results/peers/tuning.json; what is there is not done again. Rows of 30 of 30 minutes are
of whole trainings by `benchmarks.peers.run`, by the clock. Prints the table.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys

from benchmarks.peers import tasks
from benchmarks.peers.settings import NARROW, Settings
from trainers.training.files import write_json

RESULTS = pathlib.Path(__file__).parents[2] / "results" / "peers" / "tuning.json"
VALIDATION = 128  # clips
EIGHT = {**NARROW, "batch_size": 8}
THREE = {**EIGHT, "frames": 3}
SPARE = {**THREE, "spare_slots": 1}
LEARNED = {**THREE, "start": "learned"}
SQUARED = {"loss": "squared"}
SLOW = {**SQUARED, "rate": 4e-4}
CANDIDATES: dict[str, dict] = {
    "published": {"precision": "bfloat16", "spare_slots": 0},
    "narrow": NARROW,
    "narrow, rate 2e-3": {**NARROW, "rate": 2e-3},
    "narrow, 3 frames, batch 32": {**NARROW, "frames": 3, "batch_size": 32},
    "narrow, batch 8": EIGHT,
    "batch 4": {**NARROW, "batch_size": 4},
    "batch 8, rate 2e-3": {**EIGHT, "rate": 2e-3},
    "batch 8, 3 frames": THREE,
    "batch 8, 3 frames, warm-up a tenth": {**THREE, "warmup": 0.0025},
    "batch 8, 3 frames, learned starts": LEARNED,
    "a slot to spare, learned starts": {**LEARNED, "spare_slots": 1},
    "squared error, learned starts": {**LEARNED, **SQUARED},
    "a slot to spare, squared error, learned starts": {
        **LEARNED,
        **SQUARED,
        "spare_slots": 1,
    },
    "batch 8, learned starts": {**EIGHT, "start": "learned"},
    "batch 8, 3 frames, sigma 0.3": {**THREE, "sigma": 0.3},
    "batch 4, 3 frames": {**THREE, "batch_size": 4},
    "batch 8, 3 frames, rate 4e-4": {**THREE, "rate": 4e-4},
    "batch 8, 3 frames, next frame": {**THREE, "target": "next"},
    "batch 16, 3 frames": {**THREE, "batch_size": 16},
    "batch 8, 3 frames, squared error": {**THREE, **SQUARED},
    "batch 8, 3 frames, squared error, rate 4e-4": {**THREE, **SLOW},
    "batch 8, 3 frames, squared error, slots of 32": {
        **THREE,
        **SQUARED,
        "slot_size": 32,
    },
    "batch 16, 3 frames, squared error, rate 4e-4, clip 0.05": {
        **THREE,
        **SLOW,
        "batch_size": 16,
        "clip_norm": 0.05,
    },
    "batch 8, 3 frames, a slot to spare": SPARE,
    "a slot to spare, next frame": {**SPARE, "target": "next"},
    "a slot to spare, next of 6 frames": {**SPARE, "target": "next", "frames": 6},
    "a slot to spare, squared error": {**SPARE, **SQUARED},
    "a slot to spare, squared error, warm-up a tenth": {
        **SPARE,
        **SQUARED,
        "warmup": 0.0025,
    },
    "a slot to spare, squared error, rate 4e-4": {**SPARE, **SLOW},
    "batch 8, next frame": {**EIGHT, "target": "next"},
    "batch 8, slots of 32": {**EIGHT, "slot_size": 32},
    "batch 8, sigma 0.3": {**EIGHT, "sigma": 0.3},
    "narrow, 2 iterations": {**NARROW, "iterations": 2},
    "decoder 16": {**NARROW, "decoder_width": 16},
}


def main(arguments=None):
    """Train what was not tried, write and print the table; 0."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=3.0, help="of one core (3)")
    data = ["flying_shapes3", "flying_mnist"]
    parser.add_argument("--data", nargs="+", choices=tasks.TASKS, default=data)
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, help="these settings")
    parser.add_argument("--seed", type=int, default=0, help="of weights and clips (0)")
    parser.add_argument("--of", type=float, help="minutes of the schedule (--minutes)")
    parser.add_argument("--table-only", action="store_true", help="train nothing")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    given = parser.parse_args(arguments)
    of = given.minutes if given.of is None else given.of
    if not 0 < given.minutes <= of:
        parser.error(
            "--minutes, --of: expected more than 0 minutes, of a schedule of as many "
            f"or more, received {given.minutes:g} of {of:g}"
        )
    found = kept(given.results)
    if not given.table_only:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        for label in given.only or CANDIDATES:
            for name in given.data:
                key = {"data": name, "setting": label}
                key |= {"minutes": given.minutes, "of": of, "seed": given.seed}
                if any(key.items() <= row.items() for row in found):
                    continue
                print(f"{name}: {label} ...", file=sys.stderr, flush=True)
                tried = _tried(name, CANDIDATES[label], given.minutes, of, given.seed)
                row = {**key, **tried}
                found = [*kept(given.results), row]  # another command may add to it
                given.results.parent.mkdir(parents=True, exist_ok=True)
                write_json(given.results, found)
                print(json.dumps(row), file=sys.stderr, flush=True)
    print("\n".join(lines(found)))
    return 0


def _tried(name, changes, minutes, of, seed):
    """What a short training reaches: validation scores, losses and updates."""
    import torch

    from benchmarks.peers.slot_training import Training, parameters

    torch.set_num_threads(1)
    sprites = None
    if name == "sprites":
        sprites = tasks.make_sprites("runs/peers/clips", seed)
    settings = Settings(**changes)
    seconds = 60 * minutes
    marks = [seconds * share for share in (0.25, 0.5, 0.75)]
    training = Training(
        name,
        settings,
        seed,
        seconds,
        marks,
        sprites=sprites,
        validation=VALIDATION,
        by_cpu=True,
        schedule=60 * of,
    )
    row = {
        "settings": dataclasses.asdict(settings),
        "parameters": parameters(training.model),
    }
    try:
        training.run()
    except FloatingPointError as error:
        return {**row, "failed": str(error)}
    at = training.at
    return {
        **row,
        "updates": at.updates,
        "ms": round(1000 * at.seconds / at.updates, 1),
        "curve": at.curve,
    }


def last_ami(row):
    """What a setting is judged by: AMI in noise or, where there is none, without."""
    last = row["curve"][-1]
    return (last["noisy"] or last["clean"])["ami"]


def best(found):
    """The setting to take for the data whose rows these are.

    The longest schedule at which settings were compared decides and, there, the mean
    over seeds of those that were tried on most; of a seed, its longest training counts.
    """
    schedules: dict[float, dict[str, dict[int, float]]] = {}
    for row in sorted(found, key=lambda x: x["minutes"]):
        if "failed" not in row:
            of_settings = schedules.setdefault(row["of"], {})
            of_settings.setdefault(row["setting"], {})[row["seed"]] = last_ami(row)
    longest = max(of for of, settings in schedules.items() if len(settings) > 1)
    return max(
        schedules[longest].items(),
        key=lambda x: (len(x[1]), sum(x[1].values()) / len(x[1])),
    )[0]


def lines(found):
    """The table in Markdown, best settings first."""
    yield (
        "| data | setting | minutes | of | seed | AMI, noise | AMI, clean | loss "
        "| updates |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"

    def first(row):
        if "failed" in row:
            return row["data"], row["minutes"], 1.0
        return row["data"], row["minutes"], -last_ami(row)

    for row in sorted(found, key=first):
        minutes = f"{row['minutes']:g} | {row['of']:g}"
        which = row["data"], row["setting"], minutes, str(row["seed"])
        label = f"| {' | '.join(which)} |"
        if "failed" in row:
            yield f"{label} no number | | | |"
            continue
        last = row["curve"][-1]
        noisy = f"{last['noisy']['ami']:.3f}" if last["noisy"] else ""
        yield (
            f"{label} {noisy} | {last['clean']['ami']:.3f} | "
            f"{last['validation_loss']:.1f} | {row['updates']} |"
        )


def kept(path=RESULTS):
    """What was tried before, a list of dicts."""
    return json.loads(path.read_text()) if path.is_file() else []


if __name__ == "__main__":
    sys.exit(main())
