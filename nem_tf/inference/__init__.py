"""What a trained model is used for: whole clips, several starts, live video."""

from nem_tf.inference.segment import Segmentation, segment
from nem_tf.inference.starts import (
    LikeliestSoFar,
    fit,
    likeliest,
    log_likelihood,
    several_seeds,
    several_starts,
)
from nem_tf.inference.stream import Stream
from nem_tf.inference.used import only_used, present, used_components

__all__ = [
    "LikeliestSoFar",
    "Segmentation",
    "Stream",
    "fit",
    "likeliest",
    "log_likelihood",
    "only_used",
    "present",
    "segment",
    "several_seeds",
    "several_starts",
    "used_components",
]
