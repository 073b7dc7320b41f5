"""Checks of the arguments that every dataset takes, one line per refusal.

This file needs no TensorFlow, so a wrong argument can be refused at once.
"""

from numbers import Integral, Real

import numpy as np

CLIPS = {"train": 50_000, "validation": 10_000, "test": 10_000}  # the paper's


def check_integer(name, value, *, least, remedy):
    """Return `value` as an int, or raise ValueError if it is not one `>= least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(
            f"{name}: expected an integer >= {least}, received {value!r}; {remedy}"
        )
    return int(value)


def check_seed(seed):
    """Return `seed` as an int, or raise ValueError unless it fits in 63 bits."""
    seed = check_integer("seed", seed, least=0, remedy="use 0, 1, 2, ...")
    if seed >= 2**63:
        raise ValueError(
            f"seed: expected an integer below 2**63, received {seed}; use a smaller one"
        )
    return seed


def check_split(split):
    """Return `split`, or raise ValueError unless it is one of the paper's three."""
    if split not in CLIPS:
        raise ValueError(
            f"split: expected one of {', '.join(CLIPS)}, received {split!r}; "
            "name one of them"
        )
    return split


def check_clips(clips, split):
    """Return the number of clips in `split`; None is the paper's."""
    if clips is None:
        return CLIPS[check_split(split)]
    return check_integer("clips", clips, least=1, remedy="or None for the paper's")


def check_steps(steps):
    """Return T as an int, or raise ValueError unless it is at least 1."""
    return check_integer("steps", steps, least=1, remedy="a clip has steps + 1 frames")


def check_objects(objects):
    """Return the number of objects as an int, or raise ValueError if it is below 1."""
    return check_integer("objects", objects, least=1, remedy="draw at least one")


def check_probability(name, value, remedy):
    """Return a probability as a float, or raise ValueError if outside [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(
            f"{name}: expected a probability in [0, 1], received {value!r}; {remedy}"
        )
    return float(value)


def check_noise(noise):
    """Return the noise rate as a float, or raise ValueError if outside [0, 1]."""
    return check_probability("noise", noise, "use 0 for clean pixels")


def check_labels(groups, where):
    """Raise ValueError unless labels are integers from 0 to 2**31 - 1, or such floats.

    Args:
        groups: NumPy array of numbers.
        where: what to call its place, in an error.
    """
    low, high = groups.min(), groups.max()
    if not (0 <= low and high < 2**31 and np.all(groups == np.floor(groups))):
        raise ValueError(
            f"groups: expected integers from 0 to 2**31 - 1 in {where}, received "
            f"values in [{low:g}, {high:g}]; use 0 for background"
        )


def check_noise_kind(noise_kind, kinds):
    """Return `noise_kind`, or raise ValueError unless it is one of `kinds`."""
    if noise_kind not in kinds:
        raise ValueError(
            f"noise_kind: expected one of {', '.join(kinds)}, received "
            f"{noise_kind!r}; name one of them"
        )
    return noise_kind


def check_threshold(threshold):
    """Return a brightness as a float, or raise ValueError unless it is in (0, 1]."""
    real = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not real or not 0 < threshold <= 1:
        raise ValueError(
            f"threshold: expected a brightness in (0, 1], received {threshold!r}; "
            "0.5 is half of the brightest"
        )
    return float(threshold)


def check_digit_size(digit_size, most):
    """Return a side in pixels as an int, or raise ValueError if it is above `most`."""
    remedy = "10 is half of MNIST's"
    digit_size = check_integer("digit_size", digit_size, least=1, remedy=remedy)
    if digit_size > most:
        raise ValueError(
            f"digit_size: expected at most {most}, the size of MNIST's digits, "
            f"received {digit_size}; {remedy}"
        )
    return digit_size


def check_box(box, digit_size):
    """Return a side in pixels, 0 for none, or raise ValueError if digits are larger."""
    box = check_integer("box", box, least=0, remedy="0 is each digit's own")
    if 0 < box < digit_size:
        raise ValueError(
            f"box: expected room for digits of {digit_size} pixels, received {box}; "
            "14 is MNIST's image, halved"
        )
    return box


def check_part(part):
    """Return (i, n) of the i-th of n parts, or raise ValueError if it is not one."""
    pair = isinstance(part, (tuple, list)) and len(part) == 2
    if not pair or not all(isinstance(n, Integral) for n in part):
        raise ValueError(
            f"part: expected (i, n), received {part!r}; (0, 1) is all of each batch"
        )
    which, parts = int(part[0]), int(part[1])
    if not 0 <= which < parts:
        raise ValueError(
            f"part: expected i from 0 to n - 1, received {which} of {parts}; count "
            "parts from 0"
        )
    return which, parts


def check_size(size):
    """Return (H, W) from a pair, or from one integer for a square frame."""
    pair = (size, size) if isinstance(size, Integral) else size
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            f"size: expected rows and columns, received {size!r}; use e.g. (28, 28)"
        )
    remedy = "count rows and columns in pixels"
    return tuple(check_integer("size", n, least=1, remedy=remedy) for n in pair)


def check_speed(speed, size, extents):
    """Refuse objects that do not fit in the frame or cannot bounce at this speed.

    An object with `free` pixels of room along an axis has a legal bounce at every
    position only if `2 * speed <= free + 1`: from any place, either the move or the
    mirrored move ends inside the frame.

    Args:
        speed: largest velocity along an axis, pixels per frame.
        size: (H, W) of the frame, pixels.
        extents: mapping from an object's name to its (h, w), pixels.

    Raises:
        ValueError: naming the first object that does not fit or cannot bounce.
    """
    speed = check_integer("speed", speed, least=0, remedy="0 holds objects still")
    for name, extent in extents.items():
        free = min(size[0] - extent[0], size[1] - extent[1])
        box = f"{extent[0]} x {extent[1]}"
        if free < 0:
            raise ValueError(
                f"size: expected room for {name} ({box} pixels), received "
                f"{size[0]} x {size[1]}; enlarge the frame or leave the object out"
            )
        if speed and 2 * speed > free + 1:
            raise ValueError(
                f"speed: expected at most {(free + 1) // 2} for {name} ({box} pixels) "
                f"to bounce in {size[0]} x {size[1]}, received {speed}; "
                "slow down or enlarge the frame"
            )
    return speed
