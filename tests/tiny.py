"""Tiny models and batches, with pairwise distinct sizes so that no axis can hide."""

import numpy as np

from nem_tf import EStep, NEMCell, NEMLoss, NeuralEM, RNNEMCell, networks

B, T, K, H, W, C = 2, 3, 4, 8, 12, 1


def cell(kind="dense", likelihood="bernoulli", channels=C, components=K):
    """A cell with few weights: "conv", "dense", "n-em", "rows" or "patches"."""
    e_step = EStep(likelihood)
    if kind == "n-em":
        return NEMCell(7, (H, W, channels), e_step, components)
    if kind in ("rows", "patches"):
        sizes = {"filters": 3, "features": 6, "units": 7, "size": (H, W)}
        sizes |= {"channels": channels, "e_step": e_step}
        if kind == "rows":
            parts = networks.places(object_size=(3, 5), rank=2, **sizes)
        else:
            parts = networks.tracking(object_size=(2, 4), reach=1, **sizes)
    elif kind == "dense":
        parts = networks.fully_connected(
            7, features=6, size=(H, W), channels=channels, e_step=e_step, normalize=True
        )
    else:
        parts = networks.convolutional(
            7,
            9,
            filters=(5, 6),
            size=(H, W),
            channels=channels,
            e_step=e_step,
            normalize_input=likelihood == "gaussian",
        )
    return RNNEMCell(**parts, components=components)


def model(kind="dense", likelihood="bernoulli", channels=C, components=K, eager=False):
    """A compiled model around `cell`; without graphs, some updates are quicker."""
    nem = NeuralEM(cell(kind, likelihood, channels, components), objects=3)
    nem.compile("adam", loss=NEMLoss(likelihood), run_eagerly=eager)
    return nem


def batch(rng, binary=True, channels=C, components=K, clips=B, steps=T):
    """Random clips in the form of `nem_tf.data`."""
    clean = rng.random((clips, steps + 1, H, W, channels))
    clean = (clean < 0.3 if binary else clean).astype("float32")
    pi = np.abs(rng.standard_normal((clips, components, H, W, 1))).astype("float32")
    return {
        "clean": clean,
        "noisy": np.ascontiguousarray(clean[:, :-1]),
        "pi": pi / pi.sum(axis=1, keepdims=True),
        "groups": rng.integers(0, 4, (clips, steps + 1, H, W)).astype("int32"),
        "index": np.arange(clips),
    }
