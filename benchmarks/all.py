"""Run every benchmark and write what they print to BENCHMARKS.md.

    python -m benchmarks.all [--only training_step,data_speed]

Each one is a process of its own, one after another, 20 minutes in all on 2 cores;
`--only` keeps the other sections as they are. `crash`, `own_clips` and `partitions` are
left out: they are in docs/experiments.md and RESULTS.md.
"""

import argparse
import datetime
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

PAGE = pathlib.Path(__file__).parents[1] / "BENCHMARKS.md"
INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks.all`; each section is what its command printed.
Machines are shared and noisy: read the ratios, which come from contestants in turns,
rather than the milliseconds. What makes the difference, and what was tried and did not
help: [docs/speed.md](docs/speed.md).
"""
GOALS = {
    "training_step": "1.8 times faster in float32, 2.5 in bfloat16, and 0.70 of the "
    "machine's products in float32",
    "static_step": "1.8 times faster",
    "places_step": "faster than its first draft",
    "window_step": "growth no faster than the pixels'",
    "pytorch_step": "2.4 times faster than the better of PyTorch's two",
    "data_speed": "6 000 clips/s, and less than 3 % of a training step",
    "ami_speed": "8 s for both normalisers together, equal to scikit-learn to 1e-9",
    "stream_speed": "a median below 3 ms",
    "startup": "below 1 s",
    "memory": "below 3 GB, at most proportional growth",
    "scale": "cost on a straight line",
    "serving_speed": "the exported model, against the Keras model",
    "gpu_step": "milliseconds and clips/s in each precision, where there is a GPU",
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = ", ".join(GOALS)
    parser.add_argument("--only", help=f"comma-separated, of {names}")
    parser.add_argument("--tiny", action="store_true", help="only see that all run")
    parser.add_argument("--page", type=pathlib.Path, default=PAGE, help="file to write")
    given = parser.parse_args(arguments)
    chosen = given.only.split(",") if given.only else list(GOALS)
    if unknown := set(chosen) - set(GOALS):
        parser.error(f"--only: expected some of {names}, received {unknown.pop()}")
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        write(given.page, name, section(name, given.tiny))
    return 0


def section(name, tiny):
    """Run a benchmark; its part of the page."""
    module = importlib.import_module(f"benchmarks.{name}")
    title, _, described = module.__doc__.partition("\n")
    usage, _, rest = described.strip().partition("\n\n")
    command = ["-m", f"benchmarks.{name}", *(["--tiny"] if tiny else [])]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=quiet,
            cwd=PAGE.parent,
        )
        if done.returncode:
            errors.seek(0)
            raise SystemExit(f"benchmarks.{name} failed:\n{errors.read()}")
    minutes = (time.monotonic() - began) / 60
    today = datetime.date.today().isoformat()
    return (
        f"## {title.rstrip('.')}\n\n{rest.strip()}\n\nGoal: {GOALS[name]}. "
        f"`python {' '.join(command)}`, {today}, {minutes:.1f} minutes:\n\n"
        f"```text\n{done.stdout.strip()}\n```\n"
    )


def write(page, name, text):
    """Put a section into the page, in the order of `GOALS`."""
    sections = {}
    if page.is_file():
        for part in page.read_text().split("<!-- ")[1:]:
            key, _, content = part.partition(" -->\n")
            sections[key] = content.strip() + "\n"
    sections[name] = text
    parts = [
        f"<!-- {key} -->\n{sections[key].strip()}\n" for key in GOALS if key in sections
    ]
    page.write_text("\n".join([INTRODUCTION, *parts]))


if __name__ == "__main__":
    sys.exit(main())
