"""What the paper reports, and which trainings and evaluations give these numbers.

Scores are means and standard deviations over five runs. AMI of sequences is that of the
last step: Table 1's 0.997 is out of reach for a mean that includes the first steps.
"""

import dataclasses

RECIPES = ("paper", "ours", "quick")  # of the trainers: of the original; best; minutes


@dataclasses.dataclass(frozen=True)
class Training:
    """A trainer's command, without recipe and seed.

    Attributes:
        experiment: name of the trainer.
        name: of the folder, unique in the experiment.
        settings: the flags in which it differs from any recipe.
        recipes: those that it is trained with.
        ours: further flags of all recipes but the paper's.
    """

    experiment: str
    name: str
    settings: dict = dataclasses.field(default_factory=dict, hash=False)
    recipes: tuple[str, ...] = RECIPES
    ours: dict = dataclasses.field(default_factory=dict, hash=False)

    def flags(self, recipe):
        """The flags in which it differs from a recipe."""
        return self.settings if recipe == "paper" else {**self.settings, **self.ours}

    @property
    def pools(self):
        """The digits of each stage, as text; one empty text without stages."""
        return self.settings.get("stages", "").split(",")


@dataclasses.dataclass(frozen=True)
class Score:
    """A number of the paper, and where ours comes from.

    Attributes:
        label: of the row in RESULTS.md, and of its curve.
        training: what is trained.
        paper: mean and standard deviation; None where the paper has no number.
        test: flags of `trainers.evaluate`; none: what the trainer itself scores.
        seeds_of: a score of the same training; this one then has its seeds only, so
            that both are of the same weights.
    """

    label: str
    training: Training
    paper: tuple[float, float] | None = None
    test: dict = dataclasses.field(default_factory=dict, hash=False)
    seeds_of: "Score | None" = None

    def results(self, archive, recipe):
        """results.json of each seed of the row, a dict from seeds.

        Args:
            archive: an `archive.Archive`.
            recipe: one of `RECIPES`.
        """
        found = archive.results(recipe, self)
        if self.seeds_of is None:
            return found
        shown = self.seeds_of.results(archive, recipe)
        return {seed: one for seed, one in found.items() if seed in shown}


def _static(model, components, recipes=("paper",)):
    return Training(
        "static_shapes",
        f"{model}-k{components}",
        {"model": model, "components": components},
        recipes,
    )


def _shapes(objects, components, still=False):
    settings = {"objects": objects, "components": components}
    name = f"objects{objects}-k{components}"
    if still:
        name, settings = f"static-{name}", {**settings, "static": True}
    spare = objects == 1 < components  # all would share the one object evenly
    ours = {"fewest_components": 1} if spare else {}
    return Training("flying_shapes", name, settings, ours=ours)


STAGED = Training("flying_mnist", "staged", {"stages": "20,500,50000"})
DIRECT = Training("flying_mnist", "direct", {"stages": "50000"})
THREE = {"objects": 3, "components": 3}  # how they are tested, too
STILL = {"static": True, "steps": 50}

_RNN_EM = _static("rnn-em", 3, RECIPES)
STATIC_SHAPES = (
    Score("RNN-EM, K = 3", _RNN_EM, (0.826, 0.005)),
    Score("RNN-EM, K = 3; tested K = 5", _RNN_EM, None, {"components": 5}),
    Score("RNN-EM, K = 3; tested K = 8", _RNN_EM, None, {"components": 8}),
    Score("RNN-EM, K = 4", _static("rnn-em", 4)),  # as in the original's code
    Score("N-EM, K = 3", _static("n-em", 3), (0.475, 0.043)),
    Score("N-EM, K = 4", _static("n-em", 4)),
)


def _table1():
    tested = {  # objects and K: of the training, of the test
        ((3, 3), (3, 3)): (0.970, 0.005),
        ((3, 5), (3, 5)): (0.997, 0.002),
        ((5, 3), (5, 3)): (0.614, 0.003),
        ((5, 5), (5, 5)): (0.878, 0.003),
        ((3, 3), (3, 5)): (0.972, 0.007),
        ((3, 3), (3, 8)): None,
        ((3, 5), (3, 3)): (0.914, 0.015),
        ((5, 3), (3, 3)): (0.886, 0.010),
        ((5, 5), (3, 5)): (0.981, 0.003),
    }
    for (trained, (objects, components)), paper in tested.items():
        label = f"{trained[0]} objects, K = {trained[1]}"
        test = {}
        if trained != (objects, components):
            test = {"objects": objects, "components": components}
            fewer = f"on {objects} objects"
            label += (
                f"; tested {fewer if objects < trained[0] else f'K = {components}'}"
            )
        yield Score(label, _shapes(*trained), paper, test)


