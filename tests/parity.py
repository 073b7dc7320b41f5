"""Compare nem_tf with numbers recorded from the authors' original implementation.

    python -m tests.parity FILE.npz [FILE.npz ...]

Builds the network that each golden case describes, loads its weights, runs it and
prints the largest absolute difference of every quantity. Exit status 0 when each is
below 1e-4 (gradients: 1e-3) of that quantity's largest value, 1 when one is not, 2 when
a file cannot be read.
"""

import argparse
import dataclasses
import json
import os
import re
import sys
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from nem_tf import axes, losses, networks, scores
from nem_tf.cells.e_step import EStep
from nem_tf.cells.nem_cell import NEMCell
from nem_tf.cells.rnn_em_cell import RNNEMCell
from nem_tf.model import NeuralEM

TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3


@dataclasses.dataclass
class Row:
    """One compared quantity."""

    name: str
    difference: float  # largest absolute difference
    scale: float  # largest absolute value in the golden case
    tolerance: float

    @property
    def passed(self):
        return self.difference <= self.tolerance * self.scale


class Golden:
    """One golden case: its arrays, and the network that its weights describe."""

    def __init__(self, path):
        with np.load(path) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}
        self.config = json.loads(str(self.arrays["config"]))
        self.names = sorted(
            (name[len("weight/") :] for name in self.arrays if "weight/" in name),
            key=_creation_order,
        )

    def __getitem__(self, name):
        return self.arrays[name]

    def weight(self, name):
        return self.arrays[f"weight/{name}"]

    def kernels(self, part):
        """Shapes of the convolutions and of the dense layers under a name prefix."""
        ours = [name for name in self.names if f"/{part}" in name and "weights" in name]
        shapes = [self.weight(name).shape for name in ours]
        return [s for s in shapes if len(s) == 4], [s for s in shapes if len(s) == 2]

    @property
    def sequential(self):
        """Whether the loss is taken at all steps, with gamma a constant."""
        return bool(self.config.get("sequential", True))

    def model(self):
        """The NeuralEM that this case describes, with its weights and loss."""
        likelihood = "bernoulli" if self.config["binary"] else "gaussian"
        e_step = EStep(likelihood, differentiable=not self.sequential)
        size, channels = self["data"].shape[3:5], self["data"].shape[5]
        components = self["gamma_init"].shape[1]
        units = self["theta"].shape[-1]
        convs, denses = self.kernels("InputWrapper")
        up_convs, up_denses = self.kernels("OutputWrapper")
        if any("NEMCell" in name for name in self.names):
            cell = NEMCell(units, (*size, channels), e_step, components)
        elif convs:
            parts = networks.convolutional(
                units,
                denses[0][-1],
                filters=[shape[-1] for shape in convs],
                size=size,
                channels=channels,
                e_step=e_step,
                # The encoder's entries are counted: [input norm,] reshape, conv, ...
                normalize_input="NEM/InputWrapper2/Conv/weights" == self.names[0],
                decoder_filters=[shape[-1] for shape in up_convs[:-1]],
                decoder_features=up_denses[0][-1],
            )
            cell = RNNEMCell(**parts, components=components)
        else:
            parts = networks.fully_connected(
                units, size=size, channels=channels, e_step=e_step
            )
            cell = RNNEMCell(**parts, components=components)
        nem = NeuralEM(cell)
        for variable, name in zip(nem.trainable_variables, self.names, strict=True):
            variable.assign(np.reshape(self.weight(name), variable.shape))
        nem.compile(
            loss=losses.NEMLoss(
                likelihood,
                inter_weight=self.config.get("inter", 1.0),
                steps="all" if self.sequential else "last",
            )
        )
        return nem

    def inputs(self):
        """The case's clips as `NeuralEM` takes them."""
        clean = np.swapaxes(self["data"][:, :, 0], 0, 1)  # (B, T+1, H, W, C)
        noisy = np.swapaxes(self["noisy"][:-1, :, 0], 0, 1)  # (B, T, H, W, C)
        return {"clean": clean, "noisy": noisy, "pi": self["gamma_init"]}


