"""Scores: how well pixels are grouped, and the next frame predicted.

`adjusted_mutual_information` is the paper's. Those of `metrics` work inside a graph.
"""

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
from nem_tf.scores.prediction import next_step_bound
from nem_tf.scores.tables import contingency_table, labelled

__all__ = [
    "AdjustedRandIndex",
    "DistinctComponents",
    "Drawn",
    "Purity",
    "adjusted_mutual_information",
    "adjusted_rand_index",
    "ami_from_tables",
    "ari_from_table",
    "confidence",
    "contingency_table",
    "distinct_components",
    "distinct_from_table",
    "drawn",
    "labelled",
    "labelled_ami",
    "next_step_bound",
    "order_of_objects",
    "purity",
    "purity_from_table",
]
