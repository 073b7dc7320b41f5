"""The lines about scores that commands print."""

import math

from trainers.training import differences

SCORES = {  # of a table, by name
    "ami": "AMI (max, the paper's)",
    "ami_arithmetic": "AMI (arithmetic)",
    "ari": "ARI",
}
SEGMENTS = {  # scores over a background, by name
    "foreground_ari": "foreground ARI",
    "ari_with_background": "ARI with background",
    "best_overlap": "best overlap (IoU)",
}
NEXT_STEP = {  # lower is better; a model has one of them
    "next_step_bound": "next-step bound",
    "next_step_error": "next-step error",
}
SWEPT = {  # of a sweep, by name; without labels it has the last two
    "ami": "AMI",
    "ari": "ARI",
    "purity": "purity per object",
    **{key: f"{name}, nats" for key, name in NEXT_STEP.items()},
    "used_components": "components used in the clip",
}
NONE = "none"


def of_evaluation(result):
    """Lines of a table: the scores of one number of objects and of one K.

    Args:
        result: what results.json says.
    """
    test, settings = result["test"], result["settings"]
    objects = f"{settings['objects']} objects, " if "ami" in test else ""
    yield from _of_clips(
        result, f"{objects}K = {settings['components']}, ", f"{test['clips']} {{}}"
    )
    yield ""
    if "ami" in test:
        yield f"  {'':24}{'last step':>18}{'mean':>8}   quartiles, last step"
    for key, name in SCORES.items():
        if key not in test:  # there are no labels
            continue
        curve = test[key]
        yield (
            f"  {name:24}{curve['last']:10.3f} ± {curve['last_standard_error']:.3f}"
            f"{curve['mean']:8.3f}   {curve['lower_quartile'][-1]:.3f} to "
            f"{curve['upper_quartile'][-1]:.3f}"
        )
    for key, name in (
        ("confidence", "confidence"),
        ("distinct_components", "distinct components"),
        ("purity", "purity per object"),
    ):
        if key not in test:
            continue
        mean = sum(test["per_step"][key]) / len(test["per_step"][key])
        yield f"  {name:24}{test[key]:10.3f}{'':8}{mean:8.3f}"
    for key, name in (
        ("covered", "drawn, if covered"),
        ("visible", "drawn, if visible"),
        ("foreign", "drawn, of other objects"),
    ):
        curve = test.get("covered", {}).get(key)
        if curve:  # a single object is covered by none
            mean = sum(curve) / len(curve)
            yield f"  {name:24}{curve[-1]:10.3f}{'':8}{mean:8.3f}"
    yield from over_background(test)
    yield from used(test)
    terms = ", ".join(f"{name} {test[name]:.1f}" for name in result["terms"])
    yield f"  loss {test['loss']:.1f} nats per clip ({terms}, unweighted)"
    for key, name in NEXT_STEP.items():
        if key in test:
            yield f"  {name} {test[key]:.2f} nats per frame"


def of_sweep(result):
    """Lines of a table: AMI, or without labels the error, by objects (rows) and K.

    Args:
        result: what results.json says, with a `sweep`.
    """
    found = result["sweep"]
    yield from _of_clips(result, "", f"{found['clips']} {{}} a cell")
    yield ""
    score = next(key for key in SWEPT if key in found)
    yield f"  {SWEPT[score]}, last step"
    first, *others = found["components"]
    columns = f"{f'K = {first}':>9}" + "".join(f"{k:>9}" for k in others)
    yield f"  {'objects':10}{columns}"
    marked = False
    for count, row in zip(found["objects"], found[score], strict=True):
        cells = []
        for k, value in zip(found["components"], row, strict=True):
            here = found["as_trained"] == [count, k]
            marked |= here
            cells.append(f"{number(value):>8}{'*' if here else ' '}")
        label = "any" if count is None else count
        yield f"  {label!s:11}{''.join(cells)}".rstrip()
    if marked:
        yield "  * as in training"


def _of_clips(result, model, clips):
    """Which clips were scored, and what about them is not as in the training."""
    settings = result["settings"]
    still = ", static" if settings["static"] else ""
    what = clips.format(f"{settings['split']} clips")
    yield (
        f"\n{result['experiment']} ({result['data']}){still}: {model}"
        f"T = {settings['steps']}, noise {settings['noise']:g}, {what}"
        f"{of_starts(settings['starts'])}"
    )
    if result["not_as_in_training"]:
        yield f"  {differences.as_line(result['not_as_in_training'])}"


def of_starts(starts):
    """What a line says of several random starts; nothing of one."""
    return f", the likeliest of {starts} starts" if starts > 1 else ""


def over_background(test):
    """Lines of a table: each score at the last step, and what needs no learning.

    Args:
        test: what `scoring.summary` returned; nothing is said of a model without
            layers.
    """
    for key, name in SEGMENTS.items():
        if key in test:
            plain = number(test[f"no_learning_{key}"]["last"])
            yield f"  {name:24}{number(test[key]['last'])}   no learning {plain}"
    if "psnr" in test:
        before = number(test["repeat_psnr"], 1)
        before = "" if before == NONE else f"   the frame before it {before} dB"
        yield f"  {'next frame':24}{number(test['psnr'], 1)} dB PSNR{before}"
        yield f"  {'moving pixels foretold':24}{number(test['moving_foretold'])}"


def used(test):
    """A line: the components used in a clip, as `inference.used` counts them."""
    if "used_components" not in test:  # results of earlier runs
        return
    right = test.get("used_as_labelled")
    labels = "" if right is None else f"   as many as objects in {right:.0%} of clips"
    yield f"  {'components used':24}{number(test['used_components'], 1)}{labels}"


def number(value, digits=3):
    """A score; "none" where nothing is labelled or moves, or no error is left."""
    none = value is None or not math.isfinite(value)
    return NONE if none else f"{value:.{digits}f}"
