"""Group the pixels of a video with a trained or exported model, without a server.

    python -m export.segment flying_shapes clip.gif --out out.gif
    python -m export.segment runs/flying_shapes/DATE-TIME-seed0 clip.gif
    python -m export.segment models/flying_shapes_k3 clip.mp4 --resize --threshold 0.5

MODEL is a preset that ships with nem_tf, a run folder, a .keras file, an exported model
(its newest version) or one of its versions. INPUT is a GIF, MP4 or other video, a
folder of images, or a .npy or .npz file of frames (T, H, W) or (T, H, W, C), or of one
photo (H, W, 3). A still image is shown 20 times.

A layered model, with a background, takes frames of any size, and its result, which may
also be an .mp4, has that size: 0 is background, components are 1 to K.
"""

import json
import pathlib
import sys

import numpy as np

from export import command, result
from export.documents import versions
from export.own_size import OwnSize
from reading import video
from reading.background import estimate
from trainers.training import quiet

AUTO = "auto"  # for --components: as many as are used
PIECE = 64  # frames that an exported model gets at once, at most


def main(arguments=None):
    """The command; returns the exit status."""
    parser = command.parser("segment", __doc__, "MODEL INPUT [--out FILE] [flags]")
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL")
    parser.add_argument("input", type=pathlib.Path, metavar="INPUT")
    parser.add_argument(
        "--components",
        type=_components,
        metavar="N",
        help="K (as trained; an exported model has its own), or auto: as many as are "
        "used, of 8, where components to spare stay empty",
    )
    command.add_input_flags(parser, tuple(command.RESULTS))
    parser.add_argument(
        "--starts",
        type=command.at_least(1),
        default=1,
        metavar="N",
        help="random starts, that of --seed and others that follow from it; the one "
        "whose predictions were likeliest is taken (1)",
    )
    given = parser.parse_args(arguments)
    return command.run("segment", _segment, given, parser, debug=given.debug)


def _components(text):
    """The type of --components."""
    return text if text == AUTO else command.at_least(1)(text)


def _segment(given, parser):
    if not given.input.exists():
        raise ValueError(f"{given.input}: no such file or folder; check the path")
    out = given.out or pathlib.Path(f"{given.input.stem}-segmented.gif")
    result.check_out(out, given.input)
    if out.suffix == ".mp4":
        command.need("video")
    with quiet.startup():
        model = load(given.model, given.components)
    if out.suffix == ".mp4" and not model.layered:
        parser.error(f"argument --out: {command.wrong_result(out, ('.gif', '.npz'))}")
    taken = video.read(
        given.input,
        model.frame_shape,
        grey=given.grey,
        resize=given.resize or model.layered,
        threshold=given.threshold,
        first=given.first,
    )
    if model.binary and not video.is_binary(taken.frames):
        raise ValueError(
            f"{given.input}: the model was trained on binary pixels, received "
            f"{len(np.unique(taken.frames))} grey levels; add --threshold 0.5"
        )
    frames, fps = result.as_clip(taken)
    if model.layered:
        _segment_layered(model, frames, fps, out, given)
        return
    found = model.segment(frames, given.seed, given.starts)
    result.write(out, frames, found, fps)
    lit = frames[1:].max(axis=-1) > 0.5  # (T-1, H, W)
    _report(model, frames, found, found.gamma[1:], lit, "bright pixels", out)


def _segment_layered(model, frames, fps, out, given):
    """The result of a layered model, at the video's own size."""
    own = OwnSize(given.input, model.frame_shape, given.threshold, given.first)
    small = own.small_background(frames, model.background)
    found = model.segment(frames, given.seed, given.starts, small)
    behind = own.background(frames, small, model.foreground)
    segments = own.segments(found.gamma, behind, model.foreground)
    result.write_layered(out, frames, found, segments, fps)
    objects = found.segments > 0
    _report(model, frames, found, found.gamma, objects, "objects", out)


def _report(model, frames, found, gamma, where, what, out):
    """The line that a run ends with, about the components at some pixels."""
    from nem_tf.inference import used_components

    components = found.gamma.shape[1]
    used = used_components(model, found.segments, frames, components)
    sure = gamma[..., 0].max(axis=1)[where]
    print(
        f"{len(frames)} frames, {used.sum()} of {components} components used, mean "
        f"confidence on {what} {sure.mean() if sure.size else 0:.2f}; wrote {out}"
    )


def load(path, components=None):
    """The model at `path`, with `segment` as `NeuralEM` has it.

    And what it says of itself: `frame_shape`, whether it is `binary`: of binary pixels,
    the `usual_pixels` of an object, and whether it is `layered`; then also its kind of
    `background`, and `foreground`, the distance from it at which a pixel is as likely
    an object's, a number or (H, W).

    Args:
        path: see the module.
        components: K, "auto" as `NeuralEM.segment` has it, or None for the model's. An
            exported one has its own K: "auto" leaves those to spare empty.

    Raises:
        ValueError: if there is no readable model, an exported one has another K, or
            "auto" is asked of one whose spare components do not stay empty.
    """
    from trainers.training import trained as runs

    path = pathlib.Path(path)
    if runs.is_trained(path):
        return TrainedModel(path, components)
    if not (path / "saved_model.pb").is_file() and path.is_dir():
        path = path / str(max(versions(path), default=""))
    if (path / "saved_model.pb").is_file():
        return ExportedModel(path, components)
    raise ValueError(
        f"{path}: neither a run folder (model.keras), a preset, nor an exported model "
        "(saved_model.pb); check the path"
    )


