"""The five kinds of clips that `benchmarks.own_clips` trains on, with labels.

Scenes are made apart from `nem_tf.data`, so that nothing there is tuned to them. Labels
are 0 for background and 1, 2, ... for objects.
"""

import numpy as np

T, SIDE = 20, 64  # frames and pixels of most kinds
FINE = 64  # samples along an axis of a shape
INK, OVERLAP = 30, 100  # grey levels of a digit's pixels, and of those of both
BLOCK = 5  # pixels of a tetromino's square
TETROMINOES = (
    ((0, 0), (0, 1), (0, 2), (0, 3)),
    ((0, 0), (0, 1), (1, 0), (1, 1)),
    ((0, 0), (0, 1), (0, 2), (1, 1)),
    ((0, 0), (0, 1), (0, 2), (1, 0)),
    ((0, 0), (0, 1), (0, 2), (1, 2)),
    ((0, 1), (0, 2), (1, 0), (1, 1)),
    ((0, 0), (0, 1), (1, 1), (1, 2)),
)
VIVID = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 0, 255),
    (0, 255, 255),
)


def sprites(count, seed, textured=False):
    """Two to four discs, squares, triangles and crosses of 12 to 18 pixels.

    They move by up to 2 pixels a frame and axis, and bounce.

    Args:
        count: N.
        seed: of all draws.
        textured: a shaded, striped and grained background, another one in each clip,
            instead of one colour.

    Returns:
        uint8 frames (N, T, 64, 64, 3) and labels (N, T, 64, 64).
    """
    rng = np.random.default_rng(seed)
    found = [_sprites(rng, textured) for _ in range(count)]
    return tuple(np.stack(part) for part in zip(*found, strict=True))


def _sprites(rng, textured):
    objects = rng.integers(2, 5)
    background = _texture(rng) if textured else np.ones((SIDE, SIDE, 3))
    if not textured:
        background = background * rng.uniform(0, 1, 3)
    frames = np.repeat(background[None], T, 0).astype("float32")
    labels = np.zeros((T, SIDE, SIDE), np.uint8)
    for label in range(1, objects + 1):
        size = rng.uniform(12, 18)
        shape = _shape(rng.integers(4))
        colour = rng.uniform(0, 1, 3)
        while np.abs(colour - background.mean((0, 1))).sum() <= 0.5:
            colour = rng.uniform(0, 1, 3)
        place = rng.uniform(size / 2, SIDE - size / 2, 2)
        velocity = rng.uniform(-2.0, 2.0, 2)
        for t in range(T):
            mask = _placed(shape, place, size)
            frames[t][mask], labels[t][mask] = colour, label
            place = place + velocity
            _bounce(place, velocity, size / 2, SIDE - size / 2)
    return (frames * 255).round().astype(np.uint8), labels


def _texture(rng):
    down, across = np.mgrid[: SIDE - 1 : SIDE * 1j, : SIDE - 1 : SIDE * 1j] / (SIDE - 1)
    first, second, third = (rng.uniform(0, 1, 3) for _ in range(3))
    image = first * (1 - down)[..., None] + second * down[..., None]
    image = 0.5 * (image + third * across[..., None])
    stripes = rng.uniform(2, 8, 2)
    phase = 2 * np.pi * (stripes[0] * across + stripes[1] * down) + rng.uniform(0, 6.3)
    image = image + 0.08 * np.sin(phase)[..., None]
    return (image + rng.normal(0, 0.03, (SIDE, SIDE, 1))).clip(0, 1)


def _shape(kind):
    """A mask (64, 64): disc, square, triangle or cross."""
    at = (np.arange(FINE) + 0.5) / FINE * 2 - 1
    y, x = np.meshgrid(at, at, indexing="ij")
    if kind == 0:
        return x**2 + y**2 <= 1
    if kind == 1:
        return np.ones((FINE, FINE), bool)
    if kind == 2:
        return np.abs(x) <= (y + 1) / 2
    return (np.abs(x) < 0.35) | (np.abs(y) < 0.35)


