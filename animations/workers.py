"""How do scenes render side by side? A few processes, each taking one scene after another, watched from here.

Processes, since Manim's settings are global; fresh ones, since torch's threads do not survive a fork. A scene that
fails or takes too long is named, and then all of them end: no half film is left.
"""

import importlib
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, get_all_start_methods, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from animations.join import Rendered
from engine.errors import InputError
from visualize.theme import Theme

SECONDS_A_SCENE = 900.0  # a worker that takes longer hangs
REPORT_EVERY = 15  # frames


@dataclass(frozen=True)
class Job:
    """One scene to render: all that a worker process needs. form: "mp4" or "webm"."""

    film: str
    scene: str
    run: str
    width: int
    height: int
    rate: int
    theme: Theme
    form: str
    folder: str


def render_scene(job: Job, report: Callable[[int], None] = lambda frames: None) -> Rendered:
    """Render one scene to `folder`, in this process. `report` is told now and then how many frames there are."""
    os.environ |= {"GLASSTUNE_RUN": job.run, "GLASSTUNE_THEME": job.theme}
    from manim import tempconfig
    from manim.renderer.cairo_renderer import CairoRenderer

    from animations.camera import RegionCamera
    from animations.encode import CODECS, FrameEncoder, SceneWriter
    from animations.film import quiet

    quiet()
    settings: dict[str, Any] = {
        "pixel_width": job.width, "pixel_height": job.height, "frame_rate": job.rate, "media_dir": job.folder,
        "disable_caching": True, "write_to_movie": True,
    }  # fmt: skip
    scene_class = getattr(importlib.import_module(f"animations.{job.film}"), job.scene)
    video = Path(job.folder) / f"{job.scene}.{job.form}"
    encoder = FrameEncoder(video, job.width, job.height, job.rate, CODECS[job.form])

    class Reporting(SceneWriter):
        def write_frame(self, pixels: Any, *, repeat: int = 1) -> None:
            before = encoder.frames // REPORT_EVERY
            super().write_frame(pixels, repeat=repeat)
            if encoder.frames // REPORT_EVERY > before:
                report(encoder.frames)

    Reporting.encoder = encoder
    with tempconfig(settings):
        scene = scene_class(CairoRenderer(file_writer_class=Reporting, camera_class=RegionCamera))
        scene.render()
    captions = tuple((caption.text, caption.start, caption.end) for caption in scene.captions)
    return Rendered(video, scene.title, encoder.frames, encoder.frames / job.rate, captions)


def render_all(
    jobs: list[Job],
    processes: int,
    progress: Callable[[Job, int, Rendered | None], None],
    limit: float = SECONDS_A_SCENE,
) -> dict[str, Rendered]:
    """Render the jobs; `progress(job, frames, rendered)` is told of each as it goes on, `rendered` at its end.

    limit: seconds that a scene may take. Raises InputError that names the scene which failed, and where its log is.
    """
    context: Any = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    if hasattr(context, "set_forkserver_preload"):
        context.set_forkserver_preload(["animations.film", "animations.encode", "animations.camera"])
    waiting, done = list(jobs), dict[str, Rendered]()
    workers: dict[Connection, Any] = {}
    busy: dict[Connection, tuple[Job, float]] = {}
    try:
        for _ in range(max(1, min(processes, len(jobs)))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            workers[ours] = process
        while waiting or busy:
            for pipe in [pipe for pipe in workers if pipe not in busy][: len(waiting)]:
                busy[pipe] = waiting.pop(0), time.monotonic()
                pipe.send(busy[pipe][0])
            for heard in connection.wait(list(busy), timeout=1.0):
                _hear(heard, busy, done, progress)
            for job, began in busy.values():
                if time.monotonic() - began > limit:
                    raise _failed(job, f"it took longer than {limit:.0f} s", "")
    finally:
        for pipe, process in workers.items():
            pipe.close()  # an idle worker then ends by itself
            process.join(0 if busy else 5)
            process.kill()
        for process in workers.values():
            process.join()
    return done


def _hear(pipe: Any, busy: dict, done: dict[str, Rendered], progress: Callable) -> None:
    """One message of a worker."""
    job = busy[pipe][0]
    try:
        what, value = pipe.recv()
    except (EOFError, ConnectionError):
        raise _failed(job, "its process ended", "") from None
    if what == "frames":
        progress(job, value, None)
    elif what == "done":
        done[job.scene] = value
        del busy[pipe]
        progress(job, value.frames, value)
    else:
        raise _failed(job, *value)


def _failed(job: Job, why: str, log: str) -> InputError:
    sentence = f"scene {job.scene} of film {job.film} failed: {why}"
    if not log:
        return InputError(sentence)
    path = Path(tempfile.gettempdir()) / f"glasstune-{job.film}-{job.scene}.log"
    path.write_text(log, encoding="utf-8")
    return InputError(f"{sentence}; its log is {path}")


def _serve(pipe: Connection) -> None:
    """A worker's life: scenes in, videos out."""
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            rendered = render_scene(job, lambda frames: pipe.send(("frames", frames)))
            pipe.send(("done", rendered))
        except BaseException as error:
            last = str(error).strip().split("\n")[0] or type(error).__name__
            pipe.send(("failed", (last, traceback.format_exc())))