class TrainedModel:
    """A preset or the model of a run folder, for any K."""

    def __init__(self, path, components):
        from nem_tf.inference.used import most
        from trainers.training import trained as runs

        self.nem = runs.load(path, compiled=False).nem
        cell = self.nem.cell
        self.components = components
        self.frame_shape = cell.frame_shape
        self.binary = cell.likelihood.binary
        self.layered, self.usual_pixels = cell.layered, cell.usual_pixels
        if components == AUTO:
            most(cell)  # raises ValueError unless it can
        if cell.layered:
            self.background, self.foreground = cell.background, cell.foreground

    def segment(self, frames, seed, starts=1, background=None):
        """`NeuralEM.segment` of one video, frames (T, H, W, C)."""
        return self.nem.segment(frames, self.components, seed, starts, background)


class ExportedModel:
    """A SavedModel, run as a stream of pieces."""

    def __init__(self, path, components):
        import tensorflow as tf

        from export import documents
        from nem_tf import likelihoods

        if not (path / documents.SUMS).is_file():
            raise ValueError(
                f"{path}: has no {documents.SUMS}; take a model that "
                "export.saved_model wrote"
            )
        damaged = documents.damaged(path)
        if damaged:
            raise ValueError(
                f"{path}: {', '.join(damaged)} changed since the export; export again "
                "or take another copy"
            )
        about = json.loads((path / documents.ABOUT).read_text())
        if components == AUTO and not about.get("spares", False):
            raise ValueError(
                f"components: {path} has components that share all pixels evenly, or "
                "is of an earlier export, received 'auto'; leave --components out, or "
                "export a model anew whose cell has object_pixels"
            )
        if components not in (None, AUTO, about["components"]):
            raise ValueError(
                f"components: {path} was exported with K = {about['components']}, "
                f"received {components}; export it with --components {components}"
            )
        self.model = tf.saved_model.load(str(path))
        self.frame_shape = tuple(about["frame_shape"])
        self.likelihood = likelihoods.get(
            about.get("likelihood_config", about["likelihood"])
        )
        self.binary = self.likelihood.binary
        self.layered = about.get("layered", False)
        self.usual_pixels = about.get("usual_pixels", 0.0)
        if self.layered:
            self.background, self.foreground = about["background"], about["foreground"]
        self.about = about
        self.piece = min(PIECE, about["most_frames"])

    def segment(self, frames, seed, starts=1, background=None):
        """The same through `chunk`, which a long video is sent to in pieces."""
        from nem_tf import Segmentation
        from nem_tf.inference import likeliest
        from nem_tf.random_start import random_start

        about = self.about
        start = random_start([seed], about["components"], self.frame_shape)
        clips = {"noisy": frames[None], "pi": np.asarray(start)}
        twice = int(self.layered)  # whether frame 0 is shown twice, so predicted
        if self.layered:
            if background is None:
                background = estimate(frames, self.background)
            clips["background"] = background[None]
            clips["noisy"] = np.concatenate([frames[:1], frames])[None]
        found = likeliest(self._predict, clips, starts, self.likelihood)
        return Segmentation(*(found[name][0, twice:] for name in Segmentation._fields))

    def _predict(self, clips):
        """All results of one video, (1, T, H, W, C), from the random start pi."""
        import tensorflow as tf
        from tqdm import tqdm

        frames = clips["noisy"]
        state = self._state(clips["pi"], clips.get("background"))
        chunk = self.model.signatures["chunk"]
        pieces = []
        length = frames.shape[1]
        bar = tqdm(total=length, unit="frame", disable=not sys.stderr.isatty())
        for start in range(0, length, self.piece):
            piece = tf.constant(frames[:, start : start + self.piece])
            reply = chunk(frames=piece, **state)
            state = {name: reply[name] for name in state}
            pieces.append(reply)
            bar.update(reply["segmentation"].shape[1])
        bar.close()
        names = {"segments": "segmentation", "gamma": "gamma", "psi": "predictions"}
        return {
            ours: np.concatenate([piece[name] for piece in pieces], axis=1)
            for ours, name in names.items()
        }

    def _state(self, pi, background):
        """The state before the first frame: that of `init`, with another start."""
        import tensorflow as tf

        from nem_tf.random_start import sides

        behind = {"background": tf.constant(background)} if self.layered else {}
        state = self.model.signatures["init"](seed=tf.constant([0]), **behind)
        start = sides(pi) if self.about.get("start") == "sides" else tf.constant(pi)
        return {**state, "pi": start}


if __name__ == "__main__":
    sys.exit(main())
