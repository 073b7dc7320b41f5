"""The small files that are kept of reproduced runs, and what they say together.

OUT/PRESET/EXPERIMENT/TRAINING/seedN/
    config.json                           of the run, without paths
    log.csv, results.json                 of the run
    overview.png                          of the run
    TEST.json                             results of an evaluation under other settings

Of a run that has not come to its end there may be config.json and log.csv, which
curves show and tables do not.
"""

import csv
import json
import pathlib
import shutil
import statistics
from typing import NamedTuple

from trainers import config_file, experiments
from trainers.paper import Cell, Training


class Sample(NamedTuple):
    """A score over the seeds of a training."""

    mean: float
    deviation: float  # standard, of the sample; NaN of one seed
    seeds: int

    def __str__(self):
        return format(self)

    def __format__(self, spec):
        spec = spec or ".3f"
        if self.seeds == 1:
            return f"{self.mean:{spec}} (one seed)"
        return f"{self.mean:{spec}} ± {self.deviation:{spec}}"


class Archive:
    """Results by preset, training and seed.

    Args:
        out: the folder described above.
        runs: where models and states are, in folders of the same names.
    """

    def __init__(self, out, runs):
        self.out = pathlib.Path(out)
        self.runs = pathlib.Path(runs)

    def kept(self, preset, training: Training, seed):
        """The folder of the small files of a run."""
        return self._place(self.out, preset, training) / f"seed{seed}"

    def run(self, preset, training: Training, seed):
        """The run folder."""
        return self._place(self.runs, preset, training) / f"seed{seed}"

    def _place(self, root, preset, training):
        return root / preset / training.experiment / training.name

    def done(self, preset, training, seed):
        """Whether a run is complete and kept."""
        return (self.kept(preset, training, seed) / "results.json").is_file()

    def keep(self, preset, training, seed):
        """Copy the small files of a complete run."""
        source = self.run(preset, training, seed)
        target = self.kept(preset, training, seed)
        target.mkdir(parents=True, exist_ok=True)
        config = read(source / "config.json")
        del config["command"]  # it and some settings hold paths
        kind = experiments.find(training.experiment)
        config["settings"] = config_file.of_result(kind.Config, config["settings"])
        text = config_file.text(config)
        (target / "config.json").write_text(text, encoding="utf-8")
        for name in ("log.csv", "overview.png", "results.json"):  # this last
            shutil.copyfile(source / name, target / name)

    def test_file(self, preset, cell: Cell, seed):
        """Where the results of a cell's evaluation are kept."""
        folder = self.kept(preset, cell.training, seed)
        return folder / f"{test_name(cell)}.json"

    def seeds(self, preset, training):
        """The seeds whose runs are kept, sorted."""
        return self._with("results.json", preset, training)

    def begun(self, preset, training):
        """The seeds whose logs are kept, sorted; their runs need not have ended."""
        return self._with("log.csv", preset, training)

    def _with(self, file, preset, training):
        place = self._place(self.out, preset, training)
        found = [path.parent.name for path in place.glob(f"seed*/{file}")]
        return sorted(int(name.removeprefix("seed")) for name in found)

    def results(self, preset, cell):
        """results.json of each seed's test, a dict from seeds."""
        files = {
            seed: self.test_file(preset, cell, seed)
            for seed in self.seeds(preset, cell.training)
        }
        return {seed: read(file) for seed, file in files.items() if file.is_file()}

    def read_run(self, preset, training, seed):
        """results.json of a kept run."""
        return read(self.kept(preset, training, seed) / "results.json")

    def read_config(self, preset, training, seed):
        """config.json of a kept run."""
        return read(self.kept(preset, training, seed) / "config.json")

    def by_machine(self, preset, training, seeds):
        """The seeds by machine: minutes are comparable on one of them."""
        found: dict[str, list[int]] = {}
        for seed in seeds:
            name = made_on(self.read_config(preset, training, seed))
            found.setdefault(name, []).append(seed)
        return found

    def log(self, preset, training, seed):
        """log.csv as a dict from columns to lists of numbers."""
        with open(self.kept(preset, training, seed) / "log.csv") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in rows[0]}

    def best_seed(self, preset, training):
        """The seed of the lowest validation loss; None if there is no run.

        Of several stages the last one counts, since each has its own clips.
        """
        losses = {}
        for seed in self.seeds(preset, training):
            log = self.log(preset, training, seed)
            rows = zip(log["stage"], log["val_loss"], strict=True)
            losses[seed] = min(
                loss for stage, loss in rows if stage == log["stage"][-1]
            )
        return min(losses, key=lambda seed: losses[seed], default=None)


def made_on(config):
    """The GPU of a run's config.json, or its processor and cores."""
    device = config["device"]
    return config.get("machine", device) if device.startswith("CPU") else device


def test_name(cell):
    """The settings in which the test differs from the training; else "results"."""
    words = [
        name if value is True else f"{name}{value}" for name, value in cell.test.items()
    ]
    return "-".join(words) or "results"


def sample(values) -> Sample:
    """Mean and standard deviation over seeds."""
    values = list(values)
    spread = statistics.stdev(values) if len(values) > 1 else float("nan")
    return Sample(statistics.fmean(values), spread, len(values))


def read(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
