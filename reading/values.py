"""What is said about pixels that are not in [0, 1]."""

import math

ROUNDING = 1e-3  # what resizing leaves beside [0, 1], in half precision, too


def outside(name, low, high):
    """The line about pixels from `low` to `high`, one of which is not in [0, 1]."""
    if not math.isfinite(low) or not math.isfinite(high):
        remedy = "replace NaN and infinity, for example by 0"
    elif low < 0:
        remedy = "map -1..1 by (x + 1) / 2, or shift and scale them otherwise"
    elif high < 2:
        remedy = "clip them to [0, 1]"
    elif high <= 255:
        remedy = "divide 8-bit frames by 255"
    elif high <= 65535:
        remedy = "divide 16-bit frames by 65535"
    else:
        remedy = "divide them by the largest value there can be"
    return (
        f"{name}: expected pixels in [0, 1], received values in [{low:.8g}, "
        f"{high:.8g}]; {remedy}"
    )
