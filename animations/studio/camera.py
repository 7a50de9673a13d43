"""How is a changing matrix drawn fast? A camera that composes an image into its own region of the frame only.

Stock Manim warps every image in perspective and lays a transparent picture of the whole frame over the frame, each
time. The images here are upright and sharp-edged, so a lookup of rows and columns does; the rest of the frame is
not touched. The picture is the same; DESIGN and `benchmarks` have the times.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np
from manim import Camera
from manim.mobject.types.image_mobject import AbstractImageMobject
from PIL import Image

_BAND = 16  # rows of the frame at a time: what is worked out of them stays in the processor's cache
_FINEST = 2048  # dots along a side of a picture in perspective


class RegionCamera(Camera):
    """A Camera for upright images, and for those seen in perspective."""

    def display_image_mobject(self, image_mobject: AbstractImageMobject, pixel_array: np.ndarray) -> None:
        corners = self.points_to_subpixel_coords(image_mobject, image_mobject.points)
        upright = np.allclose(corners[0, 1], corners[1, 1]) and np.allclose(corners[0, 0], corners[2, 0])
        if not upright:
            _warp(image_mobject, corners, pixel_array)
            return
        pixels = image_mobject.get_pixel_array()
        (left, top), (right, bottom) = np.rint(corners[0]).astype(int), np.rint(corners[3]).astype(int)
        rows, columns = (
            np.arange(max(0, top), min(bottom, pixel_array.shape[0])),
            np.arange(max(0, left), min(right, pixel_array.shape[1])),
        )
        if not rows.size or not columns.size or pixels[..., 3].max() == 0:
            return
        # A pixel as one number: looking up four bytes at once is several times as fast as one after the other.
        cells = np.ascontiguousarray(pixels).view(np.uint32)[..., 0]
        size = (bottom - top, right - left)
        if not cells.shape == size == (rows.size, columns.size):  # a cell a pixel, all of it inside, needs no lookup
            across = (columns - left) * pixels.shape[1] // (right - left)
            down = (rows - top) * pixels.shape[0] // (bottom - top)
            cells = cells.take(down, axis=0).take(across, axis=1)
        region = pixel_array[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        alpha = int(pixels[0, 0, 3])
        if alpha == 255:
            region.view(np.uint32)[..., 0] = cells
        else:
            colours = cells.view(np.uint8).reshape(*cells.shape, 4)[..., :3]
            blend = colours.astype(np.uint16) * alpha + region[..., :3].astype(np.uint16) * (255 - alpha)
            region[..., :3] = (blend + 127) // 255


def _warp(image_mobject: AbstractImageMobject, corners: np.ndarray, pixel_array: np.ndarray) -> None:
    """Draw an image between four corners that are no upright rectangle's, into the region that they span.

    It is smoothed once for all frames, to about a dot for every pixel of the frame; in each frame a lookup then does.
    """
    height, width = pixel_array.shape[:2]
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, (width, height)).astype(int)
    pixels = image_mobject.get_pixel_array()
    if not pixels[..., 3].any():  # a picture that has not come yet
        return
    sides = corners[[1, 3, 2, 0]] - corners[[0, 1, 3, 2]]
    area = abs(sum(one[0] * other[1] - one[1] * other[0] for one, other in pairwise([*sides, sides[0]]))) / 2
    if right <= left or bottom <= top or area < 1:
        return  # out of the frame, or seen from its edge
    long = max(pixels.shape[:2])
    dots = max(1, min(int(np.ceil(np.hypot(*sides.T).max() / long)), _FINEST // long))
    fine = _smoothed(pixels.tobytes(), pixels.shape[:2], dots)
    high, wide = fine.shape
    source = np.array([[1, 1], [wide - 1, 1], [1, high - 1], [wide - 1, high - 1]], float)
    equations, known = [], []
    for (x, y), (u, v) in zip(corners - (left, top), source, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        known += [u, v]
    a, b, c, d, e, f, g, h = np.linalg.solve(equations, known).astype(np.float32)
    x = np.arange(right - left, dtype=np.float32) + np.float32(0.5)
    every = np.arange(bottom - top, dtype=np.float32)[:, None] + np.float32(0.5)
    dots_in_order, (over, under, nearer) = fine.ravel(), (a * x, d * x, g * x)
    for first in range(0, len(every), _BAND):
        y = every[first : first + _BAND]
        near = nearer + (h * y + 1)
        np.reciprocal(near, out=near)
        places = _nearest(under + (e * y + f), near, high)
        places *= wide
        places += _nearest(over + (b * y + c), near, wide)
        seen = dots_in_order.take(places, mode="clip")
        region = pixel_array[top + first : top + first + len(y), left:right]
        _lay_over(region, seen.view(np.uint8).reshape(*seen.shape, 4))


def _nearest(values: np.ndarray, near: np.ndarray, count: int) -> np.ndarray:
    """Which of `count` dots it is. What lies beyond the picture finds its edge, which is transparent."""
    values *= near
    return np.clip(values, 0, count - 1, out=values).astype(np.int32)


@lru_cache(16)
def _smoothed(content: bytes, shape: tuple[int, int], dots: int) -> np.ndarray:
    """A picture with so many dots for each of its pixels, each way, smooth between them: premultiplied, a dot a number,
    with one more all around that is transparent."""
    image = _premultiplied(np.frombuffer(content, np.uint8).reshape(*shape, 4))
    image = image.resize((dots * shape[1], dots * shape[0]), Image.Resampling.BILINEAR)
    return np.pad(np.ascontiguousarray(np.asarray(image)).view(np.uint32)[..., 0], 1)


def _premultiplied(pixels: np.ndarray) -> Image.Image:
    """RGBA as Pillow wants it between pixels: colours times their opacity."""
    return Image.fromarray(pixels).convert("RGBa")


def _lay_over(region: np.ndarray, seen: np.ndarray) -> None:
    """Premultiplied `seen` over `region` of the frame; nearly all of it covers, or is not there, and needs no sum."""
    alpha = seen[..., 3]
    covers = alpha == 255
    np.copyto(region.view(np.uint32)[..., 0], seen.view(np.uint32)[..., 0], where=covers)
    mixed = (alpha > 0) & ~covers
    if not mixed.any():
        return
    where = ... if mixed.mean() > 0.25 else mixed
    below, above = region[where][..., :3].astype(np.uint16), seen[where]
    rest = 255 - above[..., 3:].astype(np.uint16)
    blend = np.minimum(above[..., :3] + (below * rest + 127) // 255, 255).astype(np.uint8)
    if where is ...:
        np.copyto(region[..., :3], blend, where=mixed[..., None])
    else:
        region[mixed, :3] = blend
