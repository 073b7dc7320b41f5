"""RNN-EM that looks through windows: objects of any size over any background."""

import keras
import numpy as np
from keras import ops

from nem_tf import axes, draws
from nem_tf.cells.e_step import EStep
from nem_tf.cells.em_cell import EMCell
from nem_tf.layers import Dense, LayerNorm

PLACE = 6  # numbers of theta beside h and colour: y, x, velocities, log size, alive
ANYWHERE = 1e-3  # added to every mixing weight: an object may be elsewhere
NEAR = 0.05  # mixing weight of a component near its place, where it draws nothing
STRANGE = 1e-3  # added to a fit: at a pixel that nobody explains, pi decides
BESIDE = 1.15  # half objects; pixels so near, of a component's colour, are its own
CLAIM = 0.25  # of an object has to be unexplained around a place for a new component
FAINT = 0.04  # of an object's pixels; a component that has less gives up
MARGIN = 1.3  # half a window, in half objects
SIZES = 0.3, 1.6  # windows fit themselves to objects of so many times the usual size


@keras.saving.register_keras_serializable("nem_tf")
class WindowCell(EMCell):
    """EM iteration of components that have a place, a size and a window each.

    The prior P(x_i) of Eq. 5 is a background image b, and a component is a layer over
    it: it draws an opacity a and a colour c in its window,

        psi_k = a_k c_k + (1 - a_k) b
        pi_k ~ a_k + 0.05 near_k + 0.001                      (the weights of Eq. 1)
        gamma_k ~ pi_k (fit(x | psi_k) + beside_k fit(x | colour_k) + 0.001) (Eq. 3)
        evidence = gamma_k w [1, x],   w = 1 - 2^-(|x - b| / foreground)^2

    w says how surely a pixel is not background; near_k falls with the distance from the
    component's place, beside_k is 1 up to 1.15 half-objects from it; colour_k is the
    mean of what it sees, by which it knows its object where that is a little aside of
    its prediction, or comes out from behind another one. The M-step moves the place to
    the centre of the evidence near where it was expected, as far as the network says,
    reads the evidence in the window, and predicts the next place, size and looks.
    Everything is relative to the window, so that neither places nor sizes have to be
    learned; the cost grows with the pixels.

    A component that has nothing rests: it draws nothing and takes no part. It begins
    where most pixels are unexplained, at the first frame or whenever something comes
    into view, the largest region first; and rests again if it loses its object or draws
    what another one draws. So K is the most objects there can be, and spare components
    stay empty.

    Args:
        frame_shape: (H, W, C).
        e_step: an `EStep`, or the name of its likelihood.
        units: size of h, what is known of an object beside its place.
        components: K, where a call does not bring its own; the weights fit any K.
        features: width of the dense layers, with layer norm and ELU.
        grid: g, points of a window along each axis.
        object_size: about an object's side, pixels; windows fit themselves to objects
            of 0.3 to 1.6 times as much.
        foreground: distance from the background, Euclidean over the channels, at which
            a pixel is as likely an object's: a number, or `(H, W)`.
        fill: about how much of its box an object covers, in (0, 1]; strokes cover less.
        distinct: share of what a component draws that no other one explains as well;
            one with less rests.
        background: how `segment` and streams find the background of frames that come
            without: "plain", "still" or "auto", see `reading.background`.
        theta_noise: in training, standard deviation of noise on h on its way to psi.
        likeness: how unlike in colour pixels may be that one component begins with: 1
            minus the cosine between their differences from the background, over the
            channels; 0: colours do not matter.
        kwargs: of `keras.layers.Layer`: name, trainable. It computes in float32.

    Call arguments:
        packed: see `EMCell`.
        states: `[theta, psi, pi, background]`, shapes `(B, K, units + C + 6)`,
            `(B, K, H, W, C)`, `(B, K, H, W, 1)` and `(B, H, W, C)`.

    Returns:
        psi' and pi', flat as `predicted` reads them, and the new states.

    Raises:
        ValueError: if a number is out of range, or a shape does not fit.
    """

    begins = True
    kept_in_training = 16  # measured
    unused = (
        "floor",
        "keep_floor",
        "floor_in_training",
        "start",
        "object_pixels",
        "halo",
        "fewest_components",
    )

    def __init__(
        self,
        frame_shape,
        e_step,
        units=64,
        components=5,
        features=128,
        grid=12,
        object_size=12.0,
        foreground=0.15,
        fill=0.75,
        distinct=0.25,
        background="auto",
        theta_noise=0.0,
        likeness=0.2,
        **kwargs,
    ):
        for name in self.unused:
            if name in kwargs:
                raise ValueError(
                    f"{name}: expected none, since WindowCell begins and shares pixels "
                    f"in a way of its own, received {kwargs[name]}; leave it out"
                )
        if foreground is None:
            raise ValueError(
                "foreground: expected a distance above 0, since WindowCell knows "
                "objects by it, received None; leave it out for 0.15"
            )
        kwargs = {**kwargs, "dtype": "float32", "autocast": False}
        likelihood = (e_step if isinstance(e_step, EStep) else EStep(e_step)).likelihood
        if likelihood.binary:
            raise ValueError(
                f"e_step: expected Gaussian pixels, received {likelihood.name}; "
                "WindowCell takes black and white ones as Gaussian, too"
            )
        channels = tuple(frame_shape)[-1]
        super().__init__(
            frame_shape,
            units + channels + PLACE,
            e_step,
            components,
            theta_noise=theta_noise,
            foreground=foreground,
            background=background,
            **kwargs,
        )
        for name, value, least in (
            ("features", features, 1),
            ("grid", grid, 2),
            ("object_size", object_size, 1),
        ):
            if not value >= least:
                raise ValueError(f"{name}: expected at least {least}, received {value}")
        if self.e_step.differentiable:
            raise ValueError(
                "e_step: expected no gradients through gamma, which WindowCell does "
                "without; leave differentiable out"
            )
        if not 0 < fill <= 1:
            raise ValueError(f"fill: expected above 0 to 1, received {fill}")
        if not likeness >= 0:
            raise ValueError(f"likeness: expected at least 0, received {likeness}")
        if not 0 <= distinct < 1:
            raise ValueError(f"distinct: expected 0 to below 1, received {distinct}")
        self.hidden = int(units)
        self.features = int(features)
        self.grid = int(grid)
        self.object_size = float(object_size)
        self.fill = float(fill)
        self.distinct = float(distinct)
        self.likeness = float(likeness)
        self.read = [Dense(self.features, name=f"read_{i}") for i in range(2)]
        self.draw = Dense(self.features, name="draw")
        self.norms = [LayerNorm("elu", name=f"norm_{i}") for i in range(3)]
        self.gates = Dense(2 * self.hidden, name="gates")
        self.motion = Dense(9, name="motion")
        self.patch = Dense(self.grid**2 * (channels + 1), name="patch")
        self._blur = [_blurring(n, 0.3 * self.object_size) for n in frame_shape[:2]]

    @property
    def radius(self):
        """About half an object, pixels."""
        return self.object_size / 2.0

    @property
    def spares(self):
        return True

    @property
    def usual_pixels(self):
        return self.fill * self.object_size**2

    def build(self, packed_shape=None):
        channels = self.frame_shape[-1]
        window, seen = self.grid**2 * (channels + 1), 7 + channels
        self.read[0].build((None, window + seen + self.hidden))
        self.read[1].build((None, self.features + seen))
        for layer in (self.gates, self.motion):
            layer.build((None, self.features))
        self.draw.build((None, self.hidden))
        self.patch.build((None, self.features))
        for norm in self.norms:
            norm.build((None, self.features))
        self.built = True

    @property
    def output_size(self):
        height, width, channels = self.frame_shape
        looks = channels + PLACE
        return self.components * (height * width * (channels + 1) + looks)

    def output(self, states):
        theta, psi, pi, _ = states
        looks = theta[..., self.hidden :]  # (B, K, C + 6)
        looks = ops.reshape(looks, (ops.shape(looks)[0], -1))
        flat = axes.flatten_psi(psi), axes.flatten_psi(pi), looks
        return ops.concatenate(flat, 1)

    def predicted(self, flat, components):
        height, width, channels = self.frame_shape
        maps = components * height * width
        sizes = maps * channels, maps, components * (channels + PLACE)
        psi, pi, looks = axes.parts(flat, sizes)
        psi = axes.unflatten_psi(psi, components, self.frame_shape)
        pi = axes.unflatten_psi(pi, components, (height, width, 1))
        shape = *ops.shape(flat)[:2], components, channels + PLACE
        return psi, (pi, ops.reshape(looks, shape))

    def assign(self, x, psi, pi, looks):
        """gamma of frames, given what was predicted of them.

        Args:
            x: `(..., H, W, C)`.
            psi, pi: `(..., K, H, W, C)` and `(..., K, H, W, 1)`.
            looks: theta without h, `(..., K, C + 6)`.
        """
        fit = self.likelihood.fit(ops.expand_dims(x, axes.COMPONENTS), psi)
        own = ops.expand_dims(self._of_its_colour(x, looks), -1)
        p = self._weighted(fit, own, pi)
        return ops.stop_gradient(p / ops.sum(p, axis=axes.COMPONENTS, keepdims=True))

    def assign_next(self, x, states):
        theta, psi, pi, _ = states
        return self.assign(x, psi, pi, theta[..., self.hidden :])

    def _weighted(self, fit, own, pi):
        """pi P(x | psi), where P counts a component's own colour near it, too."""
        return (fit + own + STRANGE) * pi

    def next_frame(self, psi, pi=None, background=None):
        """The mean of psi under pi, (..., H, W, C)."""
        weighted = ops.sum(pi * psi, axis=axes.COMPONENTS)
        return weighted / ops.sum(pi, axis=axes.COMPONENTS)

    def iterate(self, x, noisy, states, training=False):
        theta, psi, pi, background = states
        w = self.objects(x, background)  # (B, H, W)
        alive = theta[..., -1]  # (B, K)
        fresh = 1.0 - ops.max(alive, 1)  # (B,), 1 before the first frame
        fit = self.likelihood.fit(ops.expand_dims(x, 1), psi)
        fit, weight = ops.squeeze(fit, -1), ops.squeeze(pi, -1)  # (B, K, H, W)
        drawn = weight * _maps(alive)
        alive = alive * (1.0 - self._double(fit * drawn * ops.expand_dims(w, 1), alive))
        own = self._of_its_colour(x, theta[..., self.hidden :])
        p = self._weighted(fit, own, weight) * _maps(alive)
        gamma = p / (ops.sum(p, 1, keepdims=True) + 1e-9)  # (B, K, H, W)
        mass = ops.sum(gamma * ops.expand_dims(w, 1), (2, 3))
        least = FAINT * self.fill * self.object_size**2
        alive = alive * ops.cast(mass > least, "float32")
        explained = ops.sqrt(ops.sqrt(ops.maximum(fit, own)))
        explained = ops.max(explained * _maps(alive), 1)
        left = w * (1.0 - explained)  # (B, H, W)
        claims, new = self._claims(left, 1.0 - alive, x - background, pi, fresh)
        taken = ops.minimum(ops.sum(claims, 1, keepdims=True), 1.0)
        share = claims / (ops.sum(claims, 1, keepdims=True) + STRANGE)
        left = ops.expand_dims(left, 1)
        gamma = gamma * (1.0 - taken * left) * _maps(alive) + share * left
        alive = ops.maximum(alive, new)
        gamma, alive, new = map(ops.stop_gradient, (gamma, alive, new))
        seed = draws.fingerprint(noisy) if training and self.theta_noise else None
        theta, psi, pi = self._m_step(
            gamma * ops.expand_dims(w, 1), noisy, theta, alive, new, background, seed
        )
        total = ops.sum(gamma, 1, keepdims=True)
        even = (1.0 - total) / ops.cast(ops.shape(gamma)[1], "float32")
        return ops.expand_dims(gamma + even, -1), [theta, psi, pi, background]

    def _of_its_colour(self, x, looks):
        """beside_k fit(x | colour_k), (..., K, H, W); 0 at rest.

        Where an object is a little aside of its prediction, as after a bounce, its
        pixels are not drawn by its component. They are its own all the same.
        """
        height, width, _ = self.frame_shape
        colour = looks[..., :-PLACE]
        at_y, at_x, size = (looks[..., n - PLACE, None] for n in (0, 1, 4))
        reach = BESIDE * ops.exp(size) / MARGIN
        beside_y = ops.exp(-2.8 * ((_range(height) - at_y) / reach) ** 6)  # a soft box
        beside_x = ops.exp(-2.8 * ((_range(width) - at_x) / reach) ** 6)
        colour = colour[..., None, None, :]
        x = ops.expand_dims(x, axes.COMPONENTS)
        fit = ops.squeeze(self.likelihood.fit(x, colour), -1)
        beside = beside_y[..., :, None] * beside_x[..., None, :]
        return beside * fit * _maps(looks[..., -1])

    def _double(self, explained, alive):
        """1 for the component of a clip that draws what others explain as well."""
        first = ops.max(explained, 1, keepdims=True)
        best = _one_hot(_argmax(explained), ops.shape(explained)[1])
        second = ops.max(explained * (1.0 - best), 1, keepdims=True)
        others = ops.where(best > 0, second, first)
        alone = ops.sum(ops.relu(explained - others), (2, 3))
        share = alone / (ops.sum(explained, (2, 3)) + 1e-3) + 9.0 * (1.0 - alive)
        least = _one_hot(_argmax(-share), ops.shape(share)[1])
        return least * ops.cast(share < self.distinct, "float32")

    def _claims(self, left, resting, change, pi, fresh):
        """Where resting components begin: the largest unexplained regions.

        A region is of pixels that differ from the background in the same way: in the
        same direction over the channels, however far, since rims and shades are nearer
        to the background.

        Args:
            left: how much of a pixel is unexplained, (B, H, W).
            resting: 1 for a component that rests, (B, K).
            change: of the frame from the background, (B, H, W, C).
            pi: the mixing weights; the random start at the first frame.
            fresh: 1 at the first frame, (B,).

        Returns:
            the claims of the components, (B, K, H, W), and 1 for each that begins.
        """
        height, width, _ = self.frame_shape
        down, across = self._blur
        # Regions alike are told apart by chance, which is the random start's.
        chance = 1.0 + 0.02 * fresh[:, None, None] * pi[:, 0, :, :, 0]
        length = ops.sqrt(ops.sum(ops.square(change), -1, keepdims=True) + 1e-6)
        direction = ops.reshape(change / length, (-1, height * width, change.shape[-1]))
        rows, columns = _range(height)[:, None], _range(width)[None, :]
        count = ops.shape(resting)[1]

        def claim(k, left, claims, new):
            around = ops.matmul(ops.matmul(down, left), across)
            inside = ops.cast(left > 0.5, "float32")  # not between two regions
            flat = ops.reshape(around * inside * chance, (-1, height * width))
            place = ops.cast(_argmax(flat), "int32")
            y = ops.cast(place // width, "float32")[:, None, None]
            x = ops.cast(place % width, "float32")[:, None, None]
            enough = ops.max(flat, 1) > CLAIM * self.fill
            this = ops.cast(ops.equal(ops.arange(count), k), "float32")  # (K,)
            begins = ops.sum(resting * this, 1) * ops.cast(enough, "float32")
            far = ops.square(rows - y) + ops.square(columns - x)
            begins_here = begins[:, None, None]
            if self.likeness:
                there = ops.take_along_axis(direction, place[:, None, None], 1)
                cosine = ops.sum(direction * there, -1)  # (B, H W)
                alike = ops.exp((cosine - 1.0) / self.likeness)
                begins_here = begins_here * ops.reshape(alike, (-1, height, width))
            near = ops.exp(-far / (2.0 * (1.6 * self.radius) ** 2))
            left = left * (1.0 - begins_here * near)
            mine = begins_here * ops.exp(-far / (2.0 * (0.7 * self.radius) ** 2))
            claims = claims + this[:, None, None] * ops.expand_dims(mine, 1)
            return k + 1, left, claims, new + begins[:, None] * this

        none = ops.zeros_like(pi[..., 0]), ops.zeros_like(resting)
        found = (0, ops.stop_gradient(left), *none)
        if isinstance(count, int):
            for _ in range(count):
                found = claim(*found)
        else:
            found = ops.while_loop(lambda k, *_: k < count, claim, found)
        return found[2:]

    def _m_step(self, seen, noisy, theta, alive, new, background, seed):
        """Move, look, remember and draw; `seen` is gamma w, (B, K, H, W)."""
        height, width, channels = self.frame_shape
        h = theta[..., : self.hidden]
        colour = theta[..., self.hidden : -PLACE]
        place = theta[..., -PLACE:]
        old = (1.0 - new) * alive
        y, x, vy, vx, size, _ = ops.unstack(place, PLACE, axis=-1)  # (B, K)
        h, vy, vx = h * old[..., None], vy * old, vx * old
        size = ops.exp(size)  # half a window, pixels

        # What is there now, near where it was expected.
        at_y, at_x = _range(height), _range(width)
        inside_y = _tent(at_y, y, 1.6 * size, old)  # (B, K, H)
        inside_x = _tent(at_x, x, 1.6 * size, old)
        rows = inside_y * ops.matmul(seen, inside_x[..., None])[..., 0]
        columns = inside_x * ops.matmul(inside_y[:, :, None], seen)[:, :, 0]
        mass = ops.sum(rows, -1)  # (B, K)
        little = 0.5 * old + 1e-3
        found_y = (ops.sum(rows * at_y, -1) + little * y) / (mass + little)
        found_x = (ops.sum(columns * at_x, -1) + little * x) / (mass + little)
        spread = ops.maximum(
            ops.sum(rows * ops.square(at_y - found_y[..., None]), -1),
            ops.sum(columns * ops.square(at_x - found_x[..., None]), -1),
        )
        usual = self.radius**2 / 3.0
        found_size = ops.sqrt((spread + little * usual) / (mass + little))
        found_size = 1.9 * MARGIN * found_size + 1.5
        y, x = old * y + (1 - old) * found_y, old * x + (1 - old) * found_x
        size = old * size + (1.0 - old) * found_size
        small, large = (times * MARGIN * self.radius for times in SIZES)
        size = ops.clip(size, small, large)

        # What is in the window.
        read_y, read_x = self._points(y, size, height), self._points(x, size, width)
        step = ops.maximum(2.0 * size / (self.grid - 1), 1.0)
        reads = [_hats(at, n, step) for at, n in ((read_y, height), (read_x, width))]
        reads = [r / (ops.sum(r, -1, keepdims=True) + 1e-3) for r in reads]
        frame = ops.moveaxis(noisy, -1, -2)[:, None]  # (B, 1, H, C, W)
        seen = seen[..., None, :]
        seen = ops.concatenate([seen, seen * frame], -2)  # (B, K, H, C + 1, W)
        seen = ops.reshape(seen, (*ops.shape(seen)[:3], (channels + 1) * width))
        window = ops.matmul(reads[0], seen)  # (B, K, g, (C + 1) W)
        leading = ops.shape(window)[:2]
        window = ops.reshape(window, (*leading, self.grid * (channels + 1), width))
        window = ops.matmul(window, ops.swapaxes(reads[1], -1, -2))
        window = ops.reshape(window, (*leading, self.grid, channels + 1, self.grid))
        total = ops.sum(window, (2, 4))  # (B, K, C + 1)
        found_colour = total[..., 1:] / (total[..., :1] + 1e-3)
        colour = old[..., None] * colour + (1.0 - old[..., None]) * found_colour
        window = ops.reshape(window, (*leading, self.grid**2 * (channels + 1)))

        # What that says, and what comes next.
        aside = (found_y - y) / size, (found_x - x) / size
        grown = ops.log(found_size / size)
        usual = ops.log(size / self.radius)
        full = ops.log(mass / self.radius**2 + 0.05)
        told = ops.stack([*aside, grown, full, vy, vx, usual], -1)
        told = ops.concatenate([told, found_colour], -1)  # (B, K, 7 + C)
        h, told, window = map(axes.fold_components, (h, told, window))
        features = self.read[0](ops.concatenate([2.0 * window, told, h], -1))
        features = ops.concatenate([self.norms[0](features), told], -1)
        features = self.norms[1](self.read[1](features))
        gate, candidate = ops.split(self.gates(features), 2, -1)
        gate = ops.sigmoid(gate)
        h = (1.0 - gate) * h + gate * ops.tanh(candidate)
        moves = ops.reshape(self.motion(features), (*leading, 9))
        trust_y, trust_x, trust_v, trust_size, dy, dx, ay, ax, trust_colour = (
            ops.unstack(moves, 9, axis=-1)
        )
        now_y = old * (ops.sigmoid(trust_y) * (found_y - y) + 0.1 * size * ops.tanh(dy))
        now_x = old * (ops.sigmoid(trust_x) * (found_x - x) + 0.1 * size * ops.tanh(dx))
        vy = vy + ops.sigmoid(trust_v) * now_y + 0.1 * ay
        vx = vx + ops.sigmoid(trust_v) * now_x + 0.1 * ax
        y = ops.clip(y + now_y + vy, 0.0, height - 1.0)
        x = ops.clip(x + now_x + vx, 0.0, width - 1.0)
        size = size * ops.exp(ops.sigmoid(trust_size - 1.0) * grown)
        size = ops.clip(size, small, large)

        trust = ops.sigmoid(trust_colour - 1.0)[..., None]
        colour = colour + trust * (found_colour - colour)

        drawn = h
        if seed is not None:
            each = draws.spread(seed, ops.shape(alive)[1])
            drawn = h + self.theta_noise * draws.normals(each, self.hidden)
        psi, pi = self._drawn(drawn, colour, y, x, size, alive, background)
        place = ops.stack([y, x, vy, vx, ops.log(size), alive], -1)
        h = axes.unfold_components(h, like=place)
        return ops.concatenate([h, colour, place], -1), psi, pi

    def _drawn(self, h, colour, y, x, size, alive, background):
        """psi and pi of the next frame."""
        height, width, channels = self.frame_shape
        grid, leading = self.grid, ops.shape(y)
        patch = self.patch(self.norms[2](self.draw(h)))
        patch = ops.reshape(patch, (*leading, grid, channels + 1, grid))
        opacity, shape = ops.split(patch, [1], axis=3)
        opacity = ops.sigmoid(opacity - 1.0) * alive[..., None, None, None]
        shade = self.likelihood.logits(colour)[:, :, None, :, None]
        colour = self.likelihood.readout(shade + shape)
        patch = ops.concatenate([opacity, opacity * colour], 3)
        step = 2.0 * size / (grid - 1)
        draw_y = _hats(self._points(y, size, height), height, step)  # (B, K, g, H)
        draw_x = _hats(self._points(x, size, width), width, step)
        patch = ops.reshape(patch, (*leading, grid, (channels + 1) * grid))
        image = ops.matmul(ops.swapaxes(draw_y, -1, -2), patch)
        image = ops.reshape(image, (*leading, height * (channels + 1), grid))
        image = ops.matmul(image, draw_x)
        image = ops.reshape(image, (*leading, height, channels + 1, width))
        opacity, paint = ops.split(image, [1], axis=3)
        opacity = ops.reshape(opacity, (*leading, height, width, 1))
        paint = ops.moveaxis(paint, 3, -1)  # (B, K, H, W, C)
        psi = paint + (1.0 - opacity) * background[:, None]
        spread = 0.6 * size[..., None]
        near_y = ops.exp(-ops.square((_range(height) - y[..., None]) / spread) / 2.0)
        near_x = ops.exp(-ops.square((_range(width) - x[..., None]) / spread) / 2.0)
        near = near_y[..., :, None] * near_x[..., None, :] * _maps(alive)
        pi = opacity + NEAR * near[..., None] + ANYWHERE
        return psi, pi

    def _points(self, centre, size, extent):
        """Where the g points of windows are, (B, K) -> (B, K, g), pixels."""
        offsets = np.linspace(-1.0, 1.0, self.grid, dtype="float32")
        return centre[..., None] + size[..., None] * offsets

    def get_config(self):
        config = super().get_config()
        for name in self.unused:
            del config[name]
        return {
            **config,
            "units": self.hidden,
            "features": self.features,
            "grid": self.grid,
            "object_size": self.object_size,
            "fill": self.fill,
            "distinct": self.distinct,
            "likeness": self.likeness,
        }


def _range(size):
    """0 to size - 1, float32."""
    return np.arange(size, dtype="float32")


def _argmax(x):
    """Where the largest is, the first of equals: (B, N, ...) -> (B, ...), float32.

    `ops.argmax` looks at the bits of floats, which LiteRT cannot.
    """
    numbers = ops.cast(ops.arange(ops.shape(x)[1]), "float32")
    numbers = ops.reshape(numbers, (1, -1, *(1,) * (len(x.shape) - 2)))
    largest = ops.equal(x, ops.max(x, 1, keepdims=True))
    return ops.min(ops.where(largest, numbers, numbers[:, -1:]), 1)


def _one_hot(place, count):
    """1 at the component of that place: (B, ...) -> (B, K, ...), float32."""
    numbers = ops.reshape(ops.arange(count), (1, -1, *(1,) * (len(place.shape) - 1)))
    place = ops.expand_dims(ops.cast(place, numbers.dtype), 1)
    return ops.cast(ops.equal(place, numbers), "float32")


def _maps(value):
    """(B, K) -> (B, K, 1, 1)."""
    return value[..., None, None]


def _tent(at, centre, reach, old):
    """1 at a centre and 0 from `reach` on; all 1 where a component is new."""
    fall = ops.relu(1.0 - ops.abs(at - centre[..., None]) / reach[..., None])
    old = old[..., None]
    return old * fall + (1.0 - old)


def _hats(points, size, step):
    """Weights of linear interpolation between points and pixels, (B, K, g, size)."""
    far = ops.abs(_range(size) - points[..., None])
    return ops.relu(1.0 - far / step[..., None, None])


def _blurring(size, deviation):
    """A matrix (size, size) that blurs one axis by a Gaussian; borders see black."""
    at = np.arange(size)
    weights = np.exp(-np.square(at[:, None] - at[None]) / (2.0 * deviation**2))
    total = np.exp(-np.square(np.arange(-4 * size, 4 * size)) / (2.0 * deviation**2))
    return (weights / total.sum()).astype("float32")
