"""Scores: how well pixels are grouped, and the next frame predicted.

`adjusted_mutual_information` is the paper's. Those of `metrics` work inside a graph.
Those of `segmentation` and `unlabelled` are of clips over time, with a background, and
`baselines` is what to compare with.
"""

from nem_tf.scores.baselines import median_background, no_learning, otsu
from nem_tf.scores.matching import order_of_objects
from nem_tf.scores.metrics import (
    AdjustedRandIndex,
    DistinctComponents,
    Purity,
    adjusted_rand_index,
    ari_from_table,
    confidence,
    distinct_components,
    distinct_from_table,
    purity,
    purity_from_table,
)
from nem_tf.scores.mutual_information import (
    adjusted_mutual_information,
    ami_from_tables,
    labelled_ami,
)
from nem_tf.scores.occlusion import Drawn, drawn
from nem_tf.scores.prediction import (
    next_step,
    next_step_bound,
    next_step_error,
    next_step_name,
)
from nem_tf.scores.segmentation import (
    Grouping,
    ari_with_background,
    best_overlap,
    foreground_ami,
    foreground_ari,
    grouping,
    volume,
)
from nem_tf.scores.tables import contingency_table, labelled
from nem_tf.scores.unlabelled import (
    Foretold,
    foretold,
    moving,
    moving_foretold,
    moving_found,
    psnr,
)

__all__ = [
    "AdjustedRandIndex",
    "DistinctComponents",
    "Drawn",
    "Foretold",
    "Grouping",
    "Purity",
    "adjusted_mutual_information",
    "adjusted_rand_index",
    "ami_from_tables",
    "ari_from_table",
    "ari_with_background",
    "best_overlap",
    "confidence",
    "contingency_table",
    "distinct_components",
    "distinct_from_table",
    "drawn",
    "foreground_ami",
    "foreground_ari",
    "foretold",
    "grouping",
    "labelled",
    "labelled_ami",
    "median_background",
    "moving",
    "moving_foretold",
    "moving_found",
    "next_step",
    "next_step_bound",
    "next_step_error",
    "next_step_name",
    "no_learning",
    "order_of_objects",
    "otsu",
    "psnr",
    "purity",
    "purity_from_table",
    "volume",
]
