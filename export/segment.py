"""Group the pixels of a video with a trained or exported model, without a server.

    python -m export.segment flying_shapes clip.gif --out out.gif
    python -m export.segment runs/flying_shapes/DATE-TIME-seed0 clip.gif
    python -m export.segment models/flying_shapes_k3 clip.mp4 --resize --threshold 0.5

MODEL is a preset that ships with nem_tf, a run folder, a .keras file, an exported model
(its newest version) or one of its versions. INPUT is a GIF, MP4 or other video, a
folder of images, or a .npy or .npz file of frames (T, H, W) or (T, H, W, C), or of one
photo (H, W, 3). A still image is shown 20 times.
"""

import json
import pathlib
import sys

import numpy as np

from export import command, result, video
from export.versions import versions
from trainers import quiet

PIECE = 64  # frames that an exported model gets at once, at most


def main(arguments=None):
    """The command; returns the exit status."""
    parser = command.parser("segment", __doc__, "MODEL INPUT [--out FILE] [flags]")
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL")
    parser.add_argument("input", type=pathlib.Path, metavar="INPUT")
    parser.add_argument(
        "--components",
        type=command.at_least(1),
        metavar="N",
        help="K (as trained; an exported model has its own)",
    )
    command.add_input_flags(parser)
    parser.add_argument(
        "--starts",
        type=command.at_least(1),
        default=1,
        metavar="N",
        help="random starts, seeds from --seed on; the one whose predictions were "
        "likeliest is taken (1)",
    )
    given = parser.parse_args(arguments)
    if given.seed + given.starts > 2**31:
        parser.error(
            f"starts: expected seeds below 2**31, received {given.starts} from seed "
            f"{given.seed} on; begin with a smaller one"
        )
    return command.run("segment", _segment, given, debug=given.debug)


def _segment(given):
    if not given.input.exists():
        raise ValueError(f"{given.input}: no such file or folder; check the path")
    out = given.out or pathlib.Path(f"{given.input.stem}-segmented.gif")
    result.check_out(out, given.input)
    with quiet.startup():
        model = load(given.model, given.components)
    taken = video.read(
        given.input,
        model.frame_shape,
        grey=given.grey,
        resize=given.resize,
        threshold=given.threshold,
        first=given.first,
    )
    if model.binary and not video.is_binary(taken.frames):
        raise ValueError(
            f"{given.input}: the model was trained on binary pixels, received "
            f"{len(np.unique(taken.frames))} grey levels; add --threshold 0.5"
        )
    frames = result.as_clip(taken.frames)
    found = likeliest(model, frames, given.seed, given.starts)
    is_still = len(taken.frames) == 1  # how long it lasts is no rate
    result.write(out, frames, found, video.FPS if is_still else taken.fps)
    lit = frames[1:].max(axis=-1) > 0.5  # (T-1, H, W)
    used = np.unique(found.segments[1:][lit])
    sure = found.gamma[1:, ..., 0].max(axis=1)[lit]
    print(
        f"{len(frames)} frames, {len(used)} of {found.gamma.shape[1]} components on "
        f"bright pixels, mean confidence there {sure.mean() if sure.size else 0:.2f}; "
        f"wrote {out}"
    )


def likeliest(model, frames, seed, starts):
    """The result of the likeliest start, told as `nem_tf.restarts.likeliest` does.

    Args:
        model: what `load` returned.
        frames: shape (T, H, W, C), T at least 2 if there are several starts.
        seed: of the first start; the others have the next ones, so that a run and its
            export begin alike.
        starts: how many.
    """
    best = model.segment(frames, seed)
    if starts == 1:
        return best
    from nem_tf import restarts

    likelihood = model.likelihood
    largest = restarts.fit(frames, best.psi, likelihood)
    for start in range(1, starts):
        found = model.segment(frames, seed + start)
        fit = restarts.fit(frames, found.psi, likelihood)
        if fit > largest:
            best, largest = found, fit
    return best


def load(path, components=None):
    """The model at `path`, with `segment(frames, seed)`, and what it says of itself.

    `frame_shape`, its `likelihood`, and whether it is `binary`: of binary pixels.

    Args:
        path: see the module.
        components: K, or None for the model's.

    Raises:
        ValueError: if there is no readable model, or an exported one has another K.
    """
    from trainers import trained as runs

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
        from trainers import trained as runs

        self.nem = runs.load(path, compiled=False).nem
        self.components = components
        self.frame_shape = self.nem.cell.frame_shape
        self.likelihood = self.nem.cell.likelihood
        self.binary = self.likelihood.name == "bernoulli"

    def segment(self, frames, seed):
        """`NeuralEM.segment` of one video, frames (T, H, W, C)."""
        return result.Result(*self.nem.segment(frames, self.components, seed))


class ExportedModel:
    """A SavedModel, run as a stream of pieces."""

    def __init__(self, path, components):
        import tensorflow as tf

        from export import documents

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
        if components not in (None, about["components"]):
            raise ValueError(
                f"components: {path} was exported with K = {about['components']}, "
                f"received {components}; export it with --components {components}"
            )
        self.model = tf.saved_model.load(str(path))
        self.frame_shape = tuple(about["frame_shape"])
        self.binary = about["likelihood"] == "bernoulli"
        self._likelihood = about.get("likelihood_config", about["likelihood"])
        self.piece = min(PIECE, about["most_frames"])

    @property
    def likelihood(self):
        from nem_tf import likelihoods

        return likelihoods.get(self._likelihood)

    def segment(self, frames, seed):
        """The same through `init` and `chunk`, so that length costs no more memory."""
        import tensorflow as tf
        from tqdm import tqdm

        signatures = self.model.signatures
        state = signatures["init"](seed=tf.constant([seed], tf.int32))
        pieces = []
        bar = tqdm(total=len(frames), unit="frame", disable=not sys.stderr.isatty())
        for start in range(0, len(frames), self.piece):
            piece = tf.constant(frames[None, start : start + self.piece])
            reply = signatures["chunk"](frames=piece, **state)
            state = {name: reply[name] for name in state}
            pieces.append(reply)
            bar.update(piece.shape[1])
        bar.close()
        names = ("segmentation", "gamma", "predictions")
        parts = (np.concatenate([p[name][0] for p in pieces]) for name in names)
        return result.Result(*parts)


if __name__ == "__main__":
    sys.exit(main())
