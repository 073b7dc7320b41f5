"""What both cells share: one EM iteration per frame, a step of keras.layers.RNN."""

import math
from numbers import Integral

import keras
import numpy as np
from keras import ops

from nem_tf import axes, draws
from nem_tf.cells.e_step import EStep
from nem_tf.random_start import random_start, sides
from reading import background as backgrounds

STARTS = ("random", "sides")
ENOUGH = 0.5  # of an object's pixels; a component that has as many counts half
LEAST = 0.003  # weight of a component without any, beside 1
KEPT = 0.5  # of the mixing weights of the frame before
MOST = 1.2  # of an even share of the objects; a component that has it counts half, too
SPREAD = 0.2  # of an object, by which objects may be larger than object_pixels
FROM_BLACK = 0.25  # the `foreground` of cells without one
NEAR = 0.1  # of psi at its brightest: what a halo adds in the middle


class EMCell(keras.layers.Layer):
    """One iteration of Expectation Maximization when frame x[t] arrives (Figure 1).

        gamma        = E-step(x[t], psi, pi)                          (Eq. 3)
        theta', psi' = M-step(theta, evidence(gamma, x_noisy[t], psi))
        pi'          = 1/K                                  (see `object_pixels`)
        evidence     = gamma * (x_noisy[t] - psi)

    psi' is the prediction of x[t+1]. Subclasses define `m_step`. Eq. 4 and Sec. 4.2
    print psi - x, which would go downhill; the original computes x - psi.

    The original begins with a random gamma. Here pi is that random start: before the
    first frame psi is 0 for all k, hence gamma = pi.

    The prior P(x_i) of Eq. 5 is black in the paper. With a `foreground`, it is a
    background image b of each clip, and the cell is layered: psi begins as b, and

        theta', psi' = M-step(theta, evidence(gamma, x_noisy[t] - b, psi - b)) + b

    so that the networks see and draw what differs from the background alone.

    Nor need K be the number of objects. With `object_pixels`, A, the mixing weights of
    Eq. 1 have an M-step of their own:

        m_k   = sum_i w_i gamma_ik,   w = 1 - 2^-(|x - b| / foreground)^2
        n     = max(1, ceil(sum_k m_k / K A - 0.2))
        a_k   = m_k^3 / (m_k^3 + (A / 2)^3) / (1 + (m_k / 1.2 n A)^12) + 0.003
        pi'_k = (pi_k + a_k / sum a) / 2

    w says how surely a pixel is not background; without a `foreground` b is black and
    0.25 in its place. A `foreground` of each pixel is the deviation that Eq. 5's prior
    has there.

    EM's own answer is a_k = m_k: of components that share an object the one that has
    more gets more, and in the end all. But so does a large object of a small one. Here
    all that have about an object's pixels count alike: those that share one compete,
    spare ones end empty, and one that has two objects loses one of them, unless there
    are more objects than components: n is how many one of these must have. In training
    pi' is 1/K: while nothing is learned yet, all share everything, and the first to
    have a little more would get it (AMI after 300 updates on flying shapes 0.68, else
    0.90). That teaches to share, and where K is always more than there are objects, to
    have a part of each; `fewest_components` teaches to have one alone
    (docs/experiments.md).

    Where there are more objects than components, some are explained by none, and
    gamma is then decided pixel by pixel, by what little the components predict there.
    With a `halo` all pixels of such an object go to the component that is nearest:

        h_k    = blur(psi_k) / max blur(psi_k)        Gaussian, `halo` pixels wide
        psi_k := psi_k + 0.1 h_k (1 - psi_k)          in the E-step alone

    Args:
        frame_shape: (H, W, C).
        units: M, the size of theta.
        e_step: an `EStep`, or the name of its likelihood.
        components: K of `get_initial_state` when the call does not bring its own; the
            weights fit any K.
        floor: added to P(x | psi) for the evidence, so that components share a pixel
            that none of them explains; 0 in the paper. Else, of two
            components that predict a lost object with 1e-3 and 1e-6, one takes all of
            it, and the other never gets anything to learn from again: with the paper's
            rule components may die in training, which is how one comes to draw two
            objects; with 0.02 they did not (docs/experiments.md). The gamma that is
            returned and that of the loss have no floor.
        keep_floor: whether the floor is there outside training. A component that lost
            its object finds it again then, and a noisy pixel does not change sides; one
            that has none, since there are more components than objects, gets pixels of
            others.
        floor_in_training: whether the floor is there in training.
        start: what becomes of the random start: `"random"`, the original's, it is pi as
            it comes, or `"sides"`: each component begins with one side of the frame,
            see `random_start.sides`.
        theta_noise: in training, standard deviation of noise on theta on its way to
            psi; 0 in the paper. What theta can hold is then limited, and one object is
            cheaper to hold than parts of two. The theta that is carried on has none. It
            is drawn from the noisy frame: the same frame, the same noise.
        foreground: distance from the background, Euclidean over the channels, from
            which on a pixel is an object's; a number, or `(H, W)`, one of each pixel,
            where some flicker more, see `reading.background.distances`; None, the
            paper's, is no background.
        background: how `segment` and streams find the background of frames that come
            without: "plain", "still" or "auto", see `reading.background`.
        object_pixels: A, about how many pixels of a frame an object has; 0, the
            paper's, is pi' = 1/K.
        halo: how far a component reaches beyond what it predicts, standard deviation
            in pixels; 0, the paper's, is not at all.
        fewest_components: in training, with how many components a clip begins at least:
            from so many to K, drawn anew; the others begin without a pixel, and
            `object_pixels`, which it takes, is on. 0, the paper's, is all K.

    Call arguments:
        packed: x[t] and x_noisy[t] as `axes.pack_frames` puts them together, shape
            `(B, 2H, W, C)`.
        states: `[theta, psi, pi]`, shapes `(B, K, M)`, `(B, K, H, W, C)` and
            `(B, K, H, W, 1)`; of a layered cell also the background, `(B, H, W, C)`.
        training: then `floor_in_training` says whether there is a floor, else
            `keep_floor`; `theta_noise` is on then, and `object_pixels` is off, unless
            there are `fewest_components`, which are on.

    Returns:
        psi' `(B, K*H*W*C)`, flat since that is what `keras.layers.RNN` knows of
        outputs; with `object_pixels` pi' behind it, `(B, K*H*W*C + K)` in all
        (`predicted` reads them); and the new states `[theta', psi', pi']`, with the
        background if there was one.

    Raises:
        ValueError: if `components` or `units` is below 1, `floor`, `theta_noise`,
            `object_pixels`, `halo` or `fewest_components` negative, the last without
            `object_pixels`, a halo over a background, `start` unknown, `foreground` not
            above 0, of another shape, or without Gaussian pixels, or a shape does not
            fit.
    """

    unused: tuple[str, ...] = ()  # arguments below that a subclass does without
    begins = False  # whether `iterate` gives pixels to components that only begin
    kept_in_training = 0  # float32 numbers for each of psi, for gradients; 0: not known

    def __init__(
        self,
        frame_shape,
        units,
        e_step,
        components=3,
        floor=0.0,
        keep_floor=False,
        start="random",
        theta_noise=0.0,
        foreground=None,
        background="auto",
        object_pixels=0.0,
        halo=0.0,
        fewest_components=0,
        floor_in_training=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (("units", units), ("components", components)):
            if value != int(value) or value < 1:
                raise ValueError(
                    f"{name}: expected a whole number of at least 1, received {value}"
                )
        if len(frame_shape) != 3:
            raise ValueError(
                f"frame_shape: expected (H, W, C), received {tuple(frame_shape)}"
            )
        for name, value in (
            ("floor", floor),
            ("theta_noise", theta_noise),
            ("object_pixels", object_pixels),
            ("halo", halo),
            ("fewest_components", fewest_components),
        ):
            if not value >= 0:
                raise ValueError(f"{name}: expected at least 0, received {value}")
        if start not in STARTS:
            raise ValueError(
                f"start: expected {' or '.join(STARTS)}, received {start!r}"
            )
        if background not in backgrounds.KINDS:
            raise ValueError(
                f"background: expected {', '.join(backgrounds.KINDS)}, received "
                f"{background!r}"
            )
        self.frame_shape = tuple(int(size) for size in frame_shape)
        self.units = int(units)
        self.noisy_units = self.units
        self.e_step = e_step if isinstance(e_step, EStep) else EStep(e_step)
        self.components = int(components)
        self.floor = float(floor)
        self.keep_floor = bool(keep_floor)
        self.floor_in_training = bool(floor_in_training)
        self.start = start
        self.theta_noise = float(theta_noise)
        self.foreground = _distance(foreground, self.frame_shape[:2])
        self.background = background
        self.object_pixels = float(object_pixels)
        self.halo = float(halo)
        self.fewest_components = int(fewest_components)
        if self.fewest_components and not self.weighs:
            raise ValueError(
                "fewest_components: expected 0 without object_pixels, received "
                f"{fewest_components}; say how many pixels an object has"
            )
        if self.layered and self.halo:
            raise ValueError(
                f"halo: expected 0 with a foreground, received {halo}; leave one out"
            )
        if self.layered and self.likelihood.binary:
            raise ValueError(
                "foreground: expected none with pixels that are black or white, "
                f"received {foreground}; leave it out, or take a Gaussian likelihood"
            )

    @property
    def layered(self):
        """Whether the prior is a background image; then it is one of the states."""
        return self.foreground is not None

    @property
    def likelihood(self):
        return self.e_step.likelihood

    @property
    def state_size(self):
        height, width, channels = self.frame_shape
        sizes = [
            (self.components, self.units),
            (self.components, height, width, channels),
            (self.components, height, width, 1),
        ]
        return [*sizes, self.frame_shape] if self.layered else sizes

    @property
    def output_size(self):
        return self.components * (math.prod(self.frame_shape) + self.weighs)

    @property
    def weighs(self):
        """Whether the mixing weights follow what the components explain."""
        return self.object_pixels > 0

    @property
    def thins(self):
        """Whether some clips begin with fewer components in training."""
        return self.weighs and self.fewest_components > 0

    @property
    def switches(self):
        """What may be set at any time; a graph is of the values it was made for."""
        floor = self.floor, self.keep_floor, self.floor_in_training
        return *floor, self.object_pixels, self.halo

    @property
    def spares(self):
        """Whether components to spare stay empty: K may be more than there is."""
        return self.weighs

    @property
    def usual_pixels(self):
        """About how many pixels of a frame an object has; 0 if nothing says."""
        return self.object_pixels

    def call(self, packed, states, training=False):
        height, width, channels = self.frame_shape
        axes.check_shape("packed", packed, (None, 2 * height, width, channels))
        x, noisy = axes.unpack_frames(packed)
        _, states = self.iterate(x, noisy, states, training)
        return self.output(states), states

    def output(self, states):
        """What `predicted` reads of a step, flat: psi, and the pi of each component."""
        psi = axes.flatten_psi(states[1])
        if not self.weighs:
            return psi
        return ops.concatenate([psi, states[2][:, :, 0, 0, 0]], axis=-1)

    def predicted(self, flat, components):
        """What `call` returned at each step.

        Args:
            flat: shape `(B, T, N)`.
            components: K.

        Returns:
            psi `(B, T, K, H, W, C)`, and a tuple of what else `assign` takes; pi comes
            first if it is not uniform.
        """
        if not self.weighs:
            return axes.unflatten_psi(flat, components, self.frame_shape), ()
        drawn, pi = axes.parts(
            flat, (components * math.prod(self.frame_shape), components)
        )
        psi = axes.unflatten_psi(drawn, components, self.frame_shape)
        pi = ops.broadcast_to(pi[..., None, None, None], (*ops.shape(psi)[:-1], 1))
        return psi, (pi,)

    def assign(self, x, psi, pi=None):
        """gamma of frames, given what was predicted of them."""
        return self.e_step(x, self.reaching(psi), pi)

    def reaching(self, psi):
        """psi with its `halo`, (..., H, W, C), as the E-step sees it."""
        if not self.halo:
            return psi
        psi = ops.cast(psi, "float32")
        height, width, _ = self.frame_shape
        rows, columns = (_blur(size, self.halo) for size in (height, width))
        near = ops.einsum("ij,...jkc->...ikc", rows, psi)
        near = ops.einsum("ij,...kjc->...kic", columns, near)
        largest = ops.max(near, axis=axes.PIXELS, keepdims=True)
        return psi + NEAR * near / (largest + 1e-3) * (1.0 - psi)

    def assign_next(self, x, states):
        """gamma of the frame that comes after some states, see `assign`."""
        _, psi, pi, *_ = states
        return self.assign(x, psi, pi)

    def segments(self, x, gamma, background=None):
        """The component that explains each pixel, int32 (..., H, W), NumPy.

        A layered cell counts them from 1, and 0 is background.

        Args:
            x: frames `(..., H, W, C)`.
            gamma: of them, `(..., K, H, W, 1)`.
            background: of a layered cell, of a shape that broadcasts with x; None is
                black.
        """
        gamma = ops.convert_to_numpy(gamma)[..., 0]
        found = gamma.argmax(axis=-3).astype("int32")
        if not self.layered:
            return found
        background = np.zeros_like(x) if background is None else background
        return np.where(self.is_object(x, background), found + 1, 0).astype("int32")

    def is_object(self, x, background):
        """Whether pixels are rather an object's, see `reading.background.is_object`."""
        return backgrounds.is_object(x, background, self.foreground)

    def next_frame(self, psi, pi=None, background=None):
        """What all components together expect, (..., H, W, C).

        At each pixel it is the psi that differs most from the prior, of what `drawn`
        leaves of them.

        Args:
            psi: `(..., K, H, W, C)`.
            pi: of them, `(..., K, H, W, 1)`; None: all equal.
            background: of a shape that broadcasts with a frame; None is black.
        """
        if background is None:
            return ops.max(self.drawn(psi, pi), axis=axes.COMPONENTS)
        change = self.drawn(psi - ops.expand_dims(background, axes.COMPONENTS), pi)
        far = ops.sum(ops.square(change), axis=-1, keepdims=True)
        most = ops.max(far, axis=axes.COMPONENTS, keepdims=True)
        most = ops.cast(ops.equal(far, most), psi.dtype)
        count = ops.maximum(ops.sum(most, axis=axes.COMPONENTS), 1.0)
        return ops.sum(most * change, axis=axes.COMPONENTS) / count + background

    def drawn(self, change, pi=None):
        """What components draw off the prior; those that explain nothing draw nothing.

        All of it down to half of the largest mixing weight, then less in proportion.

        Args:
            change: psi minus the prior, `(..., K, H, W, C)`.
            pi: mixing weights, `(..., K, H, W, 1)`; None: all equal.

        Returns:
            `(..., K, H, W, C)`.
        """
        if pi is None or not self.weighs:
            return change
        pi = ops.cast(pi, change.dtype)
        largest = ops.max(pi, axis=axes.COMPONENTS, keepdims=True)
        return change * ops.minimum(2.0 * pi / largest, 1.0)

    def iterate(self, x, noisy, states, training=False):
        """The iteration itself, with the gamma that it went through.

        Args:
            x: the frame, shape `(B, H, W, C)`, pixels in [0, 1].
            noisy: the same with noise, or `x` again.
            states: `[theta, psi, pi]`, and the background of a layered cell.
            training: see the class.

        Returns:
            gamma of the frame `(B, K, H, W, 1)` and the new states.
        """
        theta, psi, pi, *background = states
        seen = self.reaching(psi)
        gamma = self.e_step(x, seen, pi)  # (B, K, H, W, 1)
        on = self.floor_in_training if training else self.keep_floor
        floor = self.floor if on else 0.0
        share = self.e_step(x, seen, pi, floor=floor) if floor else gamma
        seed = draws.fingerprint(noisy) if training and self.theta_noise else None
        noisy = ops.cast(noisy, psi.dtype)  # `Stream` calls this without autocast
        noisy = ops.expand_dims(noisy, axes.COMPONENTS)  # (B, 1, H, W, C)
        share = ops.cast(share, psi.dtype)
        if background:
            prior = ops.cast(ops.expand_dims(background[0], 1), psi.dtype)
            noisy, psi = noisy - prior, psi - prior
        theta, psi = self.m_step(self.evidence(share, noisy, psi), theta, seed)
        if background:
            psi = psi + prior
        if self.weighs and (self.thins or not training):
            pi = self.weigh(ops.stop_gradient(gamma), x, pi, *background)
        else:
            pi = axes.uniform_pi(pi)
        return gamma, [theta, psi, pi, *background]

    def weigh(self, gamma, x, pi, background=None):
        """The mixing weights after a frame, the same at all pixels of a component.

        Args:
            gamma: of the frame, `(B, K, H, W, 1)`.
            x: the frame, `(B, H, W, C)`.
            pi: the weights before it, `(B, K, H, W, 1)`.
            background: of a layered cell, `(B, H, W, C)`.

        Returns:
            pi', `(B, K, H, W, 1)`, sums to 1 over K.
        """
        w = ops.expand_dims(self.objects(x, background), (1, -1))  # (B, 1, H, W, 1)
        mass = ops.sum(gamma * w, (2, 3), keepdims=True)  # (B, K, 1, 1, 1)
        objects = mass / self.object_pixels
        enough = (objects / ENOUGH) ** 3
        each = ops.ceil(ops.mean(objects, 1, keepdims=True) - SPREAD)
        share = objects / (MOST * ops.maximum(each, 1.0))
        weight = enough / (enough + 1.0) / (1.0 + share**12) + LEAST
        weight = weight / ops.sum(weight, 1, keepdims=True)
        before = ops.mean(ops.cast(pi, weight.dtype), (2, 3), keepdims=True)
        after = KEPT * before + (1.0 - KEPT) * weight
        return ops.broadcast_to(ops.cast(after, pi.dtype), ops.shape(pi))

    def objects(self, x, background=None):
        """w: how surely pixels are not background, (..., H, W, C) -> (..., H, W)."""
        away = ops.cast(x, "float32")
        if background is not None:
            away = away - ops.cast(background, "float32")
        least = FROM_BLACK if self.foreground is None else self.foreground
        far = ops.sum(ops.square(away), -1) / least**2
        return 1.0 - ops.exp(-math.log(2.0) * far)

    def evidence(self, gamma, noisy, psi):
        """What the components see of a frame: gamma * (x_noisy - psi).

        Args:
            gamma: shape `(B, K, H, W, 1)`.
            noisy: shape `(B, 1, H, W, C)`.
            psi: shape `(B, K, H, W, C)`.

        Returns:
            shape `(B, K, H, W, C)`.
        """
        return gamma * (noisy - psi)

    def m_step(self, evidence, theta, seed=None):
        """Improve theta, given what each component sees.

        Args:
            evidence: shape `(B, K, H, W, C)`.
            theta: shape `(B, K, M)`.
            seed: of the `theta_noise`, uint32 (B,); None for none.

        Returns:
            the new theta `(B, K, M)` and the psi that it predicts `(B, K, H, W, C)`.
        """
        raise NotImplementedError

    def with_noise(self, theta, seed):
        """theta (B*K, M) with `theta_noise`, as it is if `seed` is None."""
        if seed is None:
            return theta
        components = ops.shape(theta)[0] // ops.shape(seed)[0]
        noise = draws.normals(draws.spread(seed, components), self.noisy_units)
        noise = ops.pad(noise, ((0, 0), (0, self.units - self.noisy_units)))
        return theta + ops.cast(self.theta_noise * noise, theta.dtype)

    def check_components(self, components):
        """K, this cell's if None.

        Raises:
            ValueError: if it is no whole number, or below 1.
        """
        components = self.components if components is None else components
        if not isinstance(components, Integral) or isinstance(components, bool):
            raise ValueError(
                f"components: expected a whole number, received {components!r}; give "
                'K ("auto" is of segment, stream and trainers.evaluate)'
            )
        if components < 1:
            raise ValueError(f"components: expected at least 1, received {components}")
        return components

    def first_pi(self, pi):
        """What `start` makes of a random start, (B, K, H, W, 1)."""
        return sides(pi) if self.start == "sides" else pi

    def thinned(self, pi):
        """A start of some of the components, of `fewest_components` at least.

        How many is a function of the start itself: the same start, the same number.

        Args:
            pi: `(B, K, H, W, 1)`.

        Returns:
            pi', the same shape, summing to 1 over K; 0 of the others.
        """
        count = ops.shape(pi)[1]
        seed = draws.fingerprint(pi[:, 0])
        least = ops.minimum(self.fewest_components, count)
        more = ops.cast(count - least + 1, "float32") * draws.uniforms(seed, 1)
        kept = ops.cast(least, "float32") + ops.floor(more)  # (B, 1)
        kept = ops.cast(ops.arange(count), "float32") < kept  # (B, K)
        pi = pi * ops.cast(kept[:, :, None, None, None], pi.dtype)
        return pi / ops.sum(pi, axis=axes.COMPONENTS, keepdims=True)

    def get_initial_state(
        self, batch_size=None, pi=None, background=None, training=False
    ):
        """theta = 0, psi = 0 and what `start` makes of pi; psi = b of a layered cell.

        Args:
            batch_size: B, if there is no `pi`.
            pi: `(B, K, H, W, 1)`; None is the random starts of seeds 0..B-1.
            background: of a layered cell, `(B, H, W, C)`; None is black.
            training: whether `fewest_components` are enough.
        """
        if pi is None:
            pi = random_start(ops.arange(batch_size), self.components, self.frame_shape)
        pi = self.first_pi(pi)
        if training and self.thins:
            pi = self.thinned(pi)
        batch, components = ops.shape(pi)[:2]
        theta = ops.zeros((batch, components, self.units), self.compute_dtype)
        psi = ops.zeros((batch, components, *self.frame_shape), self.compute_dtype)
        state = [theta, psi, ops.cast(pi, self.compute_dtype)]
        if not self.layered:
            return state
        if background is None:
            background = ops.zeros((batch, *self.frame_shape))
        background = ops.cast(background, "float32")
        state[1] += ops.cast(ops.expand_dims(background, 1), self.compute_dtype)
        return [*state, background]

    def get_config(self):
        return {
            **super().get_config(),
            "frame_shape": self.frame_shape,
            "e_step": keras.saving.serialize_keras_object(self.e_step),
            "components": self.components,
            "floor": self.floor,
            "keep_floor": self.keep_floor,
            "floor_in_training": self.floor_in_training,
            "start": self.start,
            "theta_noise": self.theta_noise,
            "object_pixels": self.object_pixels,
            "halo": self.halo,
            "fewest_components": self.fewest_components,
            **self._of_background(),
        }

    def _of_background(self):
        if not self.layered:
            return {}  # as configurations were before there was one
        foreground = self.foreground
        if np.ndim(foreground):
            foreground = np.asarray(foreground, "float64").round(5).tolist()
        return {"foreground": foreground, "background": self.background}

    @classmethod
    def from_config(cls, config):
        """Undo `get_config`: the parts of a cell are Keras objects themselves."""
        parts = {
            name: keras.saving.deserialize_keras_object(value)
            for name, value in config.items()
            if isinstance(value, dict) and name != "dtype"
        }
        return cls(**{**config, **parts})


def _blur(size, deviation):
    """A Gaussian along an axis, as a matrix, float32 (size, size)."""
    apart = np.arange(size)[:, None] - np.arange(size)
    kernel = np.exp(-((apart / deviation) ** 2) / 2) * (abs(apart) <= 3 * deviation)
    return (kernel / (deviation * math.sqrt(2 * math.pi))).astype("float32")


def _distance(foreground, size):
    """A `foreground` as a float or as float32 (H, W), 5 digits as in configurations."""
    if foreground is None:
        return None
    found = np.asarray(foreground, "float32")
    found = found.round(5) if found.ndim else found
    if found.shape not in ((), size):
        raise ValueError(
            f"foreground: expected a number or shape {size}, received {found.shape}; "
            "give one of each pixel of a frame"
        )
    if not np.all(found > 0):
        raise ValueError(
            f"foreground: expected a distance above 0, received {found.min():g}"
        )
    return found if found.ndim else float(foreground)
