"""The folder of an exported model: its versions, README, model card, checksums."""

import hashlib

from trainers.training import config_file, report

ABOUT, README, CARD, SUMS = "about.json", "README.md", "MODEL_CARD.md", "SHA256SUMS"

STATE = ("theta", "psi", "pi")  # of a stream, from frame to frame

MEANING = {
    "frame": "the frame x[t], pixels in [0, 1]",
    "frames": "frames in the order of time, pixels in [0, 1]",
    "seed": "of the random start, one per clip, 0 to 2147483647",
    "segmentation": "the component that explains each pixel, 0 to K-1",
    "confidence": "the gamma of that component, 1/K to 1",
    "gamma": "soft assignment of the pixels of x[t], sums to 1 over K",
    "log_likelihood": "how well x[t] was predicted, nats; 0 if nothing was predicted",
    "next_frame": "prediction of x[t+1]: the largest psi of each pixel, of components "
    "that explain something",
    "used": "how many components win a quarter of an object's pixels or more; where "
    "`usual_pixels` of about.json is 0, of a K-th of those that are not background",
    "psi": "each component's prediction of x[t+1]",
    "predictions": "psi after each frame",
    "theta": "one vector per component: what it knows about its object",
    "pi": "mixing weights of the next E-step, sum to 1 over K",
}
OF_LAYERS = {
    "background": "what is behind the objects, pixels in [0, 1]",
    "segmentation": "0 for background, else the component, 1 to K",
    "next_frame": "prediction of x[t+1] by all components together",
    "pi": "mixing weights of the next E-step, up to their sum",
}


def carried(layered):
    """Names of what a stream carries from one call to the next."""
    return (*STATE, "background") if layered else STATE


def versions(model):
    """The integers among the names in a model's folder, in order; none without it."""
    if not model.is_dir():
        return []
    names = [path.name for path in model.iterdir()]
    return sorted(int(name) for name in names if name.isdecimal())


def write(folder, about, signatures):
    """README.md, MODEL_CARD.md, about.json, and last the checksums of all files.

    Args:
        folder: of the SavedModel or LiteRT model.
        about: dict of what `saved_model.describe` collects.
        signatures: dict from signature to its `inputs` and `outputs`, each a dict from
            name to shape (tuple, None for any size) and type.
    """
    (folder / ABOUT).write_text(config_file.text(about))
    (folder / README).write_text(_readme(about, signatures))
    (folder / CARD).write_text(_card(about))
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != SUMS:
            lines.append(f"{_digest(path)}  {path.relative_to(folder)}\n")
    (folder / SUMS).write_text("".join(lines))


def damaged(folder):
    """Names of the files that do not have the checksum that was written for them."""
    wrong = []
    for line in (folder / SUMS).read_text().splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or _digest(path) != digest:
            wrong.append(name)
    return wrong


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _readme(about, signatures):
    height, width, channels = about["frame_shape"]
    lines = [
        f"# {about['name']}, version {about['version']}",
        "",
        f"Groups the pixels of {height} x {width} x {channels} frames into "
        f"{about['components']} components, frame by frame, and predicts the next "
        f"frame. Format: {about['format']}. MODEL_CARD.md says what it was trained on "
        "and how well it does.",
        "",
        "Axes: B clips, T frames, K components, H rows, W columns, C channels, M size "
        f"of theta. Here K = {about['components']}, H x W x C = "
        f"{height} x {width} x {channels}, M = {about['units']}.",
    ]
    if about.get("spares", False):
        lines += [
            "",
            "K may be larger than the number of objects: components to spare stay "
            "empty, and `used` counts the others.",
        ]
    layered = about.get("layered", False)
    meaning = MEANING | OF_LAYERS if layered else MEANING
    purpose = _PURPOSE | _PURPOSE_OF_LAYERS if layered else _PURPOSE
    for name, signature in signatures.items():
        lines += ["", f"## {name}", "", purpose[name], ""]
        lines += ["| | name | shape | type | |", "|---|---|---|---|---|"]
        for side in ("inputs", "outputs"):
            for tensor, (shape, kind) in signature[side].items():
                row = (side[:-1], tensor, _sizes(shape), kind, meaning[tensor])
                lines.append("| " + " | ".join(row) + " |")
    if about["format"] == "saved_model":
        lines += ["", "## From Python", "", _example(about)]
    lines += ["", "## Errors", "", _errors(about), ""]
    lines += ["`sha256sum -c SHA256SUMS` tells whether the files are as written.", ""]
    return "\n".join(lines)


