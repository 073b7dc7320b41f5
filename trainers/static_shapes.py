"""Train on static shapes: three shapes in a binary image (Sec. 4.1).

    python -m trainers.static_shapes [--model rnn-em|n-em] [--preset ours|paper|quick]

The paper's AMI: 0.826 +- 0.005 (RNN-EM), 0.475 +- 0.043 (N-EM). Ours: RESULTS.md.
"""

import dataclasses
import sys

from trainers import command, experiment, options
from trainers.options import option


@dataclasses.dataclass(frozen=True)
class Config(options.Config):
    """The paper's settings; where the original's code differs, the help says so."""

    model: str = option(
        "rnn-em", "recurrent or gradient M-step", choices=("rnn-em", "n-em")
    )
    components: int = option(3, "K; the original's code has 4", least=1)
    steps: int = option(15, "T, EM steps on one image", least=1)
    noise: float = option(0.1, "chance that a pixel is flipped", least=0.0, most=1.0)
    network: str = option(
        "paper",
        "the paper's; a small one that learns in minutes; a narrow one, with a theta "
        "too small for two objects; the network of flying shapes, with places",
        choices=("paper", "small", "narrow", "places"),
    )
    loss_steps: str = option(
        "last", "which EM steps the loss is taken at", choices=("last", "all")
    )
    gamma_gradient: str = option(
        "on", "whether gradients flow through gamma", choices=("on", "off")
    )

    @classmethod
    def of_preset(cls, settings, given):
        """The networks of the presets are for RNN-EM; N-EM has its own one matrix."""
        merged = super().of_preset(settings, given)
        if merged.get("model") == "n-em" and "network" not in given:
            merged["network"] = "paper"
        return merged

    def __post_init__(self):
        super().__post_init__()
        if self.model == "n-em" and self.network != "paper":
            raise ValueError(
                f"network: expected paper with model n-em, received {self.network}"
            )
        if self.model == "n-em" and self.features:
            raise ValueError(
                f"features: expected 0 with model n-em, whose network is one matrix, "
                f"received {self.features}"
            )
        if self.model == "n-em" and self.reads != "error":
            raise ValueError(
                f"reads: expected error with model n-em, whose step is a gradient, "
                f"received {self.reads}"
            )


_ALL_STEPS = {  # of a loss at all steps; RESULTS.md says what it does
    "loss_steps": "all",
    "gamma_gradient": "off",
    "inter_weight": 2.0,
    "learning_rates": (0.003,),
    "schedule": "cosine",
    "epochs": (20,),
    "patience": 20,
}
PRESETS = {
    "paper": {},
    "ours": {
        "network": "narrow",
        **_ALL_STEPS,
        "epoch_updates": 100,
        "validation_size": 512,
    },
    "quick": {
        "network": "small",
        **_ALL_STEPS,
        "epoch_updates": 50,
        "validation_size": 320,
        "test_size": 1000,
    },
}


class StaticShapes(experiment.Experiment):
    """Static shapes with RNN-EM or N-EM."""

    name = "static_shapes"
    Config = Config
    presets = PRESETS
    likelihood = "bernoulli"
    paper = "AMI 0.826 +- 0.005 (RNN-EM), 0.475 +- 0.043 (N-EM)"

    def generated(self, split, stage, **settings):
        from nem_tf import data

        return data.static_shapes(split, **{"objects": self.config.objects, **settings})

    def e_step(self):
        from nem_tf import EStep

        return EStep("bernoulli", differentiable=self.config.gamma_gradient == "on")

    def cell(self):
        from nem_tf import NEMCell

        if self.config.model == "n-em":
            own = {"units": self.config.units} if self.config.units else {}
            return NEMCell(e_step=self.e_step(), **own, **self.of_every_cell())
        return super().cell()

    def loss(self):
        from nem_tf import NEMLoss

        config = self.config
        return NEMLoss(self.likelihood, config.inter_weight, steps=config.loss_steps)


if __name__ == "__main__":
    sys.exit(command.main(StaticShapes, __doc__))