TABLE1 = tuple(_table1())


def _figure5():
    for still in (True, False):
        task = "denoising" if still else "next step"
        for components in (1, 5):
            for objects in range(1, 7):
                counted = f"{objects} object{'s' * (objects > 1)}"
                yield Score(
                    f"{task}, {counted}, K = {components}",
                    _shapes(objects, components, still),
                )


def _mnist(training, name, scores):
    yield Score(f"{name}, 2 digits", training, scores[0])
    yield Score(f"{name}, 3 digits", training, scores[1], THREE)
    yield Score(f"{name}, 2 static digits", training, scores[2], STILL)


LARGE = Training("flying_mnist", "digits14", {"stages": "50000", "digit_size": 14})
_DIM = Score("labels from brightness 0.1 on", DIRECT, None, {"threshold": 0.1})
READINGS = (  # of how digits are labelled, composed, moved and made smaller
    Score("our reading, labels from 0.5 on", DIRECT, seeds_of=_DIM),
    _DIM,
    Score("digits add up where they meet", DIRECT, None, {"composition": "sum"}),
    Score("whole images of 14 x 14 bounce", DIRECT, None, {"box": 14}),
    Score("up to 2 pixels a frame", DIRECT, None, {"speed": 2}),
    Score("digits of 14 pixels, trained anew", LARGE),
)

FOUR_STARTS = (  # of each clip, the likeliest is scored; the paper has one
    Score("direct, 2 digits", DIRECT, (0.819, 0.022), {"starts": 4}),
    Score("direct, 3 digits", DIRECT, (0.729, 0.019), {**THREE, "starts": 4}),
    Score("direct, 2 static digits", DIRECT, (0.619, 0.023), {**STILL, "starts": 4}),
)

FIFTY_STEPS = Score("direct, 2 digits, 50 steps", DIRECT, None, {"steps": 50})

PARTS = {
    "static_shapes": STATIC_SHAPES,
    "table1": TABLE1,
    "figure4": (Score("5 objects, K = 5", _shapes(5, 5)),),
    "figure5": tuple(_figure5()),
    "figure6": (FIFTY_STEPS,),
    "flying_mnist": (
        *_mnist(DIRECT, "direct", [(0.819, 0.022), (0.729, 0.019), (0.619, 0.023)]),
        *_mnist(STAGED, "staged", [(0.917, 0.005), (0.838, 0.008), (0.772, 0.008)]),
    ),
    "readings": READINGS,
    "starts": FOUR_STARTS,
    "figure7": (Score("staged, 3 digits", STAGED, None, THREE),),
}

TITLES = {
    "static_shapes": "Static shapes (Sec. 4.1, Figure 3)",
    "table1": "Flying shapes (Table 1)",
    "figure4": "Five flying shapes (Figure 4)",
    "figure5": "Prediction error against the number of objects (Figure 5)",
    "figure6": "Fifty steps (Figure 6)",
    "flying_mnist": "Flying MNIST (Sec. 4.3)",
    "readings": "Flying MNIST, read otherwise",
    "starts": "Flying MNIST, the likeliest of four starts",
    "figure7": "Three digits (Figure 7)",
}

SUMMARY = (  # of RESULTS.md: what is scored, recipe, score
    ("static shapes, K = 3", "ours", STATIC_SHAPES[0]),
    ("static shapes, K = 3", "paper", STATIC_SHAPES[0]),
    ("static shapes, K = 3; tested K = 8", "ours", STATIC_SHAPES[2]),
    ("3 flying shapes, K = 3", "ours", TABLE1[0]),
    ("3 flying shapes, K = 3; tested K = 5", "ours", TABLE1[4]),
    ("5 flying shapes, K = 5", "ours", TABLE1[3]),
    ("5 flying shapes, K = 3", "ours", TABLE1[2]),
    ("2 flying digits, direct", "ours", PARTS["flying_mnist"][0]),
    ("2 flying digits, likeliest of 4 starts", "ours", FOUR_STARTS[0]),
    ("2 flying digits, staged", "ours", PARTS["flying_mnist"][3]),
)