def _sizes(shape):
    """(None, None, 28, 28, 1) -> "(B, T, 28, 28, 1)"."""
    letters = iter("BT")
    sizes = [next(letters) if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)})"


def _example(about):
    sizes = ", ".join(map(str, about["frame_shape"]))
    example = _EXAMPLE
    if about.get("layered", False):
        example = example.replace(*_BEHIND).replace(*_BEGIN).replace(*_KEEP)
    return example.format(name=about["name"], sizes=sizes)


_EXAMPLE = """\
```sh
python -m export.client video.gif --server HOST:8500 --model {name} --out result.gif
```

```python
import numpy as np, requests

url = "http://HOST:8501/v1/models/{name}:predict"
frame = np.zeros([1, {sizes}])  # pixels in [0, 1]
ask = {{"signature_name": "init", "inputs": {{"seed": [0]}}}}
state = requests.post(url, json=ask).json()["outputs"]
ask = {{"signature_name": "step", "inputs": {{"frame": frame.tolist(), **state}}}}
reply = requests.post(url, json=ask).json()["outputs"]
state = {{name: reply[name] for name in ("theta", "psi", "pi")}}  # for the next frame
```"""
_BEHIND = (  # what the example of a layered model has instead
    "pixels in [0, 1]\n",
    "pixels in [0, 1]\nbehind = np.zeros([1, {sizes}])  # what is behind the objects\n",
)
_BEGIN = (
    '"inputs": {{"seed": [0]}}}}\n',
    '"inputs": {{"seed": [0], "background": behind.tolist()}}}}\n',
)
_KEEP = ('("theta", "psi", "pi")', '("theta", "psi", "pi", "background")')
_PURPOSE = {
    "serving_default": (
        "Whole clips. Frame t is assigned by what frames 0..t-1 predicted for it; the "
        "first frame, which nothing predicted, shows the random start."
    ),
    "init": (
        "The state of a stream before its first frame. For several random starts of "
        "one video give several seeds, and then each frame as often: the start whose "
        "`log_likelihood`, summed over the frames, is largest explains them best."
    ),
    "step": (
        "One frame of a stream. The state of the reply goes into the next request "
        "under the same names; the server keeps nothing."
    ),
    "chunk": "Several frames of a stream at once; the reply's state is the last one.",
}
_PURPOSE_OF_LAYERS = {
    "serving_default": (
        "Whole clips and what is behind their objects. Frame t is assigned by what "
        "frames 0..t-1 predicted for it; the first frame is shown once more before."
    ),
    "init": (
        "The state of a stream before its first frame, which is best sent twice: the "
        "second time it is assigned by what was predicted of it. Another `background` "
        "may be put into the state at any time, such as a better estimate. For several "
        "random starts of one video give several seeds, and then each frame as often: "
        "the start whose `log_likelihood`, summed over the frames, is largest explains "
        "them best."
    ),
}
_ERRORS = {
    "saved_model": (
        "A wrong shape or type, pixels that are not finite or not in [0, 1], a state "
        "that is no state, a negative seed, or more than {most_frames} frames in a "
        "request are answered with INVALID_ARGUMENT and a sentence that says which. "
        "For the same frames and batch size, `step`, `chunk` and `serving_default` "
        "give the same numbers."
    ),
    "litert": (
        "Nothing is checked here: pixels have to be in [0, 1]. Before the first frame "
        "theta and psi are 0, and pi is {first_pi}."
    ),
}
_LITERT_OF_LAYERS = (
    "Nothing is checked here: pixels have to be in [0, 1]. Before the first frame "
    "theta is 0, psi is the background for each component, and pi is {first_pi}. The "
    "first frame is best sent twice: the second time it is assigned by what was "
    "predicted of it. Another `background` may be put into the state at any time, such "
    "as a better estimate."
)
_FIRST_PI = {
    "random": (
        "|N(0, 1)| draws divided by their sum over K; another draw is another start"
    ),
    "sides": (
        "exp(x cos(a_k) + y sin(a_k)) divided by its sum over K, a_k = a + 2 pi k / K, "
        "x and y from -1 to 1 over the frame (`nem_tf.random_start.sides`); another "
        "angle a is another start"
    ),
}


