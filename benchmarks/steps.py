"""One training step, written three ways: ours, straightforward, and in PyTorch.

Each function returns the step as a function without arguments that returns the loss.
The straightforward one runs on the weights of a model of ours, so the first losses of
the two are equal, which a test asserts.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Task:
    """What is trained: the experiment and its sizes."""

    experiment: str = "flying_shapes"  # or static_shapes
    T: int = 20
    K: int = 3
    B: int = 64

    @property
    def static(self):
        return self.experiment == "static_shapes"


FLYING = Task()
STATIC = Task("static_shapes", T=15, K=4)
TINY = Task(T=2, K=2, B=2)
TINY_STATIC = Task("static_shapes", T=2, K=2, B=2)


def model(task, precision="float32", jit_compile="auto", **settings):
    """The paper's network of a task, compiled."""
    import keras

    from nem_tf import NEMLoss, NeuralEM, RNNEMCell, networks

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    parts = getattr(networks, task.experiment)()
    nem = NeuralEM(RNNEMCell(**parts, components=task.K), objects=3, **settings)
    loss = NEMLoss("bernoulli", steps="last" if task.static else "all")
    nem.compile(keras.optimizers.Adam(0.001), loss=loss, jit_compile=jit_compile)
    return nem


def clips(task):
    """One batch of a task, as TensorFlow tensors."""
    from nem_tf import data

    make = getattr(data, task.experiment)
    sizes = {"steps": task.T, "components": task.K, "batch_size": task.B}
    return next(iter(make(**sizes, clips=task.B)))


def ours(task, precision="float32", lanes=None, **settings):
    """The step that `NeuralEM.fit` does, its metrics included.

    Lanes and threads are the trainers', or as many lanes as given on default threads.
    """
    from trainers.training import devices

    batch_lanes = devices.lanes_of(task.B) if lanes is None else lanes
    if lanes is None:
        devices.share_cores(batch_lanes)
    nem, batch = model(task, precision, **settings), clips(task)
    nem.lanes = batch_lanes
    return lambda: nem.train_on_batch(batch, return_dict=True)["loss"]


def product(precision, size=2048, times=4):
    """Products of two large square matrices: what this machine can do at its best."""
    import tensorflow as tf

    a, b = (tf.cast(tf.random.normal((size, size)), precision) for _ in range(2))

    @tf.function
    def multiply():
        return sum(tf.matmul(a + i, b)[0, 0] for i in range(times))

    return lambda: multiply().numpy()


def product_operations(size=2048, times=4):
    """Multiplications and additions of a call of `product`."""
    return 2 * times * size**3


def operations(task):
    """Multiplications and additions of a training step, in its products alone.

    Counted with the taps of `UpsampleConv2D` added up to 3 x 3, once forwards and twice
    backwards.
    """
    cell = model(task).cell
    count, (height, width, _) = 0.0, cell.frame_shape
    for layer in (*cell.encoder.layers, cell.recurrence, *cell.decoder.layers):
        if not hasattr(layer, "kernel"):
            continue
        weights = math.prod(layer.kernel.shape)
        kind = type(layer).__name__
        if kind == "HalvingConv2D":
            height, width = height // 2, width // 2
            weights *= height * width
        elif kind == "UpsampleConv2D":
            height, width = 2 * height, 2 * width
            weights *= height * width * 9 / 16
        count += weights
    return 2 * 3 * count * task.B * task.K * task.T


def straightforward(task):
    """The step in plain TensorFlow, as one would write it from the paper.

    Nearest-neighbour resize and then the convolution, layer norm by `tf.nn.moments`, a
    graph with one copy of the cell per step, no metrics.
    """
    import tensorflow as tf

    nem, batch = model(task), clips(task)
    x, noisy, pi = batch["clean"], batch["noisy"], batch["pi"]
    cell, optimizer = nem.cell, nem.optimizer
    weights = nem.trainable_variables
    optimizer.build(weights)

    def m_step(delta, theta):
        features = _through(cell.encoder, tf.reshape(delta, (-1, *delta.shape[2:])))
        recurrence = cell.recurrence
        z = tf.concat([features, theta], 1) @ recurrence.kernel.value
        z = z + recurrence.bias.value
        theta = read = tf.sigmoid(z)
        if recurrence.normalize:
            read = tf.sigmoid(_layer_norm(recurrence.norm, z))
        psi = tf.sigmoid(_through(cell.decoder, read))
        return theta, tf.reshape(psi, delta.shape)

    def e_step(frame, psi, pi):
        p = frame * psi + (1.0 - frame) * (1.0 - psi) + 1e-6
        p = pi * p
        gamma = p / tf.reduce_sum(p, 1, keepdims=True)
        return gamma if task.static else tf.stop_gradient(gamma)

    def loss_of(frame, psi, gamma):
        safe = tf.clip_by_value(psi, 1e-6, 1.0 - 1e-6)
        nll = -frame * tf.math.log(safe) - (1.0 - frame) * tf.math.log(1.0 - safe)
        kl = -tf.math.log(tf.clip_by_value(1.0 - psi, 1e-6, 1.0))
        terms = gamma * nll + (1.0 - gamma) * kl
        return tf.reduce_sum(terms) / task.B

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            theta = tf.zeros((task.B * task.K, cell.units))
            psi = tf.zeros((task.B, task.K, *x.shape[2:]))
            weight, loss = pi, 0.0
            for t in range(task.T):
                gamma = e_step(x[:, t, None], psi, weight)
                theta, psi = m_step(gamma * (noisy[:, t, None] - psi), theta)
                weight = 1.0 / task.K
                if not task.static or t == task.T - 1:
                    following = x[:, t + 1, None]
                    gamma = e_step(following, psi, weight)
                    loss += loss_of(following, psi, gamma)
        values = [weight.value for weight in weights]
        gradients = tape.gradient(loss, values)
        optimizer.apply(gradients, weights)
        return loss

    return lambda: step().numpy()