def compare(path):
    """Run one golden case and compare every quantity it has.

    Args:
        path: the `.npz` file.

    Returns:
        list of `Row`.
    """
    golden = Golden(path)
    nem, inputs = golden.model(), golden.inputs()
    x = inputs["clean"][:, 1:]
    with tf.GradientTape() as tape:
        outputs = nem(inputs)
        loss = nem.compute_loss(inputs, y_pred=outputs)
    gradients = tape.gradient(loss, nem.trainable_variables)

    likelihood, weight = nem.cell.likelihood, nem.loss.inter_weight
    psi, gamma = outputs["psi"], outputs["gamma"]
    intra = losses.intra_cluster(x, psi, gamma, likelihood)  # (B, T)
    inter = losses.inter_cluster(psi, gamma, likelihood)  # (B, T)
    per_step = ops.stack([intra + weight * inter, intra, inter], axis=-1)  # (B, T, 3)
    bound = scores.next_step_bound(x, psi, likelihood)  # (B, T)

    ours = {
        "theta": _theta_of_each_step(nem.cell, inputs),
        "psi": np.swapaxes(psi, 0, 1),
        "gamma": np.swapaxes(gamma, 0, 1),
        "losses_total_intra_inter": np.mean(per_step, axis=0),
        "upper_bound": np.mean(bound, axis=0),
        "loss": loss,
    }
    theirs = {name: golden[name] for name in ours}
    for name in ("theta", "psi", "gamma"):
        theirs[name] = theirs[name][1:].reshape(ours[name].shape)  # without the start
    rows = [_row(name, ours[name], theirs[name], TOLERANCE) for name in ours]
    for name, gradient in zip(golden.names, gradients, strict=True):
        recorded = golden[f"grad/{name}"]
        rows.append(_row(f"grad/{name}", gradient, recorded, GRADIENT_TOLERANCE))
    return rows


def _theta_of_each_step(cell, inputs):
    """theta after each step, shape (T, B, K, M); the model itself returns psi only."""
    states = cell.get_initial_state(pi=inputs["pi"])
    thetas = []
    for step in range(inputs["noisy"].shape[1]):
        frames = axes.pack_frames(inputs["clean"][:, step], inputs["noisy"][:, step])
        _, states = cell(frames, states)
        thetas.append(np.asarray(states[0]))
    return np.stack(thetas)


def _row(name, ours, theirs, tolerance):
    ours = np.reshape(np.asarray(ours), theirs.shape)
    difference = np.max(np.abs(ours - theirs))
    return Row(name, float(difference), float(np.max(np.abs(theirs))), tolerance)


def _creation_order(name):
    """Sort key: the original's variables in the order of the model's weights."""
    norm = re.search(r"LayerNorm([IRO])(\d+)", name)
    layer = re.search(r"(Input|Output)Wrapper(\d+)", name)
    letter, index = norm.groups() if norm else ("R", 0)
    if layer:
        letter, index = layer.group(1)[0], layer.group(2)
    place = ("kernel", "scalar", "weights", "bias", "biases", "gamma", "beta")
    return "IRO".index(letter), int(index), bool(norm), place.index(name.split("/")[-1])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE.npz", help="golden cases")
    options = parser.parse_args(arguments)
    keras.config.set_dtype_policy("float32")
    passed = True
    for path in options.files:
        try:
            rows = compare(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            print(f"{path}: expected a golden case: {error}", file=sys.stderr)
            return 2
        print(f"{path}\n{'quantity':72} {'difference':>11} {'largest':>11}")
        for row in rows:
            verdict = "ok" if row.passed else f"above {row.tolerance:g} of the largest"
            print(f"{row.name:72} {row.difference:11.3e} {row.scale:11.3e}  {verdict}")
        passed = passed and all(row.passed for row in rows)
    print("all within tolerance" if passed else "NOT within tolerance")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
