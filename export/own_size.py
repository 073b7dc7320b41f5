"""What a model of layers found in a video, at the video's own size and on its pixels.

The model sees frames of its own size. Which component a pixel belongs to is told by its
gamma, enlarged; whether it is an object's at all, by the video's own pixel and what is
behind it.
"""

import contextlib
import itertools

import numpy as np
from PIL import Image
from scipy import ndimage

from reading import background, video
from reading.base import spread

SURELY = 0.55  # of the distance of an object: what is nearer is surely background
TINT = 0.45  # of a segment's colour on its pixels
LINE = 240  # pixels of the shorter side for each pixel of a contour's width


class OwnSize:
    """A video that is decoded again, once for its background and once to be drawn.

    Args:
        path, threshold, first: see `video.read`.
        frame_shape: (H, W, C) of the model.

    Attributes:
        size: (h, w) of the video, pixels.
    """

    def __init__(self, path, frame_shape, threshold=None, first=None):
        self._path, self._shape = path, frame_shape
        self._threshold, self._first = threshold, first
        with contextlib.closing(video.decoded(path, frame_shape[:2])) as found:
            self.size = next(found).pixels.shape[:2]
        top, left, rows, columns = video.place(*self.size, *frame_shape[:2])
        self._region = slice(top, top + rows), slice(left, left + columns)

    def small_background(self, frames, kind="auto"):
        """What is behind the model's frames (T, H, W, C), black where they are: in
        margins, which say nothing about the video. Float32 (H, W, C)."""
        found = np.zeros(self._shape, "float32")
        found[self._region] = background.estimate(frames[:, *self._region], kind)
        return found

    def background(self, frames, behind, foreground):
        """What is behind the video's own pixels, float32 (h, w, C) in [0, 1].

        The mean of what a pixel shows while the model's frame is near its background
        there; where it never is, that background itself.

        Args:
            frames: the model's, (T, H, W, C).
            behind: their background, (H, W, C).
            foreground: distance at which a pixel is as likely an object's, a number
                or (H, W).
        """
        least = self._least(foreground)
        some = set(spread(len(frames), background.FRAMES).tolist())
        pictures = self._pictures()
        total = np.zeros((*self.size, self._shape[-1]), "float32")
        count = np.zeros((*self.size, 1), "float32")
        for t, (frame, (_, x)) in enumerate(zip(frames, pictures, strict=False)):
            if t in some:
                far = background.distance(frame, behind)
                near = (self._enlarged(far) < SURELY * least)[..., None]
                total += x * near
                count += near
        planes = [self._enlarged(plane) for plane in np.moveaxis(behind, -1, 0)]
        return np.where(count, total / np.maximum(count, 1), np.stack(planes, -1))

    def segments(self, gamma, behind, foreground):
        """The video's pictures and their segments, one frame after another.

        Args:
            gamma: the model's, (T, K, H, W, 1).
            behind: what `background` returned.
            foreground: see there.

        Yields:
            the picture, uint8 (h, w, 3), and int32 (h, w): 0 where its background
            explains a pixel, else the component, 1 to K.
        """
        least = self._least(foreground)
        pictures = self._pictures()
        picture = x = None
        for shares in gamma[..., 0]:
            picture, x = next(pictures, (picture, x))  # a still image stays
            shares = np.stack([self._enlarged(share) for share in shares])
            is_object = background.is_object(x, behind, least)
            yield picture, np.where(is_object, shares.argmax(axis=0) + 1, 0)

    def _pictures(self):
        """Each picture, uint8 (h, w, 3), and the model's channels of it, (h, w, C)."""
        with contextlib.closing(video.decoded(self._path, self._shape[:2])) as found:
            for frame in itertools.islice(found, self._first):
                pixels = video.unit(frame.pixels)
                picture = (255 * pixels).round().astype("uint8")
                x = pixels
                if x.shape[-1] != self._shape[-1]:
                    x = video.luma(x) if x.shape[-1] == 3 else x.repeat(3, axis=-1)
                if self._threshold is not None:
                    x = (x > self._threshold).astype("float32")
                yield np.broadcast_to(picture, (*self.size, 3)), x

    def _least(self, foreground):
        """A `foreground` at the video's size: a number, or (h, w)."""
        if not np.ndim(foreground):
            return foreground
        return self._enlarged(np.asarray(foreground))

    def _enlarged(self, plane):
        """Numbers at the model's pixels, (H, W), at those of the video, (h, w)."""
        plane = Image.fromarray(np.ascontiguousarray(plane[self._region], "float32"))
        return np.asarray(plane.resize(self.size[::-1], Image.Resampling.BILINEAR))


def overlay(picture, segments, components):
    """A picture with its segments tinted and outlined, uint8 (h, w, 3).

    Args:
        picture: uint8 (h, w, 3).
        segments: (h, w), 0 or 1 to K.
        components: K, for the colours.
    """
    from nem_tf.plots.drawing import component_colours  # which imports TensorFlow

    colours = np.concatenate([np.zeros((1, 3)), component_colours(components)])
    width = 1 + min(segments.shape) // LINE
    labels = segments.astype("uint8" if components < 256 else "int32")
    window = 2 * width + 1
    edge = ndimage.maximum_filter(labels, window) != ndimage.minimum_filter(
        labels, window
    )
    share = np.where(edge, 1.0, TINT) * (segments > 0)
    colour = 255 * colours[segments]
    return (picture + share[..., None] * (colour - picture)).round().astype("uint8")
