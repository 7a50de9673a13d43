"""How do a scene's frames become a video, fast? One encoder a scene; a frame that does not change is not encoded.

Manim opens an encoder for every animation and encodes a picture that stands still thirty times a second. Here the
frame that is held simply lasts longer (a video says for each frame when it is shown), and at most a second, so that
a player can jump anywhere. Of a frame that changes, only the rows that do are brought into the encoder's colours. There
are no B-frames: scenes can then be joined packet by packet.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
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

    def upright(self) -> "Quality":
        """The same for a telephone: 9 to 16."""
        return Quality(self.height, self.width // TILE * TILE, self.rate)


QUALITIES = {
    "480p15": Quality(854, 480, 15),
    "720p30": Quality(1280, 720, 30),
    "1080p30": Quality(1920, 1080, 30),
    "1080p60": Quality(1920, 1080, 60),
    "2160p30": Quality(3840, 2160, 30),
}

SHAPES = ("16x9", "9x16")
SHORT_SIDE = 8.0  # units that a frame measures across its shorter side, so that texts are as large in both shapes

# Heat maps are all edges. x264's adaptive quantisation takes bits from them for what is flat, and flat it is already.
X264 = {"preset": "veryfast", "crf": "20", "aq-mode": "0", "bf": "0", "g": "60"}
VP9 = {"crf": "28", "b": "0", "deadline": "realtime", "cpu-used": "7", "lag-in-frames": "0", "auto-alt-ref": "0"}
CODECS: dict[str, tuple[str, dict[str, str]]] = {".mp4": ("libx264", X264), ".webm": ("libvpx-vp9", VP9)}
BT709 = 1  # the number that H.264 gives this colour space, its primaries and its transfer curve
LIMITED = 1  # and the range of 16 to 235
TILE = 8  # rows; every quality has a multiple of them
AHEAD = 4  # frames that may wait for the encoder, 8 MB each at 1080p


class Yuv:
    """A frame in yuv420p, kept up to date with RGBA frames of (height, width, 4) uint8: the same, bit for bit, as if
    each were converted whole."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width, whole = height, width, height * width
        self.pixels = np.empty((height * 3 // 2, width), np.uint8)  # Y, then U and V at half the size
        flat = self.pixels.reshape(-1)
        half = (height // 2, width // 2)
        self.planes = (
            self.pixels[:height],
            flat[whole : whole * 5 // 4].reshape(half),
            flat[whole * 5 // 4 :].reshape(half),
        )

    def update(self, rgba: np.ndarray, rows: np.ndarray) -> None:
        """Show `rgba`, which differs from what was shown in these rows (indices, ascending)."""
        tiles = np.unique(rows // TILE)
        for run in np.split(tiles, np.flatnonzero(np.diff(tiles) > 2) + 1):
            # The filter that halves the colours looks at a few rows beside each: a tile of them is converted anew on
            # either side, and a second one only looked at.
            top, bottom = max(0, TILE * (run[0] - 1)), min(self.height, TILE * (run[-1] + 2))
            above, below = max(0, top - TILE), min(self.height, bottom + TILE)
            made = av.VideoFrame.from_numpy_buffer(rgba[above:below], format="rgba").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            for plane, source, of in zip(self.planes, made.planes, (1, 2, 2), strict=True):
                found = np.frombuffer(source, np.uint8).reshape(-1, source.line_size)[:, : source.width]
                plane[top // of : bottom // of] = found[(top - above) // of : (bottom - above) // of]

    def frame(self) -> Any:
        """It as a frame for an encoder, which must be done with it before the next update."""
        made = av.VideoFrame.from_numpy_buffer(self.pixels, format="yuv420p")
        made.colorspace, made.color_range = BT709, LIMITED
        return made


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
        self._yuv = Yuv(quality.height, quality.width)
        self._held: np.ndarray | None = None
        self._since = 0

    def add(self, pixels: np.ndarray, repeat: int = 1) -> None:
        """(height, width, 4) uint8 RGBA, shown `repeat` frames long; the array must not be changed afterwards."""
        if self._held is None:
            rows = np.arange(self.quality.height)
        else:
            rows = np.flatnonzero((self._held.view(np.uint32) != pixels.view(np.uint32)).any(axis=(1, 2)))
        if rows.size:
            self._write_held()
            self._yuv.update(pixels, rows)
            self._held, self._since = pixels, self.frames
        self.frames += repeat

    def _write_held(self) -> None:
        if self._held is None:
            return
        frame = self._yuv.frame()
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
    """Manim's file writer, with one `Encoder` for the whole scene in place of one for every animation.

    It encodes in a thread of its own while the next frames are drawn: the last scenes of a film, when other processes
    have nothing left to do, then still have two cores. `frames` counts what was given.
    """

    def __init__(self, settings: Any, *, path: Path, quality: Quality, threads: int, report: Any = None) -> None:
        super().__init__(settings)
        self.path, self.report, self.frames = path, report, 0
        self.encoder = Encoder(path, quality, threads)
        self._thread, self._waiting = ThreadPoolExecutor(1), deque[Future[None]]()

    def begin_animation(self, allow_write: bool = False, **_: Any) -> None:
        """Nothing begins: the encoder is open."""

    def end_animation(self, allow_write: bool = False) -> None:
        if self.report:
            self.report(self.frames / self.encoder.quality.rate)

    def write_frame(self, pixels: np.ndarray, *, repeat: int = 1) -> None:
        self.frames += repeat
        self._encoded(AHEAD - 1)
        self._waiting.append(self._thread.submit(self.encoder.add, pixels, repeat))

    def _encoded(self, left: int) -> None:
        """Wait until no more than `left` frames are still to be encoded. Raises what encoding raised."""
        while len(self._waiting) > left:
            self._waiting.popleft().result()

    def finish(self) -> None:
        try:
            self._encoded(0)
            self._thread.shutdown()
            self.encoder.close()
        except BaseException:
            self.abort_encode_jobs()
            raise

    def abort_encode_jobs(self, reraise_encoder_failures: bool = False) -> None:
        """The scene or its encoding raised: no half a video stays."""
        self._thread.shutdown(cancel_futures=True)
        self.encoder._container.close()
        self.path.unlink(missing_ok=True)


def get_quality(name: str, shape: str = "16x9") -> Quality:
    """Raises InputError, naming those there are."""
    if name not in QUALITIES:
        raise InputError(f"no quality called {name!r}; there are {', '.join(QUALITIES)}")
    if shape not in SHAPES:
        raise InputError(f"no frame called {shape!r}; there are {', '.join(SHAPES)}")
    return QUALITIES[name] if shape == "16x9" else QUALITIES[name].upright()


def frame_settings(quality: Quality) -> dict[str, Any]:
    """Manim's settings for frames of this size and shape."""
    unit = SHORT_SIDE / min(quality.width, quality.height)
    return {
        "pixel_width": quality.width, "pixel_height": quality.height, "frame_rate": quality.rate,
        "frame_width": unit * quality.width, "frame_height": unit * quality.height,
    }  # fmt: skip
