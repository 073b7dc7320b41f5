"""What `trainers.own_clips` reaches on five kinds of clips, without labels.

    python -m benchmarks.own_clips [--out runs/own_clips_table] [--seeds 3]

Makes clips of each kind (`benchmarks.own_scenes`), trains on them with the default
settings, one seed after another, and scores each run on the test split of a thousand
clips of another seed: 100 of them. What is in the folder already is taken as it is, so
a command that was stopped goes on. Prints the table, and writes it into table.json with
all scores and minutes. One training takes four to fifteen minutes of one core; several
commands with other --kinds may fill one folder.
"""

import argparse
import functools
import json
import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

import numpy as np

from benchmarks import own_scenes
from trainers.paper.archive import sample
from trainers.paper.tables import spread
from trainers.training.files import replacing, write_json
from trainers.training.machine import machine

TEST_CLIPS = 1000  # made, of which a tenth is the test split


class Kind(NamedTuple):
    """Clips of one kind: what they are, who makes them, how many, and more flags."""

    about: str
    make: object
    clips: int
    seeds: tuple[int, int]  # of the clips to train on, and of those to be scored
    flags: tuple[str, ...] = ()


KINDS = {
    "plain": Kind(
        "64 x 64 RGB sprites, plain backgrounds",
        own_scenes.sprites,
        200,
        (90001, 70001),
    ),
    "texture": Kind(
        "the same on textured gradients",
        functools.partial(own_scenes.sprites, textured=True),
        200,
        (90002, 70002),
    ),
    "blobs": Kind(
        "36 x 48 grey, 5 to 8 blobs in noise", own_scenes.blobs, 120, (90003, 70003)
    ),
    "digits": Kind(
        "64 x 64, two moving digits", own_scenes.digits, 300, (90004, 70004)
    ),
    "tetro": Kind(
        "35 x 35 RGB images, three tetrominoes",
        own_scenes.tetrominoes,
        400,
        (90005, 70005),
        ("--axes", "clips-first"),
    ),
}
SCORES = {  # a column of the table, and its keys in results.json
    "foreground ARI": ("foreground_ari", "no_learning_foreground_ari"),
    "by gamma": ("ari", None),  # the same where no pixel is left to the background
    "ARI with background": ("ari_with_background", "no_learning_ari_with_background"),
    "best overlap": ("best_overlap", "no_learning_best_overlap"),
}


def main(arguments=None):
    """Print the table; 0 if every run ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", default="runs/own_clips_table", help="folder of it all"
    )
    parser.add_argument("--seeds", type=int, default=3, help="of each kind (3)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    given = parser.parse_args(arguments)
    out = pathlib.Path(given.out)
    for kind in given.kinds:
        _make(out, kind)
        for seed in range(given.seeds):
            _run(out, kind, seed)
    done = {kind: _scores(out, kind) for kind in KINDS}
    done = {kind: found for kind, found in done.items() if found["runs"]}
    table = {"machine": machine(), "kinds": done}
    write_json(out / "table.json", table)
    print("\n".join(_lines(done)))
    return 0


def _make(out, kind):
    """The clips of a kind, as .npy files with labels beside them."""
    out.mkdir(parents=True, exist_ok=True)
    about = KINDS[kind]
    counts = about.clips, TEST_CLIPS
    for name, count, seed in zip(("", "_test"), counts, about.seeds, strict=True):
        paths = out / f"{kind}{name}.npy", out / f"{kind}{name}_labels.npy"
        if not paths[1].is_file():
            for path, array in zip(paths, about.make(count, seed), strict=True):
                with replacing(path) as beside, open(beside, "wb") as file:
                    np.save(file, array)


def _run(out, kind, seed):
    """Train and score, unless that was done."""
    run, scored = out / "runs" / f"{kind}-{seed}", out / "eval" / f"{kind}-{seed}"
    if not (run / "results.json").is_file():
        flags = *KINDS[kind].flags, "--seed", str(seed)
        _command(
            "trainers.own_clips", out, kind, *flags, "--out", str(run), "--resume=auto"
        )
    if not (scored / "results.json").is_file():
        flags = "--clips", str(TEST_CLIPS // 10), "--out", str(scored)
        _command("trainers.evaluate", out, f"{kind}_test", *flags, model=run)


def _command(module, out, name, *flags, model=None):
    data, labels = out / f"{name}.npy", out / f"{name}_labels.npy"
    what = [str(data)] if model is None else [str(model), "--data", str(data)]
    words = [sys.executable, "-m", module, *what, "--labels", str(labels), *flags]
    cache = os.environ.get("NEM_TF_CACHE", str(out / "cache"))
    print("+", " ".join(words[1:]), file=sys.stderr, flush=True)
    subprocess.run(words, check=True, env={**os.environ, "NEM_TF_CACHE": cache})


def _scores(out, kind):
    """The scores of each seed at the last step, minutes, and what was chosen."""
    runs = []
    for scored in sorted((out / "eval").glob(f"{kind}-*/results.json")):
        seed = int(scored.parent.name.rpartition("-")[2])
        folder = out / "runs" / scored.parent.name
        run, config = (
            json.loads((folder / f"{name}.json").read_text())
            for name in ("results", "config")
        )
        found = json.loads(scored.read_text())
        test = found["test"]
        settings = config["settings"]
        names = "model", "size", "components", "object_size"
        runs.append(
            {
                "seed": seed,
                "commit": config.get("commit"),
                "scored_by": found.get("scored_by"),
                "test_clips": test["clips"],
                "minutes": round(run["seconds"] / 60, 1),
                "updates": run["updates"],
                **{name: settings[name] for name in names},
                **{
                    key: round(test[key]["last"], 4)
                    for keys in SCORES.values()
                    for key in keys
                    if key
                },
                "psnr": round(test["psnr"], 2),
                "repeat_psnr": test["repeat_psnr"] and round(test["repeat_psnr"], 2),
                "used_components": round(test["used_components"], 2),
            }
        )
    return {"about": KINDS[kind].about, "clips": KINDS[kind].clips, "runs": runs}


def _lines(done):
    """The table in Markdown: mean and standard deviation over seeds."""
    yield "| clips | " + " | ".join(SCORES) + " | minutes |"
    yield "|---|" + "---|" * len(SCORES) + "---|"
    for found in done.values():
        runs = found["runs"]
        cells = []
        for ours, plain in SCORES.values():
            beside = f" ({runs[0][plain]:.3f})" if plain else ""
            cells.append(f"{spread(sample(run[ours] for run in runs))}{beside}")
        minutes = np.mean([run["minutes"] for run in runs])
        yield f"| {found['about']} | {' | '.join(cells)} | {minutes:.1f} |"


if __name__ == "__main__":
    sys.exit(main())
