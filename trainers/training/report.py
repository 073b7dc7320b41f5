"""The lines about scores over a background that commands print."""

import math

SEGMENTS = {  # scores over a background, by name
    "foreground_ari": "foreground ARI",
    "ari_with_background": "ARI with background",
    "best_overlap": "best overlap (IoU)",
}


NONE = "none"


def over_background(test):
    """Lines of a table: each score at the last step, and what needs no learning.

    Args:
        test: what `scoring.summary` returned; nothing is said of a model without
            layers.
    """
    for key, name in SEGMENTS.items():
        if key in test:
            plain = _number(test[f"no_learning_{key}"]["last"])
            yield f"  {name:24}{_number(test[key]['last'])}   no learning {plain}"
    if "psnr" in test:
        before = _number(test["repeat_psnr"], 1)
        before = "" if before == NONE else f"   the frame before it {before} dB"
        yield f"  {'next frame':24}{_number(test['psnr'], 1)} dB PSNR{before}"
        yield (
            f"  {'moving pixels foretold':24}{_number(test['moving_foretold'])}   "
            f"components used {_number(test['segments_used'], 1)}"
        )


def _number(value, digits=3):
    """A score; null where nothing is labelled or moves, or no error is left."""
    none = value is None or not math.isfinite(value)
    return NONE if none else f"{value:.{digits}f}"
