"""Send videos to a model on TF Serving, frame by frame or clip by clip.

    python -m export.client clip.gif --model flying_shapes_k3 --out segmented.gif
    python -m export.client clip.mp4 --model flying_shapes_k3 --rest --streams 8

INPUT is a GIF, MP4 or other video, a folder of images, or a .npy file of frames
(T, H, W) or (T, H, W, C); several inputs are several streams at the same time. The
client carries the state of each stream; the server keeps none.
"""

import concurrent.futures
import pathlib
import sys
import threading
import time
from typing import NamedTuple

import numpy as np

from export import command, extras, result, video
from trainers import quiet

STATE = ("theta", "psi", "pi")


def main(arguments=None):
    """The command; returns the exit status."""
    parser = command.parser("client", __doc__, "INPUT [INPUT ...] --model NAME [flags]")
    parser.add_argument("inputs", type=pathlib.Path, nargs="+", metavar="INPUT")
    parser.add_argument("--model", required=True, metavar="NAME", help="on the server")
    parser.add_argument(
        "--server", metavar="HOST:PORT", help="(localhost:8500, with --rest :8501)"
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
        type=command.at_least(0.001, float),
        default=60.0,
        metavar="S",
        help="seconds that a request may take (60)",
    )
    command.add_input_flags(parser)
    given = parser.parse_args(arguments)
    return command.run("client", _send, given, debug=given.debug)


class Played(NamedTuple):
    """One stream after its end."""

    result: result.Result | None  # if it was asked for
    latencies: list[float]  # seconds, one per request


def play(server, frames, seed, *, chunk=1, clips=False, keep=True, on_frames=None):
    """Send one video.

    Args:
        server: a `servers.Server`.
        frames: shape (T, H, W, C).
        seed: of the random start.
        chunk: frames in a request.
        clips: whether to send the video whole.
        keep: whether to ask for gamma and psi and return them; otherwise only the
            segmentation travels.
        on_frames: called with the number of frames that were just answered.

    Returns:
        a `Played`.

    Raises:
        ValueError: if the server refuses a request or does not answer.
    """
    latencies, pieces = [], []

    def call(signature, inputs, outputs, count):
        began = time.perf_counter()
        reply = server.call(signature, inputs, outputs)
        if count:
            latencies.append(time.perf_counter() - began)
            if on_frames:
                on_frames(count)
        return reply

    seeds = np.array([seed], "int32")
    wanted = ["segmentation", "gamma"] if keep else ["segmentation"]
    if clips:
        outputs = [*wanted, "psi"] if keep else wanted
        inputs = {"frames": frames[None], "seed": seeds}
        reply = call("serving_default", inputs, outputs, len(frames))
        pieces.append([reply[name][0] for name in outputs])
    else:
        state = call("init", {"seed": seeds}, list(STATE), 0)
        for start in range(0, len(frames), chunk):
            piece = frames[start : start + chunk]
            if chunk == 1:
                signature, inputs, psi = "step", {"frame": piece}, "psi"
            else:
                signature, inputs, psi = "chunk", {"frames": piece[None]}, "predictions"
            outputs = dict.fromkeys([*wanted, *([psi] if keep else []), *STATE])
            reply = call(signature, {**inputs, **state}, list(outputs), len(piece))
            state = {name: reply[name] for name in STATE}
            found = [reply[name] for name in (*wanted, psi)[: 3 if keep else 1]]
            pieces.append(found if chunk == 1 else [x[0] for x in found])
    if not keep:
        return Played(None, latencies)
    parts = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return Played(result.Result(*parts), latencies)


def _send(given):
    extras.need("serving")
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
    address = given.server or ("localhost:8501" if given.rest else "localhost:8500")
    spec = servers.Spec(given.model, given.version, given.label)
    server = kind(address, spec, given.timeout)
    shape = _frame_shape(server, given.model)
    videos = [
        video.read(
            path,
            shape,
            grey=given.grey,
            resize=given.resize,
            threshold=given.threshold,
            first=given.first,
        )
        for path in given.inputs
    ]
    videos = [taken._replace(frames=result.as_clip(taken.frames)) for taken in videos]
    count = max(given.streams or 0, len(videos))
    played, seconds = _play_all(server, videos, count, given)
    _report(played, [videos[i % len(videos)] for i in range(count)], seconds)
    for path, taken, stream in zip(outs, videos, played, strict=False):
        result.write(path, taken.frames, stream.result, taken.fps)
        print(f"wrote {path}")


def _outs(out, count):
    """The file of each video's result; none without --out."""
    if out is None:
        return []
    if count == 1:
        return [out]
    return [out.with_stem(f"{out.stem}-{number}") for number in range(1, count + 1)]


def _frame_shape(server, name):
    """(H, W, C) as the server's own signature has it."""
    signatures = server.shapes()
    missing = {"serving_default", "init", "step", "chunk"} - set(signatures)
    if missing:
        raise ValueError(
            f"model: {name} has no signature {', '.join(sorted(missing))}; it was not "
            "exported by export.saved_model"
        )
    return signatures["step"]["frame"][1:]


def _play_all(server, videos, count, given):
    """All streams at the same time, one thread each: what they got, and the seconds."""
    from tqdm import tqdm

    lock, failed = threading.Lock(), threading.Event()
    total = sum(len(videos[i % len(videos)].frames) for i in range(count))
    bar = tqdm(total=total, unit="frame", disable=not sys.stderr.isatty())

    def progress(frames):
        if failed.is_set():
            raise ValueError("stopped, since another stream failed")
        with lock:
            bar.update(frames)

    def one(number):
        return play(
            server,
            videos[number % len(videos)].frames,
            (given.seed + number) % 2**31,
            chunk=given.chunk,
            clips=given.clips,
            keep=given.out is not None and number < len(videos),
            on_frames=progress,
        )

    began = time.perf_counter()
    with bar, concurrent.futures.ThreadPoolExecutor(count) as pool:
        streams = [pool.submit(one, number) for number in range(count)]
        try:
            for stream in concurrent.futures.as_completed(streams):
                stream.result()
        except BaseException:  # Ctrl-C too: the others end with their next reply
            failed.set()
            raise
    played = [stream.result() for stream in streams]
    return played, time.perf_counter() - began


def _report(played, videos, seconds):
    frames = sum(len(taken.frames) for taken in videos)
    latencies = 1000 * np.concatenate([stream.latencies for stream in played])
    middle, most, nearly_all = np.percentile(latencies, (50, 90, 99))
    per_request = _count(max(1, round(frames / len(latencies))), "frame")
    print(
        f"{_count(len(played), 'stream')}, {frames} frames in {seconds:.2f} s: "
        f"{frames / seconds:.1f} frames/s\n"
        f"latency of a request ({per_request}): median {middle:.1f} ms, "
        f"90 % {most:.1f}, 99 % {nearly_all:.1f}, longest {latencies.max():.1f}"
    )


def _count(number, thing):
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


if __name__ == "__main__":
    sys.exit(main())
