"""Silhouettes of sprites: each is how far it reaches from its middle, by direction.

A silhouette is two rows of `ANGLES` radii, inner and outer, for directions that go
around once, beginning at the right and then up. A point at distance r belongs to it
where inner <= r <= outer. The radii are in [0, 1], so that the silhouette fits in a
disc; to turn it is to shift its rows.
"""

import numpy as np

ANGLES = 1024


def _directions():
    return 2 * np.pi * (np.arange(ANGLES) + 0.5) / ANGLES


def _filled(outer, largest):
    """A silhouette without a hole: outer radii (ANGLES,) -> float32 (2, ANGLES)."""
    outer = np.broadcast_to(outer, ANGLES) / largest
    return np.stack([np.zeros(ANGLES), outer]).astype(np.float32)


def _polygon(corners):
    """A polygon whose corners can all be seen from (0, 0): (n, 2) of x, y."""
    begin = np.asarray(corners, float)  # (n, 2), as what follows
    side = np.roll(begin, -1, axis=0) - begin
    angle = _directions()[:, None]
    x, y = np.cos(angle), np.sin(angle)  # (ANGLES, 1)
    across = x * side[:, 1] - y * side[:, 0]  # (ANGLES, n)
    across = np.where(np.abs(across) < 1e-12, np.nan, across)  # parallel
    distance = (begin[:, 0] * side[:, 1] - begin[:, 1] * side[:, 0]) / across
    along = (begin[:, 0] * y - begin[:, 1] * x) / across
    met = (distance > 0) & (along >= -1e-9) & (along <= 1 + 1e-9)
    outer = np.where(met, distance, 0.0).max(axis=1)
    return _filled(outer, np.hypot(*begin.T).max())


def _on_circle(radii):
    """A polygon with corners at these radii, evenly around, the first on top."""
    angle = np.pi / 2 + 2 * np.pi * np.arange(len(radii)) / len(radii)
    return _polygon(np.stack([np.cos(angle), np.sin(angle)], 1) * np.c_[radii])


def _heart():
    t = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return _polygon(np.stack([16 * np.sin(t) ** 3, height], 1))


def _half_disc():
    t = np.linspace(0, np.pi, 100)
    return _polygon(np.stack([np.cos(t), np.sin(t) - 0.42], 1))


def _drop():
    t = np.linspace(np.pi, 2 * np.pi, 100)
    return _polygon([*np.stack([0.62 * np.cos(t), 0.62 * np.sin(t)], 1), (0, 1.1)])


def _ring():
    return np.stack([np.full(ANGLES, 0.5), np.ones(ANGLES)]).astype(np.float32)


_ARM = 0.36  # half of the width of a cross's arms
_CROSS = [(_ARM, _ARM), (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM)]
_ARROW = [(0, 1), (0.75, 0), (0.3, 0), (0.3, -1), (-0.3, -1), (-0.3, 0), (-0.75, 0)]

SILHOUETTES = {
    "disc": _filled(1.0, 1.0),
    "ellipse": _filled(1 / np.sqrt(1 - 0.75 * np.cos(_directions()) ** 2), 2.0),
    "half-disc": _half_disc(),
    "ring": _ring(),
    "triangle": _on_circle([1] * 3),
    "square": _on_circle([1] * 4),
    "bar": _polygon([(1, 0.35), (-1, 0.35), (-1, -0.35), (1, -0.35)]),
    "hexagon": _on_circle([1] * 6),
    "star": _on_circle([1, 0.45] * 5),
    "cross": _polygon([*_CROSS, *(-np.array(_CROSS)).tolist()]),
    "arrow": _polygon([(x, y - 0.05) for x, y in _ARROW]),
    "drop": _drop(),
    "heart": _heart(),
    "flower": _filled(1 + 0.35 * np.cos(5 * _directions()), 1.35),
}
"""Fourteen silhouettes, float32 (2, ANGLES) each."""
