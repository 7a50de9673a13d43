"""How do a scene's frames become a video, fast? One encoder a scene; a frame that does not change is not encoded.

Manim opens an encoder for every animation and encodes a picture that stands still thirty times a second. Here the
frame that is held simply lasts longer (a video says for each frame when it is shown), and at most a second, so that
a player can jump anywhere. There are no B-frames: scenes can then be joined packet by packet.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from manim.scene.scene_file_writer import SceneFileWriter

from engine.errors import InputError


@dataclass(frozen=True)
class Quality:
    """A frame's size in pixels, and how many there are a second."""

    width: int
    height: int
    rate: int


QUALITIES = {
    "480p15": Quality(854, 480, 15),
    "720p30": Quality(1280, 720, 30),
    "1080p30": Quality(1920, 1080, 30),
    "1080p60": Quality(1920, 1080, 60),
    "2160p30": Quality(3840, 2160, 30),
}

# Heat maps are all edges. x264's adaptive quantisation takes bits from them for what is flat, and flat it is already.
X264 = {"preset": "veryfast", "crf": "20", "aq-mode": "0", "bf": "0", "g": "60"}
VP9 = {"crf": "28", "b": "0", "deadline": "realtime", "cpu-used": "7", "lag-in-frames": "0", "auto-alt-ref": "0"}
CODECS: dict[str, tuple[str, dict[str, str]]] = {".mp4": ("libx264", X264), ".webm": ("libvpx-vp9", VP9)}
BT709 = 1  # the number that H.264 gives this colour space, its primaries and its transfer curve
LIMITED = 1  # and the range of 16 to 235


class Encoder:
    """Frames in, a video out at `path`, an .mp4 or .webm. `frames` counts them, those that are held included.

    threads: of the encoder itself; several processes at work want one each.
    """

    def __init__(self, path: Path, quality: Quality, threads: int = 1) -> None:
        codec, options = CODECS[path.suffix]
        self.quality, self.frames, self.encoded = quality, 0, 0
        self._container: Any = av.open(str(path), "w")
        self._stream = self._container.add_stream(
            codec, rate=quality.rate, options={**options, "threads": str(threads)}
        )
        self._stream.width, self._stream.height, self._stream.pix_fmt = quality.width, quality.height, "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, quality.rate)
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        self._held: np.ndarray | None = None
        self._since = 0

    def add(self, pixels: np.ndarray, repeat: int = 1) -> None:
        """(height, width, 4) uint8 RGBA, shown `repeat` frames long; the array must not be changed afterwards."""
        if self._held is None or not np.array_equal(self._held.view(np.uint32), pixels.view(np.uint32)):
            self._write_held()
            self._held, self._since = pixels, self.frames
        self.frames += repeat

    def _write_held(self) -> None:
        if self._held is None:
            return
        frame = av.VideoFrame.from_ndarray(self._held, format="rgba").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        moments = {*range(self._since, self.frames, self.quality.rate), self.frames - 1}
        for moment in sorted(moments):
            frame.pts, frame.time_base = moment, Fraction(1, self.quality.rate)
            self._container.mux(self._stream.encode(frame))
            self.encoded += 1

    def close(self) -> None:
        self._write_held()
        self._held = None
        self._container.mux(self._stream.encode())
        self._container.close()


class SceneWriter(SceneFileWriter):
    """Manim's file writer, with one `Encoder` for the whole scene in place of one for every animation."""

    def __init__(self, settings: Any, *, path: Path, quality: Quality, threads: int, report: Any = None) -> None:
        super().__init__(settings)
        self.path, self.report = path, report
        self.encoder = Encoder(path, quality, threads)

    def begin_animation(self, allow_write: bool = False, **_: Any) -> None:
        """Nothing begins: the encoder is open."""

    def end_animation(self, allow_write: bool = False) -> None:
        if self.report:
            self.report(self.encoder.frames / self.encoder.quality.rate)

    def write_frame(self, pixels: np.ndarray, *, repeat: int = 1) -> None:
        self.encoder.add(pixels, repeat)

    def finish(self) -> None:
        self.encoder.close()

    def abort_encode_jobs(self, reraise_encoder_failures: bool = False) -> None:
        """The scene raised: no half a video stays."""
        self.encoder._container.close()
        self.path.unlink(missing_ok=True)


def get_quality(name: str) -> Quality:
    """Raises InputError, naming those there are."""
    if name not in QUALITIES:
        raise InputError(f"no quality called {name!r}; there are {', '.join(QUALITIES)}")
    return QUALITIES[name]
