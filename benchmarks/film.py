"""How fast is a film made? Beside stock Manim, beside encoding its frames alone, and frame by frame.

Of the whole film what stock Manim can draw, and what its parts cost in two scenes, one that changes all the time and
one of animations; GLASSTUNE_BENCH_SCENES names others for both.
"""

import importlib
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from manim import Camera, Mobject, tempconfig

from animations.studio.camera import RegionCamera
from animations.studio.encode import CODECS, QUALITIES, Encoder
from animations.studio.film import quiet
from animations.studio.films import scene_names
from animations.studio.render import render_film
from animations.studio.runs import film_run
from animations.studio.scenes import Job, Look, render_scene, runs_of
from animations.studio.workers import run_all
from benchmarks.figures import Figure, Unmeasured, cpu_seconds, in_turn, own_seconds, peak_bytes, ratios
from visualize.mobjects import text
from visualize.mobjects.matrix import MatrixImage
from visualize.mobjects.model import WholeModel
from visualize.theme import PALETTES

TITLE = "Films: the renderer beside stock Manim, and what a frame costs"

FILM = "lora"
QUALITY = os.environ.get("GLASSTUNE_BENCH_QUALITY", "1080p30")
NAMED = [name for name in os.environ.get("GLASSTUNE_BENCH_SCENES", "").split(",") if name]
SCENES = NAMED or scene_names(FILM)
PARTS = NAMED or ["Training", "Layers"]
_MOST = 8_000_000_000  # bytes that a process of stock Manim may take
REPEATS = int(os.environ.get("GLASSTUNE_BENCH_REPEATS", "2"))


def measure() -> Iterator[Figure | Unmeasured]:
    quiet()
    with tempfile.TemporaryDirectory() as folder, tempconfig({"media_dir": folder}):
        yield from _whole_film(Path(folder))
        yield from _beside_encoding(Path(folder))
        yield from _frames()
        yield from _picture(Path(folder))
        yield from _memory(folder)


def _whole_film(folder: Path) -> Iterator[Figure | Unmeasured]:
    """Everything that stock Manim can draw at all; ours with processes and joining, and an empty cache each time."""
    number, scenes = iter(range(1000)), list(SCENES)
    processor: list[float] = []

    def stock() -> float:
        took: dict[str, tuple[float, float] | None] = {}
        for name in list(scenes):
            run_all(_stock_scene, [(name, str(folder))], 1, 3600, lambda job, _, result: took.update({job[0]: result}))
            if took[name] is None:
                scenes.remove(name)
        done = [one for one in took.values() if one]
        processor.append(sum(cpu for _, cpu in done))
        return sum(seconds for seconds, _ in done)

    def ours() -> float:
        os.environ["GLASSTUNE_FILM_CACHE"] = str(folder / f"cache-{next(number)}")
        began = time.perf_counter()
        render_film(FILM, out=folder / "ours.mp4", quality=QUALITY, scenes=scenes, progress=False)
        return time.perf_counter() - began

    times = in_turn({"stock": stock, "ours": ours}, REPEATS, warm_up=0, clock=own_seconds)
    cores, what = os.cpu_count(), f"{len(scenes)} scenes of {FILM}, {QUALITY}"
    for name in SCENES:
        if name not in scenes:
            yield Unmeasured(
                f"{FILM}, {name}: stock Manim",
                f"it asks for more than {_MOST // 10**9} GB",
            )
    yield Figure(f"{what}: stock Manim's camera and encoder", "s", times["stock"])
    yield Figure(f"{what}: ours, {cores} cores", "s", times["ours"])
    yield Figure("stock Manim's time beside ours", "times", ratios(times["stock"], times["ours"]), "at least 3")
    yield Figure(f"{what}: stock Manim, processor time", "s", processor)


def _forget_texts() -> None:
    """Every film sets its texts anew, as one does that is made in a process of its own."""
    text._set.cache_clear()
    text._wide.cache_clear()
    text._outline.cache_clear()


def _stock_scene(job: tuple[str, str], _: Callable[[float], None]) -> tuple[float, float] | None:
    """Seconds, and processor seconds, of a scene in a process that has loaded all; None if it asks for too much."""
    (name, folder), quality = job, QUALITIES[QUALITY]
    quiet()
    settings = {
        "pixel_width": quality.width, "pixel_height": quality.height, "frame_rate": quality.rate,
        "media_dir": folder, "disable_caching": True, "write_to_movie": True, "output_file": name,
    }  # fmt: skip
    scene_class = getattr(importlib.import_module(f"animations.{FILM}"), name)
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST, _MOST))
    began, before = time.perf_counter(), time.process_time()
    try:
        with tempconfig(settings):
            scene_class(camera_class=Camera).render()
    except MemoryError:
        return None
    return time.perf_counter() - began, time.process_time() - before


