"""Send videos to a model on TF Serving, frame by frame or clip by clip.

    python -m export.client clip.gif --model flying_shapes_k3 --out segmented.gif
    python -m export.client clip.mp4 --model flying_shapes_k3 --rest --streams 8

INPUT is a GIF, MP4 or other video, a folder of images, or a .npy file of frames
(T, H, W) or (T, H, W, C); several inputs are several streams at the same time. The
client carries the state of each stream; the server keeps none. So a request that the
server has no thread for, or that breaks off, is sent again until --timeout has passed.
A stream stays with the version that answered its first request, whatever its label
means later. Streams that end are written; each that does not is a line on stderr.
With --starts N the requests of a stream carry the states of N random starts, and each
frame's result is that of the likeliest so far; which one it was at the end is printed.
A layered model gets videos of any size, and what is behind their objects, which is
estimated from the whole video, of the kind that --background says; its result has the
model's size.
"""

import pathlib
import queue
import sys
import threading
import time
import traceback
from typing import Any, NamedTuple

import numpy as np

from export import address, command, documents, result
from export.own_size import OwnSize
from reading import video
from reading.kinds import KINDS
from trainers.training import quiet

PATIENCE = 0.3  # seconds in which requests may end after Ctrl-C


def main(arguments=None):
    """The command; returns the exit status."""
    parser = command.parser("client", __doc__, "INPUT [INPUT ...] --model NAME [flags]")
    parser.add_argument("inputs", type=pathlib.Path, nargs="+", metavar="INPUT")
    parser.add_argument("--model", required=True, metavar="NAME", help="on the server")
    parser.add_argument(
        "--server",
        metavar="HOST[:PORT]",
        help=f"(localhost; port {address.GRPC_PORT}, with --rest {address.REST_PORT})",
    )
    parser.add_argument("--rest", action="store_true", help="REST instead of gRPC")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--version", type=command.at_least(1), metavar="N", help="(the newest)"
    )
    which.add_argument("--label", help="such as stable")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--chunk",
        type=command.at_least(1),
        default=1,
        metavar="N",
        help="frames in a request of a stream (1)",
    )
    how.add_argument(
        "--clips", action="store_true", help="each video whole, in one request"
    )
    parser.add_argument(
        "--streams",
        type=command.at_least(1),
        metavar="N",
        help="at the same time, seeds from --seed on (one per input)",
    )
    parser.add_argument(
        "--timeout",
        type=command.at_least(0.001, float, most=86400),  # infinity is no deadline
        default=60.0,
        metavar="S",
        help="seconds that a request may take, with all its tries (60)",
    )
    parser.add_argument(
        "--background",
        choices=KINDS,
        default="auto",
        help="kind of it, of a layered model; the model's own is in about.json (auto)",
    )
    parser.add_argument(
        "--starts",
        type=command.at_least(1),
        default=1,
        metavar="N",
        help="random starts of each stream, side by side in its requests; each frame's "
        "result is that of the likeliest so far (1)",
    )
    command.add_input_flags(parser)
    given = parser.parse_args(arguments)
    lost: list[Exception] = []
    status = command.run("client", _send, given, lost, debug=given.debug)
    return status or (1 if lost else 0)


class Played(NamedTuple):
    """One stream after its end."""

    found: Any  # a `nem_tf.Segmentation`, if it was asked for
    latencies: list[float]  # seconds, one per request with all its tries
    version: int  # of the model, that answered
    retries: int  # requests that were sent again
    used: np.ndarray  # (T,) int32, components in each frame, see `inference.present`
    start: int  # that was the likeliest in the end, 0 to starts - 1


