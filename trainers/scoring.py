"""Scores of a trained model on test clips, in the form of results.json."""

import numpy as np
from keras import ops

from nem_tf import NeuralEM, adjusted_mutual_information, losses, metrics


def score(nem: NeuralEM, clips) -> dict:
    """Score a compiled model on every clip of a dataset.

    AMI divides by the larger entropy, as the paper's does; `ami_arithmetic` by their
    mean, scikit-learn's default since 0.22. Background and overlap are not scored.

    Args:
        nem: the model; K is what the clips' random start says.
        clips: dataset of `nem_tf.data`.

    Returns:
        the `test` part of results.json: `ami`, `ami_arithmetic` and `ari` per step with
        their mean and last value, the confidence and diagnostics at the last step, the
        loss (nats per clip), and Figure 5's bound at the last step (nats per frame).
    """
    collected: dict[str, list[np.ndarray]] = {}
    for batch in clips.as_numpy_iterator():  # no backend needs TensorFlow's tensors
        for name, values in _score_batch(nem, batch).items():
            collected.setdefault(name, []).append(np.asarray(values, "float64"))
    scores = {name: np.concatenate(values) for name, values in collected.items()}
    curves = ("ami", "ami_arithmetic", "ari")
    return {
        "clips": len(scores["loss"]),
        **{name: _curve(scores.pop(name)) for name in curves},
        **{name: float(np.mean(values)) for name, values in scores.items()},
    }


def _score_batch(nem, batch):
    """Scores of each clip, (B, T) for the curves and (B,) for the rest."""
    outputs = nem.predict_on_batch(batch)
    psi, gamma = outputs["psi"], outputs["gamma"]
    groups, x = batch["groups"][:, 1:], batch["clean"][:, 1:]
    table = metrics.contingency_table(groups, gamma, nem.objects)  # (B, T, K, n)
    last = table[:, -1]
    intra, inter = nem.loss.terms(x, outputs)
    labels = np.asarray(groups)
    return {
        "ami": adjusted_mutual_information(labels, gamma),
        "ami_arithmetic": adjusted_mutual_information(labels, gamma, "arithmetic"),
        "ari": metrics.ari_from_table(table),
        "confidence": metrics.confidence(groups[:, -1], gamma[:, -1]),
        "distinct_components": metrics.distinct_from_table(last),
        "purity": metrics.purity_from_table(last),
        "loss": intra + nem.loss.inter_weight * inter,
        "intra": intra,
        "inter": inter,
        "next_step_bound": losses.next_step_bound(
            x[:, -1], ops.cast(psi[:, -1], "float32"), nem.loss.likelihood
        ),
    }


def _curve(scores):
    per_step = np.mean(scores, axis=0)
    return {
        "last": float(per_step[-1]),
        "mean": float(np.mean(per_step)),
        "per_step": [round(float(value), 6) for value in per_step],
    }
