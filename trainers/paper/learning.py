"""Validation AMI against minutes of training, from the logs of kept runs."""

from typing import NamedTuple

import numpy as np

from trainers.paper import notes, reported

MOST = 4  # curves in a figure


class Curve(NamedTuple):
    """Validation AMI of a training on one machine, over its seeds."""

    recipe: str
    score: reported.Score
    where: str
    seeds: int
    ended: int  # seeds
    minutes: np.ndarray  # after each epoch, means over seeds
    ami: tuple[np.ndarray, np.ndarray, np.ndarray]  # mean, least, most

    def name(self, with_recipe, with_machine):
        """For the legend."""
        count = f"n = {self.seeds}"
        if self.ended < self.seeds:
            count += ", not ended" if self.seeds == 1 else ", not all ended"
        text = f"recipe {self.recipe}: " if with_recipe else ""
        text += self.score.label
        text += ", last stage" if len(self.score.training.pools) > 1 else ""
        return f"{text} ({count}{f', {self.where}' if with_machine else ''})"


def curves(archive, part):
    """A `Curve` of each training of a part, on the machine that has most seeds."""
    found = []
    for recipe in reported.RECIPES:
        for score in reported.PARTS[part]:
            training = score.training
            machines = archive.by_machine(
                recipe, training, archive.begun(recipe, training)
            )
            if score.test or not machines:
                continue
            where, seeds = max(machines.items(), key=lambda one: len(one[1]))
            points = _last_stage(archive, recipe, training, seeds)
            if points.size:
                minutes, ami = points[..., 0].mean(axis=0), points[..., 1]
                band = ami.mean(axis=0), ami.min(axis=0), ami.max(axis=0)
                ended = len({*seeds} & {*archive.seeds(recipe, training)})
                curve = Curve(
                    recipe, score, notes.short(where), len(seeds), ended, minutes, band
                )
                found.append(curve)
    return found


def few(found):
    """Four at most: without `quick`, then without what has not ended."""
    for stays in (lambda one: one.recipe not in notes.OPTIONAL, lambda one: one.ended):
        if len(found) > MOST:
            found = [one for one in found if stays(one)]
    return found[:MOST]


def _last_stage(archive, recipe, training, seeds):
    """Minutes and validation AMI after each epoch that all seeds have: (N, epochs, 2).

    Of several stages the last one, since the others are validated on few digits; of the
    seeds those that have come to it.
    """
    epochs = []
    for seed in seeds:
        log = archive.log(recipe, training, seed)
        rows = zip(log["seconds"], log["val_ami"], log["stage"], strict=True)
        last = len(training.pools)
        epochs.append([(x / 60, ami) for x, ami, stage in rows if stage == last])
    begun = [one for one in epochs if one]
    shortest = min(map(len, begun), default=0)
    return np.array([one[:shortest] for one in begun])
