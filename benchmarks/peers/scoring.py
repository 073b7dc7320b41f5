"""Scores of what any method found, by the functions of `nem_tf.scores`."""

import numpy as np


def score(groups, segments):
    """Mean AMI and foreground ARI of images.

    Args:
        groups: labels (N, H, W), 0 is not scored.
        segments: integers (N, H, W) of at least 0, whatever they mean.

    Returns:
        dict of floats: "ami" and "ari".
    """
    from nem_tf import scores

    return {
        "ami": float(np.nanmean(scores.foreground_ami(groups, segments))),
        "ari": float(np.nanmean(scores.foreground_ari(groups, segments))),
    }


def score_both(clips, segment, noise):
    """`score` of the last frame, of the clips with noise and without.

    Args:
        clips: `tasks.Clips`.
        segment: function from frames (N, T + 1, H, W, C) to segments (N, H, W).
        noise: whether there is any.

    Returns:
        dict: "noisy" (None where there is no noise) and "clean", each as `score`.
    """
    groups = clips.groups[:, -1]
    return {
        "noisy": score(groups, segment(clips.noisy)) if noise else None,
        "clean": score(groups, segment(clips.clean)),
    }