def _errors(about):
    first_pi = _FIRST_PI[about["start"]]
    errors = _ERRORS[about["format"]]
    if about["format"] == "litert" and about.get("layered", False):
        errors = _LITERT_OF_LAYERS
    return errors.format(first_pi=first_pi, **about)


def _card(about):
    settings, scores = about["settings"], about["scores"]
    trained, served = settings.get("components"), about["components"]
    lines = [
        f"# Model card: {about['name']}, version {about['version']}",
        "",
        "## Model",
        "",
        f"Neural Expectation Maximization ({about['cell']}, {about['likelihood']} "
        f"pixels), {about['weights']} weights, float32, K = {served}. Made by nem-tf "
        f"{about['nem_tf']} on {about['exported']}. The method: Greff, van Steenkiste "
        "and Schmidhuber, Neural Expectation Maximization, 2017.",
        "",
        "## Data",
        "",
        f"Experiment {about['experiment']}, clips: {about['data']}.",
        "",
        "## Training",
        "",
    ]
    if about["updates"]:
        minutes = about["seconds"] / 60
        lines += [f"{about['updates']} updates in {minutes:.0f} minutes.", ""]
    if settings:
        lines += ["| setting | value |", "|---|---|"]
        lines += [f"| {key} | {value} |" for key, value in settings.items()]
    else:
        lines += ["Not known: the model came without its config.json."]
    lines += ["", "## Scores", ""]
    if scores:
        lines += [
            f"On {scores['clips']} test clips of the same kind, K = {trained}:",
            "",
            *_table(scores),
        ]
        if served != trained:
            lines += ["", f"Not measured with the K = {served} that is served here."]
    else:
        lines += ["Not measured: the model came without its results.json."]
    lines += [
        "",
        "## Limits",
        "",
        *_limits(about),
        f"* At most {served} objects can be told apart. Which component takes which "
        "object depends on the seed.",
        "",
    ]
    return "\n".join(lines)


def _table(scores):
    """Lines about how the model did; how well labels are met only if there are any."""
    titles = {**report.SCORES, **report.SEGMENTS}
    met = {title: scores[key] for key, title in titles.items() if key in scores}
    if met:
        yield "| score | last step | mean over steps |"
        yield "|---|---|---|"
    for title, curve in met.items():
        last, mean = (report.number(curve[key]) for key in ("last", "mean"))
        yield f"| {title} | {last} | {mean} |"
    if not met:
        yield "The clips have no labels."
    yield ""
    yield f"Loss (Eq. 5): {scores['loss']:.1f} nats per clip."
    if "psnr" in scores:
        psnr, before = (report.number(scores[x], 1) for x in ("psnr", "repeat_psnr"))
        yield f"Next frame: PSNR {psnr} dB, that of the frame before it {before} dB."


def _range(values):
    """A number, or from the least to the largest of H lists."""
    if not isinstance(values, list):
        return f"{values:g}"
    flat = [value for row in values for value in row]
    return f"{min(flat):g} to {max(flat):g}, as its pixel flickers"


def _limits(about):
    """Lines about what frames and backgrounds have to be."""
    size = " x ".join(map(str, about["frame_shape"]))
    if about.get("layered", False):
        return [
            f"* Frames are {size}, before a background that stands still and is "
            "known: an object is what differs from it by more than "
            f"{_range(about['foreground'])}, Euclidean over the channels.",
            "* Confidence is about components; where segmentation is 0 it means "
            "little.",
        ]
    return [
        f"* Frames are {size}, objects bright on black, as in training; natural video "
        "is outside of what it has seen.",
        "* Background belongs to no component in particular: where a pixel is black, "
        "segmentation and confidence mean little.",
        "* The first frame shows the random start; objects come apart over some "
        "frames. A still image has to be repeated.",
    ]