def play(
    server,
    frames,
    seed,
    *,
    background=None,
    chunk=1,
    clips=False,
    starts=1,
    keep=True,
    on_frames=None,
):
    """Send one video.

    Args:
        server: a `servers.Server`.
        frames: shape (T, H, W, C).
        seed: of the random start.
        background: of a layered model, (H, W, C).
        chunk: frames in a request.
        clips: whether to send the video whole.
        starts: random starts, that of the seed and others that follow from it. Each
            frame's result is that of the likeliest so far, whose components keep their
            numbers, see `inference.LikeliestSoFar`; of a whole video that is sent at
            once all frames have the likeliest of the end.
            Four send four times as much, and a step takes 1.6 to 2.1 times as long (two
            presets, 2 CPU cores).
        keep: whether to ask for gamma and psi and return them; otherwise only the
            segmentation and how many components are used travel, and gamma where
            several starts are compared.
        on_frames: called with the number of frames that were just answered.

    Returns:
        a `Played`.

    Raises:
        ValueError: if the server refuses a request or does not answer.
    """
    latencies, pieces = [], []
    version, retries = None, 0  # a state is only for the version that made it

    def call(signature, inputs, outputs, count):
        nonlocal version, retries
        began = time.perf_counter()
        reply = server.call(signature, inputs, outputs, version)
        version, retries = reply.version, retries + reply.retries
        if count:
            latencies.append(time.perf_counter() - began)
            if on_frames:
                on_frames(count)
        return reply.outputs

    begin = {"seed": np.array([seed], "int32")}
    if starts > 1:
        from nem_tf.inference import several_seeds

        begin["seed"] = several_seeds(seed, starts)
    layered = background is not None
    carried, twice = documents.carried(layered), int(layered)
    if layered:  # then frame 0 is shown twice, so predicted
        begin["background"] = np.repeat(background[None], starts, 0)
    compares = keep or (starts > 1 and not clips)
    wanted = ["used", "segmentation", *(["gamma"] if compares else [])]
    compared = ["log_likelihood"] if starts > 1 else []
    choice = _Choice(starts, layered=layered)
    if clips:
        names = [*wanted, "psi"] if keep else wanted
        inputs = {"frames": np.repeat(frames[None], starts, 0), **begin}
        reply = call("serving_default", inputs, [*names, *compared], len(frames))
        pieces.append(choice.of_clip([reply[name] for name in names], reply))
    else:
        state = call("init", begin, list(carried), 0)
        shown = np.concatenate([frames[:twice], frames])
        for start in range(0, len(shown), chunk):
            piece = np.repeat(shown[None, start : start + chunk], starts, 0)
            if chunk == 1:
                signature, inputs, psi = "step", {"frame": piece[:, 0]}, "psi"
            else:
                signature, inputs, psi = "chunk", {"frames": piece}, "predictions"
            names = [*wanted, psi] if keep else wanted
            outputs = dict.fromkeys([*names, *compared, *carried])
            new = piece.shape[1] - (twice if start == 0 else 0)
            reply = call(signature, {**inputs, **state}, list(outputs), new)
            state = {name: reply[name] for name in carried}
            if chunk == 1:  # as a chunk of one
                reply = {name: x[:, None] for name, x in reply.items()}
            pieces.append(choice.of_piece([reply[name] for name in names], reply))
    twice = 0 if clips else twice
    parts = [np.concatenate(part)[twice:] for part in zip(*pieces, strict=True)]
    used, found = parts[0], None
    if keep:
        from nem_tf import Segmentation  # which imports TensorFlow

        found = Segmentation(*parts[1:])
    return Played(found, latencies, version, retries, used, choice.start)


