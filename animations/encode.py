"""How do frames become a video? One encoder a scene, settings of our own, and work only where something changed.

Stock Manim opens an encoder for every animation, converts every frame's colours, and joins the pieces. Here a scene
is one file from its first frame to its last; a picture that stands still is converted once, however long it lasts.
"""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from manim.scene.scene_file_writer import SceneFileWriter

BT709 = 1  # of ITU-T H.273: what players take high definition to be
LIMITED = 1  # libav's number for 16 to 235


@dataclass(frozen=True)
class Codec:
    """libav's name of an encoder, and its settings. One thread each: scenes are encoded side by side."""

    name: str
    options: tuple[tuple[str, str], ...]


# veryfast looks no worse on heat maps than Manim's default and takes a third of its time (`benchmarks/film.py`).
CODECS = {
    "mp4": Codec("libx264", (("preset", "veryfast"), ("crf", "20"), ("threads", "1"))),
    "webm": Codec(
        "libvpx-vp9", (("deadline", "realtime"), ("cpu-used", "7"), ("crf", "30"), ("b", "0"), ("threads", "1"))
    ),
}  # fmt: skip


class FrameEncoder:
    """Frames in, one video file out. `write` takes (height, width, 4) uint8, `repeat` says how many frames it lasts."""

    def __init__(self, path: Path, width: int, height: int, rate: int, codec: Codec) -> None:
        self.path, self.frames = path, 0
        self._container = av.open(str(path), "w", format=path.suffix[1:])
        self._stream = self._container.add_stream(codec.name, rate=rate, options=dict(codec.options))
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._time_base = Fraction(1, rate)
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED

    def write(self, pixels: np.ndarray, repeat: int = 1) -> None:
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        for _ in range(repeat):
            frame.pts, frame.time_base = self.frames, self._time_base
            self.frames += 1
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abort(self) -> None:
        with suppress(Exception):
            self._container.close()
        self.path.unlink(missing_ok=True)


class SceneWriter(SceneFileWriter):
    """Manim's writer of a scene, with one encoder of ours from beginning to end, in the thread that draws.

    `encoder` is to be set before the scene is rendered.
    """

    encoder: FrameEncoder | None = None

    def open_partial_movie_stream(self, **_: Any) -> None:
        """Nothing is opened for a single animation."""

    def close_partial_movie_stream(self) -> None:
        """Nothing was opened."""

    def write_frame(self, pixels: np.ndarray, *, repeat: int = 1) -> None:
        if self.encoder:
            self.encoder.write(pixels, repeat)

    def finish(self) -> None:
        if self.encoder:
            self.encoder.close()

    def abort_encode_jobs(self, reraise_encoder_failures: bool = False) -> None:
        if self.encoder:
            self.encoder.abort()
