"""Train on flying MNIST: digits that move and bounce off the walls (Sec. 4.3).

    python -m trainers.flying_mnist --stages 20,500,50000 [--preset ours|paper|quick]

The paper's AMI: 0.917 +- 0.005 in stages, 0.819 +- 0.022 with --stages 50000. Ours:
RESULTS.md.
"""

import dataclasses
import sys
from typing import ClassVar

from trainers import command, experiment, options
from trainers.options import option


@dataclasses.dataclass(frozen=True)
class Config(options.Config):
    """The paper's settings, in stages."""

    size: ClassVar[tuple[int, int]] = (24, 24)

    stages: tuple[int, ...] = option(
        (20, 500, 50_000),
        "digits to draw from, stage after stage; 50000 alone trains directly",
        least=1,
        most=10**6,
        grows=True,
        of_made_clips=True,
    )
    digits: str = option(
        "auto",
        "auto takes MNIST if it is prepared or can be downloaded",
        choices=("auto", "mnist", "sklearn-digits"),
        of_made_clips=True,
    )
    objects: int = option(2, "digits in a clip", least=1, most=options.MOST_OBJECTS)
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
    components: int = option(2, "K, components that share a clip", least=1)
    noise: float = option(
        0.2, "chance that a pixel is replaced by Uniform(0, 1)", least=0.0, most=1.0
    )
    inter_weight: float = option(
        0.2, "weight of the inter-cluster loss; the original's", least=0.0
    )
    learning_rates: tuple[float, ...] = option(
        (),
        "Adam's step size, one per stage; by default the original's 0.0005, but 0.001 "
        "in the first of several stages",
        least=0.0,
    )

    def __post_init__(self):
        if not self.learning_rates:
            later = (0.0005,) * (len(self.stages) - 1)
            rates = (0.001 if later else 0.0005, *later)
            object.__setattr__(self, "learning_rates", rates)
        super().__post_init__()

    @classmethod
    def of_preset(cls, settings, given):
        """A preset's last numbers are for the last stages, its first for any more."""
        merged = super().of_preset(settings, given)
        if merged.get("data") is not None:  # the same clips in each stage
            merged["stages"] = cls.stages[-1:]
        stages = len(merged.get("stages", cls.stages))
        for name in ("learning_rates", "epochs"):
            if len(settings.get(name, ())) > 1 and name not in given:
                first = merged[name][:1] * stages
                merged[name] = (*first, *merged[name])[-stages:]
        return merged

    @property
    def stage_count(self):
        return len(self.stages)


_TRACKING = {  # RESULTS.md says what each of them does
    "network": "tracking",
    "reads": "pixels",
    "floor": 0.02,
    "start": "sides",
    "learning_rates": (0.004,),
    "schedule": "cosine",
    "batch_size": 32,
}
PRESETS = {
    "paper": {},
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


class FlyingMNIST(experiment.Experiment):
    """Flying MNIST with RNN-EM, in stages."""

    name = "flying_mnist"
    Config = Config
    presets = PRESETS
    likelihood = "gaussian"
    paper = "AMI 0.917 +- 0.005 in stages, 0.819 +- 0.022 directly"

    def __init__(self, config):
        super().__init__(config)
        if config.data is None:
            from nem_tf import data

            self.digits = data.load_digits(config.digits)
            self.source = self.digits.name

    def stage_name(self, stage):
        if self.config.data is not None:
            return super().stage_name(stage)
        return f"{self.config.stages[stage]} digits"

    def generated(self, split, stage, **settings):
        from nem_tf import data

        config = self.config
        settings = {
            "objects": config.objects,
            "pool": config.stages[stage],
            "composition": config.composition,
            "threshold": config.threshold,
            "digit_size": config.digit_size,
            "box": config.box,
            "speed": config.speed,
            **settings,
        }
        return data.flying_mnist(split, digits=self.digits, **settings)

    @property
    def object_size(self):
        return (self.config.digit_size,) * 2


if __name__ == "__main__":
    sys.exit(command.main(FlyingMNIST, __doc__))
