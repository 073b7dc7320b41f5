"""Train on flying shapes: shapes that move and bounce off the walls (Sec. 4.2).

    python -m trainers.flying_shapes --objects 3 [--recipe ours|paper|quick]

The paper's AMI (Table 1), objects/K: 3/3 0.970, 3/5 0.997, 5/5 0.878, 5/3 0.614. Ours:
RESULTS.md.
"""

import dataclasses
import sys

from trainers.experiment import Experiment
from trainers.training import command, parts, settings
from trainers.training.option import option


@dataclasses.dataclass(frozen=True)
class Clips(parts.Clips):
    """which clips"""

    static: bool = option(
        False,
        "shapes that do not move, with fresh noise: the denoising of Figure 5",
        of_made_clips=True,
    )

    @property
    def still(self):
        return self.static

    def made(self, stage=-1):
        made = super().made(stage)
        still = made.pop("static")
        return {**made, "speed": 0 if still else 1}


@dataclasses.dataclass(frozen=True)
class Settings(settings.Settings):
    """All settings."""

    clips: Clips = dataclasses.field(default_factory=Clips)


_PLACES = {  # docs/experiments.md says why
    "network": "places",
    "reads": "pixels",
    "floor": 0.02,
    "object_pixels": 40.0,
    "inter_weight": 2.0,
    "learning_rates": (0.002,),
    "schedule": "cosine",
    "batch_size": 32,
    "epochs": (10,),
    "patience": 10,
}
RECIPES: dict[str, dict] = {
    "paper": {},
    "ours": {**_PLACES, "epoch_updates": 100, "validation_size": 512},
    "quick": {
        **_PLACES,
        "epoch_updates": 30,
        "validation_size": 320,
        "test_size": 1000,
    },
}


class FlyingShapes(Experiment):
    """Flying shapes with RNN-EM."""

    name = "flying_shapes"
    Settings = Settings
    recipes = RECIPES
    paper_network = "flying_shapes"
    likelihood = "bernoulli"
    paper = "AMI, objects/K: 3/3 0.970, 3/5 0.997, 5/5 0.878, 5/3 0.614 (Table 1)"

    def make(self, split, stage, **arguments):
        from nem_tf import data

        return data.flying_shapes(split, **arguments)


if __name__ == "__main__":
    sys.exit(command.main(FlyingShapes, __doc__))