def _through(layers, x):
    """What a Sequential of ours computes, in the ops of a first draft."""
    import keras
    import tensorflow as tf

    for layer in layers.layers:
        kind = type(layer).__name__
        if kind == "HalvingConv2D":
            x = tf.nn.conv2d(x, layer.kernel.value, 2, "SAME") + layer.bias.value
        elif kind == "UpsampleConv2D":
            x = tf.image.resize(x, (2 * x.shape[1], 2 * x.shape[2]), "nearest")
            x = tf.nn.conv2d(x, layer.kernel.value, 1, "SAME") + layer.bias.value
        elif kind == "Dense":
            x = x @ layer.kernel.value + layer.bias.value
        elif hasattr(layer, "gamma") and hasattr(layer, "beta"):
            x = _layer_norm(layer, x)
            activation = getattr(layer, "activation", None)
            x = x if activation is None else keras.activations.get(activation)(x)
        else:
            x = layer(x)  # Flatten, Reshape, Activation
    return x


def _layer_norm(layer, x):
    import tensorflow as tf

    axes = list(range(1, x.shape.rank))
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    x = (x - mean) / tf.sqrt(variance + 1e-12)
    return x * layer.gamma.value + layer.beta.value


def pytorch(task, compiled=False):
    """The step of flying shapes as a PyTorch user would write it."""
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(0)
    batch = {name: np.asarray(value) for name, value in clips(task).items()}
    x, noisy = (
        torch.from_numpy(np.moveaxis(batch[name], -1, 2).copy())
        for name in ("clean", "noisy")
    )  # (B, T, 1, H, W)
    pi = torch.from_numpy(np.moveaxis(batch["pi"], -1, 2).copy())  # (B, K, 1, H, W)

    class Upsample(nn.Module):
        def __init__(self, before, after):
            super().__init__()
            self.conv = nn.Conv2d(before, after, 4)

        def forward(self, x):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            return self.conv(F.pad(x, (1, 2, 1, 2)))

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(
                *(nn.Conv2d(1, 32, 4, 2, 1), nn.GroupNorm(1, 32, 1e-12), nn.ELU()),
                *(nn.Conv2d(32, 64, 4, 2, 1), nn.GroupNorm(1, 64, 1e-12), nn.ELU()),
                nn.Flatten(),
                *(nn.Linear(7 * 7 * 64, 512), nn.LayerNorm(512, 1e-12), nn.ELU()),
            )
            self.recurrence = nn.Linear(512 + 100, 100)
            self.norm = nn.LayerNorm(100, 1e-12)
            self.decoder = nn.Sequential(
                *(nn.Linear(100, 512), nn.LayerNorm(512, 1e-12), nn.ReLU()),
                *(nn.Linear(512, 7 * 7 * 64), nn.LayerNorm(7 * 7 * 64, 1e-12)),
                *(nn.ReLU(), nn.Unflatten(1, (64, 7, 7))),
                *(Upsample(64, 32), nn.GroupNorm(1, 32, 1e-12), nn.ReLU()),
                Upsample(32, 1),
            )

        def forward(self, delta, theta):
            features = self.encoder(delta.flatten(0, 1))
            z = self.recurrence(torch.cat([features, theta], 1))
            psi = torch.sigmoid(self.decoder(torch.sigmoid(self.norm(z))))
            return torch.sigmoid(z), psi.view_as(delta)

    def e_step(frame, psi, pi):
        p = pi * (frame * psi + (1 - frame) * (1 - psi) + 1e-6)
        return (p / p.sum(1, keepdim=True)).detach()

    def loss_of(frame, psi, gamma):
        safe = psi.clamp(1e-6, 1 - 1e-6)
        nll = -frame * safe.log() - (1 - frame) * (1 - safe).log()
        kl = -(1 - psi).clamp(1e-6, 1).log()
        return (gamma * nll + (1 - gamma) * kl).sum() / task.B

    def forward(x, noisy, pi):
        theta = torch.zeros(task.B * task.K, 100)
        psi = torch.zeros(task.B, task.K, *x.shape[2:])
        loss = torch.zeros(())
        for t in range(task.T):
            gamma = e_step(x[:, t, None], psi, pi)
            theta, psi = cell(gamma * (noisy[:, t, None] - psi), theta)
            pi = torch.full_like(pi, 1 / task.K)
            gamma = e_step(x[:, t + 1, None], psi, pi)
            loss = loss + loss_of(x[:, t + 1, None], psi, gamma)
        return loss

    cell = Cell()
    if compiled:
        cell, e_step, loss_of = map(torch.compile, (cell, e_step, loss_of))
    optimizer = torch.optim.Adam(cell.parameters(), 0.001)

    def step():
        optimizer.zero_grad()
        loss = forward(x, noisy, pi)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
