"""How fast does a run become a film, beside stock Manim and beside encoding alone? And how well is it seen?

GLASSTUNE_BENCH_QUALITY and GLASSTUNE_BENCH_SCENES make it small, to try it out; figures to be kept come without them.
"""

import os
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from manim import tempconfig
from manim._config.video_encoder import VideoEncoderSpec
from manim.renderer.cairo_renderer import CairoRenderer
from manim.scene.video_segment_encoder import VideoSegmentEncoder

from animations.camera import RegionCamera
from animations.encode import CODECS, FrameEncoder, SceneWriter
from animations.film import FilmScene, quiet
from animations.render import QUALITIES, chosen_scenes, render_film, runs_of
from benchmarks.figures import Figure, in_turn, ratios, seconds
from visualize.mobjects.matrix import MatrixImage

TITLE = "From a run to a film"
FRAMES = 40  # of the pictures that change in every frame


def measure() -> list[Figure]:
    quality = os.environ.get("GLASSTUNE_BENCH_QUALITY", "1080p30")
    named = os.environ.get("GLASSTUNE_BENCH_SCENES")
    scenes = chosen_scenes("lora", named.split(",") if named else None)
    run = runs_of("lora", None)[0]
    os.environ["GLASSTUNE_RUN"] = str(run.path.resolve())
    quiet()
    with tempfile.TemporaryDirectory() as folder:

        def ours() -> None:
            with tempfile.TemporaryDirectory() as fresh:  # nothing from the cache
                os.environ["GLASSTUNE_CACHE"] = fresh
                names = [scene.__name__ for scene in scenes]
                render_film("lora", run, Path(fresh) / "film.mp4", quality=quality, scenes=names, progress=False)

        def stock() -> None:
            for scene in scenes:
                _in_frame(quality, folder, lambda scene=scene: scene().render())

        times = in_turn({"ours": ours, "stock": stock}, repeats=1, warm_up=0)
        alone = [_beside_encoding(scene, quality, folder) for scene in scenes]
        encoding, drawing = sum(t for t, _ in alone), sum(t for _, t in alone)
        pictures = _frames((256, 256))
        own, default = (_quality(pictures, folder, encode) for encode in (_encode_ours, _encode_stock))
        return [
            Figure(f"the film, {quality}", "s", times["ours"]),
            Figure("stock Manim over ours", "x", ratios(times["stock"], times["ours"]), "at least 3"),
            Figure("one process: rendering over encoding the same frames", "x", [drawing / encoding], "at most 1.3"),
            Figure("drawing a 256 x 256 matrix that changes", "ms a frame", _drawing((256, 256), 2), "at most 4"),
            Figure("drawing a million cells that change", "ms a frame", _drawing((1000, 1000), 1), "at most 12"),
            Figure("heat map against its lossless frames: ours", "dB", [own]),
            Figure("heat map against its lossless frames: Manim's default", "dB", [default]),
        ]  # fmt: skip


def _in_frame(quality: str, folder: str, task: Callable[[], Any]) -> None:
    width, height, rate = QUALITIES[quality]
    with tempconfig(
        {
            "pixel_width": width, "pixel_height": height, "frame_rate": rate, "media_dir": folder,
            "disable_caching": True, "write_to_movie": True,
        }
    ):  # fmt: skip
        task()


class _Timed(FrameEncoder):
    """An encoder that knows how long it worked."""

    spent = 0.0

    def write(self, pixels: np.ndarray, repeat: int = 1) -> None:
        began = time.perf_counter()
        super().write(pixels, repeat)
        self.spent += time.perf_counter() - began

    def close(self) -> None:
        self.spent += seconds(super().close)


def _beside_encoding(scene: type[FilmScene], quality: str, folder: str) -> tuple[float, float]:
    """Seconds of encoding a scene's frames, and of rendering it whole, encoding included: of the same rendering."""
    width, height, rate = QUALITIES[quality]
    encoder = _Timed(Path(folder) / f"{scene.__name__}.mp4", width, height, rate, CODECS["mp4"])
    writer = type("Writer", (SceneWriter,), {"encoder": encoder})

    def render() -> None:
        scene(CairoRenderer(file_writer_class=writer, camera_class=RegionCamera)).render()

    took = seconds(lambda: _in_frame(quality, folder, render))
    return encoder.spent, took


def _matrix(shape: tuple[int, int], cell: int) -> MatrixImage:
    return MatrixImage(np.zeros(shape, np.float32), 2.0, cell, "#c9ccd3", "dark")


def _frames(shape: tuple[int, int]) -> list[np.ndarray]:
    """A random walk of a matrix, as frames: each cell changes in each of them."""
    random, values, pictures = np.random.default_rng(0), np.zeros(shape, np.float32), []
    with tempconfig({"pixel_width": 1920, "pixel_height": 1080}):
        camera, picture = RegionCamera(), _matrix(shape, 2)
        for _ in range(FRAMES):
            values = values + random.normal(scale=0.2, size=shape).astype(np.float32)
            camera.reset()
            camera.capture_mobjects([picture.show(values)])
            pictures.append(camera.pixel_array.copy())
    return pictures


def _drawing(shape: tuple[int, int], cell: int) -> list[float]:
    """Milliseconds of colouring the values and composing them into the frame, one a frame."""
    random = np.random.default_rng(0)
    with tempconfig({"pixel_width": 1920, "pixel_height": 1080}):
        camera, picture = RegionCamera(), MatrixImage(np.zeros(shape, np.float32), 2.0, cell, "#c9ccd3", "dark")
        values = [random.normal(size=shape).astype(np.float32) for _ in range(5)]
        camera.capture_mobjects([picture.image])
        return [
            1000 * seconds(lambda one=values[at % 5]: camera.capture_mobjects([picture.show(one).image]))
            for at in range(FRAMES)
        ]


def _encode_ours(path: Path, frames: list[np.ndarray]) -> None:
    encoder = FrameEncoder(path, 1920, 1080, 30, CODECS["mp4"])
    for frame in frames:
        encoder.write(frame)
    encoder.close()


def _encode_stock(path: Path, frames: list[np.ndarray]) -> None:
    spec = VideoEncoderSpec("mp4", "libx264", "yuv420p", 1920, 1080, Fraction(30), (("crf", "23"),))
    encoder = VideoSegmentEncoder(target=path, spec=spec)
    for frame in frames:
        encoder.write_frame(frame)
    encoder.finish()


def _quality(frames: list[np.ndarray], folder: str, encode: Callable[[Path, list[np.ndarray]], None]) -> float:
    """Peak signal to noise of the video's pixels against those drawn, over the matrix alone; higher is better."""
    path = Path(folder) / "quality.mp4"
    encode(path, frames)
    seen = frames[0].shape[0] // 2, frames[0].shape[1] // 2
    part = slice(seen[0] - 250, seen[0] + 250), slice(seen[1] - 250, seen[1] + 250)
    with av.open(str(path)) as file:
        back = [frame.to_ndarray(format="rgb24")[part] for frame in file.decode(video=0)]
    error = np.mean([(one.astype(float) - other[part][..., :3]) ** 2 for one, other in zip(back, frames, strict=True)])
    return float(10 * np.log10(255**2 / error))
