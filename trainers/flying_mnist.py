"""Train on flying MNIST: digits that move and bounce off the walls (Sec. 4.3).

    python -m trainers.flying_mnist --stages 20,500,50000 [--recipe ours|paper|quick]

The paper's AMI: 0.917 +- 0.005 in stages, 0.819 +- 0.022 with --stages 50000. Ours:
RESULTS.md.
"""

import dataclasses
import sys

from trainers.experiment import Experiment
from trainers.training import command, parts, settings
from trainers.training.option import option

SOURCES = ("mnist", "sklearn-digits")  # of digits, as `nem_tf.data.Digits` name them


@dataclasses.dataclass(frozen=True)
class Clips(parts.Clips):
    """which clips"""

    stages: tuple[int, ...] = option(
        (20, 500, 50_000),
        "digits to draw from, stage after stage; 50000 alone trains directly",
        least=1,
        most=10**6,
        grows=True,
        of_made_clips=True,
        often=True,
        old_flag="--pool",
    )
    digits: str = option(
        "auto",
        "auto takes MNIST if it is prepared or can be downloaded",
        choices=("auto", *SOURCES),
        of_made_clips=True,
    )
    composition: str = option(
        "maximum",
        "of pixels where digits meet: the brighter one, or their sum, at most 1",
        choices=("maximum", "sum"),
        of_made_clips=True,
    )
    threshold: float = option(
        0.5,
        "brightness from which a digit covers a pixel, in the scores",
        least=1 / 255,
        most=1.0,
        of_made_clips=True,
    )
    digit_size: int = option(
        10,
        "side of the largest digit, pixels; the paper says no more than that they were "
        "down-sampled, and MNIST's have 20",
        least=1,
        most=20,
        of_made_clips=True,
    )
    box: int = option(
        0,
        "side of the square, pixels, with the digit in its middle, that moves and "
        "bounces; 14 is MNIST's image, halved; 0: the box around its ink",
        least=0,
        of_made_clips=True,
    )
    speed: int = option(
        1,
        "pixels per frame that a digit moves along an axis at most; 0: none moves",
        least=0,
        of_made_clips=True,
    )
    static: bool = option(
        False,
        "digits that do not move: one frame repeated",
        of_made_clips=True,
        excludes=("speed",),
    )

    @property
    def still(self):
        return self.static or not self.speed

    @property
    def stage_count(self):
        return len(self.stages)

    def stage_name(self, stage):
        return "" if self.data is not None else f"{self.stages[stage]} digits"

    def made(self, stage=-1):
        made = super().made(stage)
        pool = made.pop("stages")[stage]
        return {**made, "pool": pool}


@dataclasses.dataclass(frozen=True)
class Settings(settings.Settings):
    """All settings, in stages."""

    clips: Clips = dataclasses.field(default_factory=Clips)

    @classmethod
    def merged(cls, recipe, given):
        """A recipe's last numbers are for the last stages, its first for any more."""
        merged = super().merged(recipe, given)
        if merged.get("data") is not None:  # the same clips in each stage
            merged["stages"] = Clips.stages[-1:]
        stages = len(merged.get("stages", Clips.stages))
        for name in ("learning_rates", "epochs"):
            if len(recipe.get(name, ())) > 1 and name not in given:
                first = merged[name][:1] * stages
                merged[name] = (*first, *merged[name])[-stages:]
        return merged


_TRACKING = {  # docs/experiments.md says why
    "network": "tracking",
    "reads": "pixels",
    "floor": 0.02,
    "start": "sides",
    "learning_rates": (0.004,),
    "schedule": "cosine",
    "batch_size": 32,
}
RECIPES: dict[str, dict] = {
    "paper": {
        "objects": 2,
        "components": 2,
        "inter_weight": 0.2,
        "learning_rates": (0.001, 0.0005, 0.0005),
    },
    "ours": {
        **_TRACKING,
        "floor": 0.1,
        "keep_floor": True,
        "theta_noise": 0.5,  # slower at first, better in the end: not in `quick`
        "epochs": (3, 4, 20),
        "epoch_updates": 200,
        "patience": 30,
        "validation_size": 500,
    },
    "quick": {
        **_TRACKING,
        "epochs": (4,),
        "epoch_updates": 50,
        "patience": 20,
        "validation_size": 320,
        "test_size": 1000,
    },
}


class FlyingMNIST(Experiment):
    """Flying MNIST with RNN-EM, in stages."""

    name = "flying_mnist"
    Settings = Settings
    recipes = RECIPES
    paper_network = "flying_mnist"
    likelihood = "gaussian"
    size = (24, 24)
    paper = "AMI 0.917 +- 0.005 in stages, 0.819 +- 0.022 directly"

    def __init__(self, config):
        super().__init__(config)
        if config.clips.data is None:
            from nem_tf import data

            self.digits = data.load_digits(config.clips.digits)
            self.source = self.digits.name

    @classmethod
    def of_source(cls, source):
        return {"digits": source} if source in SOURCES else {}

    @property
    def object_size(self):
        return (self.config.clips.digit_size,) * 2

    def make(self, split, stage, **arguments):
        from nem_tf import data

        return data.flying_mnist(split, **{**arguments, "digits": self.digits})


if __name__ == "__main__":
    sys.exit(command.main(FlyingMNIST, __doc__))