class _Choice:
    """Of the replies to several starts of a video, those of the likeliest.

    Args:
        starts: how many.
        layered: whether segmentation has 0 for background.
    """

    def __init__(self, starts, layered):
        self.start = 0
        self._starts = starts
        self._layered = layered
        self._likeliest = None

    def of_clip(self, found, reply):
        """The likeliest of the end: of each (starts, T, ...) its (T, ...)."""
        if self._starts > 1:
            from nem_tf.inference.starts import largest

            self.start = largest(reply["log_likelihood"].astype(float).sum(1))
        return [x[self.start] for x in found]

    def of_piece(self, found, reply):
        """The likeliest of each frame: of each (starts, T, ...) its (T, ...)."""
        if self._starts == 1:
            return [x[0] for x in found]
        frames = range(found[0].shape[1])
        fits = reply["log_likelihood"]
        every = [self._of_frame([x[:, t] for x in found], fits[:, t]) for t in frames]
        return [np.stack(parts) for parts in zip(*every, strict=True)]

    def _of_frame(self, found, fits):
        from nem_tf.inference import LikeliestSoFar

        used, segmentation, gamma, *psi = found
        if self._likeliest is None:
            self._likeliest = LikeliestSoFar(self._starts, gamma.shape[1])
        objects = segmentation[0] > 0 if self._layered else None
        self._likeliest(fits, gamma, objects)
        self.start, order = self._likeliest.start, self._likeliest.order
        numbers = np.argsort(order).astype("int32")  # by component
        if self._layered:
            numbers = np.concatenate([[0], numbers + 1]).astype("int32")
        shown = (x[self.start][order] for x in (gamma, *psi))
        return [used[self.start], numbers[segmentation[self.start]], *shown]


def _send(given, lost):
    """Send what was asked for; `lost` gets the errors of streams without a result."""
    place = address.parse(given.server, given.rest)
    command.need("serving")
    for path in given.inputs:
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder; check the path")
    outs = _outs(given.out, len(given.inputs))
    for out in outs:
        for path in given.inputs:
            result.check_out(out, path)
    with quiet.startup():
        from export import servers

    kind = servers.RestServer if given.rest else servers.GrpcServer
    spec = servers.Spec(given.model, given.version, given.label)
    server = kind(place, spec, given.timeout)
    try:
        shape, layered = _frame_shape(server, given.model)
        streams = _streams(_videos(given, shape, layered), given)
        played, seconds = _play_all(server, streams, given, lost)
    finally:
        server.close()
    if played:
        _report(
            given.model, [streams[i] for i in played], list(played.values()), seconds
        )
        if given.starts > 1:
            taken = ", ".join(str(one.start) for one in played.values())
            print(f"likeliest of the starts 0 to {given.starts - 1}: {taken}")
    for number, (path, stream) in enumerate(zip(outs, streams, strict=False)):
        if number in played:
            _write(path, stream, played[number].found, given, lost)


class Stream(NamedTuple):
    """One of the videos that are sent at the same time."""

    name: str
    video: video.Video
    background: Any  # of a layered model, (H, W, C)
    seed: int
    keep: bool  # whether its result is written


def _videos(given, shape, layered):
    """Pairs of a video and, for a layered model, its background."""
    found = []
    for path in given.inputs:
        taken = video.read(
            path,
            shape,
            grey=given.grey,
            resize=given.resize or layered,
            threshold=given.threshold,
            first=given.first,
        )
        background = None
        if layered:
            own = OwnSize(path, shape)
            background = own.small_background(taken.frames, given.background)
        found.append((result.as_clip(taken), background))
    return found


def _streams(videos, given):
    """A `Stream` for each input, and again from the first one on up to --streams."""
    return [
        Stream(
            f"stream {number + 1} ({given.inputs[number % len(videos)]})",
            *videos[number % len(videos)],
            (given.seed + number) % 2**31,
            keep=given.out is not None and number < len(videos),
        )
        for number in range(max(given.streams or 0, len(videos)))
    ]


def _write(path, stream, found, given, lost):
    """Write one result; a disk that is full for one may have room for the next."""
    try:
        _write_result(path, stream, found)
    except OSError as error:
        _lose(error, str(error), given, lost)
    else:
        print(f"wrote {path}")


def _write_result(path, stream, found):
    frames, fps = stream.video
    if stream.background is None:
        result.write(path, frames, found, fps)
        return
    pictures = (255 * frames).round().astype("uint8")
    pictures = np.broadcast_to(pictures, (*frames.shape[:3], 3))
    own = zip(pictures, found.segments, strict=True)
    result.write_layered(path, frames, found, own, fps)