def _beside_encoding(folder: Path) -> list[Figure]:
    """One process, one thread: the scenes drawn and encoded, the encoder's part in that, and encoding them alone."""
    names = PARTS
    shown = runs_of(FILM, None, None, names)
    paths = {name: str(run.path.resolve()) for name, run in shown.items()}
    whole: list[float] = []
    spent_in_it: list[float] = []
    alone: list[float] = []
    for _ in range(REPEATS):
        _forget_texts()
        spent = 0.0
        add, close = Encoder.add, Encoder.close

        def timed(method: Callable[..., None]) -> Callable[..., None]:
            def run(*arguments: Any) -> None:
                nonlocal spent
                began = time.thread_time()  # frames are drawn meanwhile, in another thread
                method(*arguments)
                spent += time.thread_time() - began

            return run

        Encoder.add, Encoder.close = timed(add), timed(close)  # type: ignore[method-assign]
        try:
            jobs = [Job(FILM, name, paths, Look(QUALITY), folder / f"{name}.mp4", 1) for name in names]
            whole.append(cpu_seconds(lambda jobs=jobs: [render_scene(job, lambda _: None) for job in jobs]))
        finally:
            Encoder.add, Encoder.close = add, close  # type: ignore[method-assign]
        spent_in_it.append(spent)
        alone.append(sum(_encoding_every_frame(folder / f"{name}.mp4", folder) for name in names))
    return [
        Figure("ours, processor time (drawing and encoding, one process)", "s", whole),
        Figure("of that, encoding, what does not change left out", "s", spent_in_it),
        Figure("encoding the same frames alone, every one of them", "s", alone),
        Figure("drawing and encoding beside encoding alone", "times", ratios(whole, alone), "at most 1.3"),
    ]