def _placed(shape, place, size):
    """The mask (64, 64) of a shape of `size` pixels with its middle at a place."""
    at = [(np.arange(SIDE) + 0.5 - middle) / size * 2 for middle in place]
    sample = [((x + 1) / 2 * FINE).astype(int) for x in at]
    inside = [(s >= 0) & (s < FINE) & (x > -1) for s, x in zip(sample, at, strict=True)]
    rows, columns = (s.clip(0, FINE - 1) for s in sample)
    return inside[0][:, None] & inside[1][None] & shape[rows[:, None], columns[None]]


def _bounce(place, velocity, least, most):
    """Turn back, in place, what is beyond a bound; each is a number or one per axis."""
    for bound, beyond in ((least, np.less), (most, np.greater)):
        out = beyond(place, bound)
        place[out] = (2 * np.asarray(bound) - place)[out]
        velocity[out] *= -1


def blobs(count, seed, height=36, width=48):
    """Five to eight soft bright blobs before dark noise: grey (N, T, 36, 48, 1)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    frames = np.zeros((count, T, height, width))
    labels = np.zeros(frames.shape, np.uint8)
    for n in range(count):
        for label in range(1, 1 + rng.integers(5, 9)):
            radius = rng.uniform(2.0, 3.5)
            place = np.array([rng.uniform(3, height - 3), rng.uniform(3, width - 3)])
            velocity, bright = rng.uniform(-1.2, 1.2, 2), rng.uniform(0.6, 1)
            for t in range(T):
                far = (y - place[0]) ** 2 + (x - place[1]) ** 2
                blob = bright * np.exp(-far / (2 * (radius * 0.6) ** 2))
                mine = (far <= radius**2) & (blob >= frames[n, t] * 0.999)
                labels[n, t][mine] = label
                frames[n, t] = np.maximum(frames[n, t], blob)
                place = place + velocity
                _bounce(place, velocity, 2, (height - 2, width - 2))
        frames[n] += 0.08 + rng.normal(0, 0.04, frames[n].shape)
    return (frames.clip(0, 1) * 255).astype(np.uint8)[..., None], labels


def digits(count, seed):
    """Two moving digits of MNIST, as bright as the brighter one: (N, T, 64, 64, 1).

    Pixels of both are labelled 0, which is not scored.

    Raises:
        ValueError: if MNIST is neither prepared nor to be had.
    """
    from nem_tf import data

    images = data.load_digits("mnist").train[:20000]
    rng = np.random.default_rng(seed + 5)
    side = images.shape[1]
    most = SIDE - side
    frames = np.zeros((count, T, SIDE, SIDE), np.uint8)
    labels = np.zeros(frames.shape, np.uint8)
    for n in range(count):
        for label in (1, 2):
            image = images[rng.integers(len(images))]
            place, angle = rng.uniform(0, most, 2), rng.uniform(0, 6.283)
            velocity = np.array([np.sin(angle), np.cos(angle)]) * rng.uniform(2, 4)
            for t in range(T):
                row, column = place.round().astype(int)
                box = np.s_[n, t, row : row + side, column : column + side]
                there, known = frames[box], labels[box]
                mine = (image > there) & (image > INK)
                found = np.where(mine, label, known)
                both = (image > OVERLAP) & (there > OVERLAP)
                labels[box] = np.where(both, 0, found)
                frames[box] = np.maximum(there, image)
                place = place + velocity
                _bounce(place, velocity, 0, most)
    return frames[..., None], labels


def tetrominoes(count, seed, side=35):
    """Single images of three tetrominoes that do not overlap: (N, 1, 35, 35, 3)."""
    rng = np.random.default_rng(seed + 9)
    frames = np.zeros((count, 1, side, side, 3), np.uint8)
    labels = np.zeros(frames.shape[:-1], np.uint8)
    for image, known in zip(frames[:, 0], labels[:, 0], strict=True):
        label = 1
        while label <= 3:
            squares = np.array(TETROMINOES[rng.integers(len(TETROMINOES))])
            squares = squares[:, ::-1] if rng.integers(2) else squares
            squares = squares.max(0) - squares if rng.integers(2) else squares
            extent = BLOCK * (squares.max(0) + 1)
            corner = rng.integers(0, side - extent + 1)
            mask = np.zeros((side, side), bool)
            for row, column in corner + BLOCK * squares:
                mask[row : row + BLOCK, column : column + BLOCK] = True
            if known[mask].any():
                continue
            known[mask] = label
            image[mask] = VIVID[rng.integers(len(VIVID))]
            label += 1
    return frames, labels
