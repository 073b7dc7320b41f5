"""Train on flying shapes: shapes that move and bounce off the walls (Sec. 4.2).

    python -m trainers.flying_shapes --objects 3 [--preset ours|paper|quick]

The paper's AMI (Table 1), objects/K: 3/3 0.970, 3/5 0.997, 5/5 0.878, 5/3 0.614. Ours:
RESULTS.md.
"""

import dataclasses
import sys

from trainers import command, experiment, options
from trainers.options import option


@dataclasses.dataclass(frozen=True)
class Config(options.Config):
    """The defaults of `options.Config` are those of this experiment."""

    objects: int = option(
        3, "objects in a clip, 3 or 5 in Table 1", least=1, most=options.MOST_OBJECTS
    )
    components: int = option(3, "K, 3 or 5 in Table 1", least=1)
    network: str = option(
        "paper",
        "the paper's; a small one that learns in minutes; a narrow one, with a theta "
        "too small for two objects; ours, which reads places and draws at places",
        choices=("paper", "small", "narrow", "places"),
    )
    static: bool = option(
        False,
        "shapes that do not move, with fresh noise: the denoising of Figure 5",
        of_made_clips=True,
    )


_PLACES = {  # RESULTS.md says what each of them does
    "network": "places",
    "reads": "pixels",
    "floor": 0.02,
    "inter_weight": 2.0,
    "learning_rates": (0.002,),
    "schedule": "cosine",
    "batch_size": 32,
    "epochs": (10,),
    "patience": 10,
}
PRESETS = {
    "paper": {},
    "ours": {**_PLACES, "epoch_updates": 100, "validation_size": 512},
    "quick": {
        **_PLACES,
        "epoch_updates": 30,
        "validation_size": 320,
        "test_size": 1000,
    },
}


class FlyingShapes(experiment.Experiment):
    """Flying shapes with RNN-EM."""

    name = "flying_shapes"
    Config = Config
    presets = PRESETS
    likelihood = "bernoulli"
    paper = "AMI, objects/K: 3/3 0.970, 3/5 0.997, 5/5 0.878, 5/3 0.614 (Table 1)"

    def generated(self, split, stage, **settings):
        from nem_tf import data

        config = self.config
        speed = 0 if config.static else 1
        settings = {"objects": config.objects, "speed": speed, **settings}
        return data.flying_shapes(split, **settings)


if __name__ == "__main__":
    sys.exit(command.main(FlyingShapes, __doc__))
