"""Several random starts of a clip, and the likeliest of them.

EM finds a local optimum; which one depends on where it begins. As for any mixture, the
remedy is to begin several times and to keep what explains the data best. That is told
from the frames alone: no label is looked at.
"""

import numpy as np
from keras import ops

from nem_tf import draws, losses
from nem_tf.random_start import random_start


def check_starts(starts):
    """`starts`, if it is a whole number of at least 1.

    Raises:
        ValueError: if it is not.
    """
    if starts != int(starts) or starts < 1:
        raise ValueError(
            f"starts: expected a whole number of at least 1, received {starts}"
        )
    return int(starts)


def several_starts(pi, starts):
    """The random start of each clip, and further ones that follow from it.

    Args:
        pi: shape `(B, K, H, W, 1)`.
        starts: how many each clip gets.

    Returns:
        NumPy array `(B * starts, K, H, W, 1)`, those of a clip side by side, the given
        one first.
    """
    pi = np.asarray(pi, "float32")
    if starts == 1:
        return pi
    components, height, width = pi.shape[1:4]
    seeds = draws.spread(draws.fingerprint(pi[:, 0]), starts - 1)  # (B (starts - 1),)
    more = random_start(seeds, components, (height, width, 1))
    more = ops.convert_to_numpy(more).reshape(-1, starts - 1, *pi.shape[1:])
    return np.concatenate([pi[:, None], more], 1).reshape(-1, *pi.shape[1:])


def likeliest(nem, clips, starts):
    """Group clips from several random starts each, and keep the likeliest.

        fit = sum over t of log_likelihood(x_noisy[t], psi[t-1])

    What counts is how well a start's components together predicted the frames that the
    network saw; it takes a whole clip, so it is not for a stream.

    Args:
        nem: a `NeuralEM`.
        clips: dict of NumPy arrays `clean`, `noisy` and `pi`, as `nem` takes them.
        starts: random starts per clip, at least 1; time and memory grow with it.

    Returns:
        dict of `psi` and `gamma`, as `nem` returns them, and the `pi` that they began
        with, each of a clip's likeliest start.

    Raises:
        ValueError: if `starts` is below 1, or the clips do not fit the model.
    """
    starts = check_starts(starts)
    inputs = {name: np.repeat(clips[name], starts, 0) for name in ("clean", "noisy")}
    inputs["pi"] = several_starts(clips["pi"], starts)
    outputs = {**nem.predict_on_batch(inputs), "pi": inputs["pi"]}
    if starts == 1:
        return outputs
    psi, seen = outputs["psi"][:, :-1], inputs["noisy"][:, 1:]
    fit = losses.log_likelihood(seen, psi, nem.cell.likelihood)  # (B starts, T - 1)
    fit = ops.convert_to_numpy(ops.sum(fit, 1)).reshape(-1, starts)
    best = fit.argmax(1) + starts * np.arange(len(fit))
    return {name: np.asarray(values)[best] for name, values in outputs.items()}
