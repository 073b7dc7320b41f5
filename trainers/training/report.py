"""The lines about scores over a background that commands print."""

SEGMENTS = {
    "foreground_ari": "foreground ARI",
    "ari_with_background": "ARI with background",
    "best_overlap": "best overlap (IoU)",
}


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
        yield (
            f"  {'next frame':24}{test['psnr']:.1f} dB PSNR   the frame before it "
            f"{test['repeat_psnr']:.1f} dB"
        )
        yield (
            f"  {'moving pixels foretold':24}{_number(test['moving_foretold'])}   "
            f"components used {test['segments_used']:.1f}"
        )


def _number(value):
    """A score; null where nothing is labelled or moves."""
    return "none" if value is None or value != value else f"{value:.3f}"