def _lose(error, line, given, lost):
    """Tell on stderr about a stream that has no result, and go on."""
    lost.append(error)
    if given.debug:
        traceback.print_exception(error)
    print(f"export.client: {line}", file=sys.stderr)


def _outs(out, count):
    """The file of each video's result; none without --out."""
    if out is None:
        return []
    if count == 1:
        return [out]
    return [out.with_stem(f"{out.stem}-{number}") for number in range(1, count + 1)]


def _frame_shape(server, name):
    """(H, W, C) as the server's own signature has it, and if the model is layered."""
    signatures = server.shapes()
    missing = {"serving_default", "init", "step", "chunk"} - set(signatures)
    if missing:
        raise ValueError(
            f"model: {name} has no signature {', '.join(sorted(missing))}; it was not "
            "exported by export.saved_model"
        )
    return signatures["step"]["frame"][1:], "background" in signatures["init"]


def _play_all(server, streams, given, lost):
    """All streams at the same time, one thread each.

    Returns:
        dict from a stream's number to its `Played`, without those that failed; and the
        seconds to the last of them.
    """
    from tqdm import tqdm

    ended: queue.SimpleQueue = queue.SimpleQueue()
    total = sum(len(stream.video.frames) for stream in streams)
    bar = tqdm(total=total, unit="frame", disable=not sys.stderr.isatty())
    answered, lock = [0] * len(streams), threading.Lock()

    def one(number, stream):
        def progress(frames):
            answered[number] += frames
            with lock:
                bar.update(frames)

        try:
            found = play(
                server,
                stream.video.frames,
                stream.seed,
                background=stream.background,
                chunk=given.chunk,
                clips=given.clips,
                starts=given.starts,
                keep=stream.keep,
                on_frames=progress,
            )
        except Exception as error:
            found = error
        ended.put((number, found))

    played, seconds, began = {}, 0.0, time.perf_counter()
    # Daemons: a reply that never comes must not hold back the end of the command.
    threads = [
        threading.Thread(target=one, args=each, daemon=True)
        for each in enumerate(streams)
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in streams:
            number, found = ended.get()
            if isinstance(found, Played):
                played[number], seconds = found, time.perf_counter() - began
            elif isinstance(found, (ValueError, OSError)):
                frames = f"{answered[number]} of {len(streams[number].video.frames)}"
                line = f"{streams[number].name}: {found}; {frames} frames were answered"
                with lock:
                    bar.clear()
                _lose(found, line, given, lost)
            else:
                raise found
    except BaseException:  # Ctrl-C too
        server.close()
        until = time.monotonic() + PATIENCE
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        raise
    finally:
        bar.close()
    return dict(sorted(played.items())), seconds


def _report(model, streams, played, seconds):
    frames = sum(len(stream.video.frames) for stream in streams)
    latencies = 1000 * np.concatenate([one.latencies for one in played])
    middle, most, nearly_all = np.percentile(latencies, (50, 90, 99))
    per_request = _count(max(1, round(frames / len(latencies))), "frame")
    retries = sum(one.retries for one in played)
    again = f"; {_count(retries, 'retry', 'retries')}" if retries else ""
    used = np.concatenate([one.used for one in played])
    versions = sorted({one.version for one in played})
    which = "version" if len(versions) == 1 else "versions"
    print(
        f"{_count(len(played), 'stream')}, {frames} frames in {seconds:.2f} s: "
        f"{frames / seconds:.1f} frames/s\n"
        f"latency of a request ({per_request}): median {middle:.1f} ms, "
        f"90 % {most:.1f}, 99 % {nearly_all:.1f}, longest {latencies.max():.1f}"
        f"{again}\n"
        f"components used in a frame: {used.mean():.1f} on average, {used.min()} to "
        f"{used.max()}\n"
        f"answered by {which} {', '.join(map(str, versions))} of {model}"
    )


def _count(number, thing, things=None):
    return f"{number} {thing if number == 1 else things or thing + 's'}"


if __name__ == "__main__":
    sys.exit(main())
