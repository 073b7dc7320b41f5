"""The small files that are kept of reproduced runs, and what they say together.

OUT/RECIPE/EXPERIMENT/TRAINING/seedN/
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
from itertools import starmap
from typing import NamedTuple

from trainers import experiments
from trainers.paper.reported import Score, Training
from trainers.training import config_file
from trainers.training.option import as_word


class Sample(NamedTuple):
    """A score over the seeds of a training."""

    mean: float
    deviation: float  # standard, of the sample; NaN of one seed
    seeds: int


class Archive:
    """Results by recipe, training and seed.

    Args:
        out: the folder described above.
        runs: where models and states are, in folders of the same names.
    """

    def __init__(self, out, runs):
        self.out = pathlib.Path(out)
        self.runs = pathlib.Path(runs)

    def kept(self, recipe, training: Training, seed):
        """The folder of the small files of a run."""
        return self._place(self.out, recipe, training) / f"seed{seed}"

    def run(self, recipe, training: Training, seed):
        """The run folder."""
        return self._place(self.runs, recipe, training) / f"seed{seed}"

    def _place(self, root, recipe, training):
        return root / recipe / training.experiment / training.name

    def done(self, recipe, training, seed):
        """Whether a run is complete and kept."""
        return (self.kept(recipe, training, seed) / "results.json").is_file()

    def keep(self, recipe, training, seed):
        """Copy the small files of a complete run."""
        source = self.run(recipe, training, seed)
        target = self.kept(recipe, training, seed)
        target.mkdir(parents=True, exist_ok=True)
        config = read(source / "config.json")
        config.pop("command", None)  # it and some settings hold paths
        kind = experiments.find(training.experiment)
        config["settings"] = config_file.of_result(kind.Settings, config["settings"])
        text = config_file.text(config)
        (target / "config.json").write_text(text, encoding="utf-8")
        for name in ("log.csv", "overview.png", "results.json"):  # this last
            shutil.copyfile(source / name, target / name)

    def test_file(self, recipe, score: Score, seed):
        """Where the results of a score's evaluation are kept."""
        folder = self.kept(recipe, score.training, seed)
        return folder / f"{test_name(score)}.json"

    def seeds(self, recipe, training):
        """The seeds whose runs are kept, sorted."""
        return self._with("results.json", recipe, training)

    def begun(self, recipe, training):
        """The seeds whose logs are kept, sorted; their runs need not have ended."""
        return self._with("log.csv", recipe, training)

    def _with(self, file, recipe, training):
        place = self._place(self.out, recipe, training)
        found = [path.parent.name for path in place.glob(f"seed*/{file}")]
        return sorted(int(name.removeprefix("seed")) for name in found)

    def results(self, recipe, score):
        """results.json of each seed's test, a dict from seeds."""
        files = {
            seed: self.test_file(recipe, score, seed)
            for seed in self.seeds(recipe, score.training)
        }
        return {seed: read(file) for seed, file in files.items() if file.is_file()}

    def read_run(self, recipe, training, seed):
        """results.json of a kept run."""
        return read(self.kept(recipe, training, seed) / "results.json")

    def read_config(self, recipe, training, seed):
        """config.json of a kept run."""
        return read(self.kept(recipe, training, seed) / "config.json")

    def by_machine(self, recipe, training, seeds):
        """The seeds by machine: minutes are comparable on one of them."""
        found: dict[str, list[int]] = {}
        for seed in seeds:
            name = made_on(self.read_config(recipe, training, seed))
            found.setdefault(name, []).append(seed)
        return found

    def log(self, recipe, training, seed):
        """log.csv as a dict from columns to lists of numbers."""
        with open(self.kept(recipe, training, seed) / "log.csv") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in rows[0]}

    def best_seed(self, recipe, training):
        """The seed of the lowest validation loss; None if there is no run.

        Of several stages the last one counts, since each has its own clips.
        """
        losses = {}
        for seed in self.seeds(recipe, training):
            log = self.log(recipe, training, seed)
            rows = zip(log["stage"], log["val_loss"], strict=True)
            losses[seed] = min(
                loss for stage, loss in rows if stage == log["stage"][-1]
            )
        return min(losses, key=lambda seed: losses[seed], default=None)


def made_on(config):
    """The GPU of a run's config.json, or its processor and cores."""
    device = config["device"]
    return config.get("machine", device) if device.startswith("CPU") else device


def test_name(score):
    """The settings in which the test differs from the training; else "results"."""
    return "-".join(starmap(as_word, score.test.items())) or "results"


def sample(values) -> Sample:
    """Mean and standard deviation over seeds."""
    values = list(values)
    spread = statistics.stdev(values) if len(values) > 1 else float("nan")
    return Sample(statistics.fmean(values), spread, len(values))


def read(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