def _encoding_every_frame(scene: Path, folder: Path) -> float:
    """Processor time that our encoder's settings take for all frames of a scene, those that stand still included."""
    quality, took = QUALITIES[QUALITY], 0.0
    codec, options = CODECS[".mp4"]
    with av.open(str(scene)) as video, av.open(str(folder / "alone.mp4"), "w") as target:
        stream: Any = target.add_stream(codec, rate=quality.rate, options={**options, "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = quality.width, quality.height, "yuv420p"
        shown = 0
        for frame in video.decode(video=0):
            pixels, moment = frame.to_ndarray(format="rgba"), round((frame.time or 0.0) * quality.rate)
            repeats, shown = moment - shown + 1, moment + 1

            def encode(pixels: np.ndarray = pixels, times: int = repeats, last: int = moment) -> None:
                for moment in range(last - times + 1, last + 1):
                    made = av.VideoFrame.from_numpy_buffer(pixels, format="rgba").reformat(format="yuv420p")
                    made.pts, made.time_base = moment, Fraction(1, quality.rate)
                    target.mux(stream.encode(made))

            took += cpu_seconds(encode)
        took += cpu_seconds(lambda: target.mux(stream.encode()))
    return took


def _frames() -> list[Figure]:
    """What a picture that changes in every frame costs to draw, from values at hand to the finished frame."""
    found = []
    with tempconfig({"pixel_width": 1920, "pixel_height": 1080}):
        text.register_font()
        model = WholeModel(film_run(FILM), "dark").settle()
        values = {module: model.run.weight(module) for module in model.tiles}
        model._read = values.__getitem__  # type: ignore[method-assign]
        random = np.random.default_rng(0).standard_normal((8, 256, 256), dtype=np.float32)
        matrix = MatrixImage(random[0], 2.5, 2, "#ffffff", "dark").settle()
        changing: tuple[tuple[str, Mobject, Callable[[int], object], str], ...] = (
            ("a 256 x 256 matrix", matrix, lambda frame: matrix.show(random[frame % 8]), "at most 4"),
            (
                f"{model.weights:,} weights",
                model,
                lambda frame: model.show("W", limit=0.1 + 0.01 * frame),
                "at most 12",
            ),
        )
        for what, mobject, change, goal in changing:
            for who, camera_class in (("ours", RegionCamera), ("stock Manim's camera", Camera)):
                times = _drawing(camera_class, mobject, change)
                found.append(Figure(f"{what}, changing, {who}", "ms a frame", times, goal if who == "ours" else ""))
    return found


def _drawing(camera_class: type[Camera], mobject: Mobject, change: Callable[[int], object]) -> list[float]:
    camera = camera_class(background_color=PALETTES["dark"].background)
    still = camera.pixel_array.copy()

    def frame(number: int) -> np.ndarray:
        change(number)
        camera.set_frame_to_background(still)
        camera.capture_mobjects([mobject])
        return camera.pixel_array.copy()

    frame(0)
    return [1000 * cpu_seconds(lambda number=number: frame(number)) for number in range(24)]


def _picture(folder: Path) -> list[Figure]:
    """How true are the heat maps? Peak signal to noise, the decoded video beside the frames that went in."""
    return [
        Figure("heat map, stock Manim's encoder", "dB", [_psnr(folder, stock=True)]),
        Figure("heat map, ours", "dB", [_psnr(folder, stock=False)], "no less than stock Manim's"),
    ]


def _memory(folder: str) -> list[Figure]:
    """What a process that renders a scene holds at most: a short scene, and one ten times as long."""
    found: dict[int, float] = {}
    lengths = (40, 400)

    def hear(job: tuple[int, str], _: float, result: float | None) -> None:
        if result is not None:
            found[job[0]] = result

    for frames in lengths:  # each in a process of its own
        run_all(peak_memory, [(frames, folder)], 1, 600, hear)
    short, long = (found[frames] for frames in lengths)
    return [
        Figure(f"memory at most, a scene of {lengths[0]} changing frames", "MB", [short]),
        Figure(f"memory at most, a scene of {lengths[1]} changing frames", "MB", [long]),
        Figure("memory, ten times the length", "times", [long / short], "at most 1.05",
               [(lengths[0], short), (lengths[1], long)], ("frames of a scene", "memory at most (MB)")),
    ]  # fmt: skip


def peak_memory(job: tuple[int, str], _: Callable[[float], None]) -> float:
    """MB that this process held at most after drawing and encoding so many frames, each with a new matrix."""
    frames, folder = job
    quality, random = QUALITIES[QUALITY], np.random.default_rng(0)
    with tempconfig({"pixel_width": quality.width, "pixel_height": quality.height}):
        camera = RegionCamera(background_color=PALETTES["dark"].background)
        matrix = MatrixImage(np.zeros((256, 256), np.float32), 2.5, 2, "#ffffff", "dark").settle()
        encoder = Encoder(Path(folder) / f"memory-{frames}.mp4", quality)
        for _frame in range(frames):
            matrix.show(random.standard_normal((256, 256), dtype=np.float32))
            camera.reset()
            camera.capture_mobjects([matrix])
            encoder.add(camera.pixel_array.copy())
        encoder.close()
    return peak_bytes() / 1e6


def _psnr(folder: Path, *, stock: bool, frames: int = 30) -> float:
    quality = QUALITIES["1080p30"]
    with tempconfig({"pixel_width": quality.width, "pixel_height": quality.height}):
        camera = RegionCamera(background_color=PALETTES["dark"].background)
        random = np.random.default_rng(0)
        start, moves = random.standard_normal((2, 128, 128))
        shown = []
        for number in range(frames):  # a matrix that drifts, as one in training does
            matrix = MatrixImage(start + moves * number / frames, 2.5, 4, "#c9ccd3", "dark").settle()
            camera.reset()
            camera.capture_mobjects([matrix])
            shown.append(camera.pixel_array.copy())
    file = folder / f"psnr-{stock}.mp4"
    _encode_as_manim(file, shown) if stock else _encode_as_we_do(file, shown)
    half = 4 * 128 // 2
    box = (slice(540 - half, 540 + half), slice(960 - half, 960 + half))
    errors = []
    with av.open(str(file)) as video:
        for frame, true in zip(video.decode(video=0), shown, strict=True):
            space = {} if stock else {"src_colorspace": "ITU709"}
            seen = frame.to_ndarray(format="rgb24", **space)[box].astype(float)
            errors.append(np.mean((seen - true[box][..., :3]) ** 2))
    return float(10 * np.log10(255**2 / np.mean(errors)))


def _encode_as_we_do(file: Path, frames: list[np.ndarray]) -> None:
    encoder = Encoder(file, QUALITIES["1080p30"])
    for frame in frames:
        encoder.add(frame)
    encoder.close()


def _encode_as_manim(file: Path, frames: list[np.ndarray]) -> None:
    """As `manim.scene.video_segment_encoder` of Manim 0.22 does."""
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"crf": "23"})
        stream.pix_fmt, stream.width, stream.height = "yuv420p", 1920, 1080
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
