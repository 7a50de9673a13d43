"""How does a run become a film? `python -m animations.render lora --run runs/mine` renders its scenes and joins them.

Scenes render in parallel processes, each with a camera that composes a matrix into its own region of the frame only,
and are joined without encoding anything twice. A scene that fails is named, and no half film is left.
"""

import argparse
import importlib
import os
import sys
import tempfile
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from engine.errors import InputError
from engine.run import Run
from visualize.theme import PALETTES, Theme

QUALITIES = {
    "480p15": (854, 480, 15),
    "720p30": (1280, 720, 30),
    "1080p30": (1920, 1080, 30),
    "1080p60": (1920, 1080, 60),
}
SECONDS_A_SCENE = 900  # a worker that takes longer hangs


@dataclass(frozen=True)
class Job:
    """One scene to render: all that a worker process needs."""

    film: str
    scene: str
    run: str
    quality: str
    theme: Theme
    folder: str


@dataclass(frozen=True)
class Rendered:
    """A scene's video, its length in seconds, and its captions as (text, start, end)."""

    video: Path
    seconds: float
    captions: list[tuple[str, float, float]]


def films() -> list[str]:
    """The films that there are: files of this folder that name their SCENES."""
    folder = Path(__file__).parent
    return sorted(p.stem for p in folder.glob("*.py") if "\nSCENES = " in p.read_text(encoding="utf-8"))


def scene_names(film: str) -> list[str]:
    """The film's scenes, in order. Raises InputError for an unknown film or where Manim is missing."""
    if film not in films():
        raise InputError(f"no film called {film!r}; there are: {', '.join(films())}")
    try:
        module = importlib.import_module(f"animations.{film}")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in ("manim", "manimpango", "typst", "av"):
            raise InputError(
                "films need Manim, which is not installed; install it with: pip install -e '.[film]'"
            ) from None
        raise
    return [scene.__name__ for scene in module.SCENES]


def render_scene(job: Job) -> Rendered:
    """Render one scene to `folder`, in this process."""
    os.environ |= {"GLASSTUNE_RUN": job.run, "GLASSTUNE_THEME": job.theme}
    from manim import tempconfig

    from animations.camera import RegionCamera
    from animations.film import quiet

    quiet()
    width, height, rate = QUALITIES[job.quality]
    settings = {
        "pixel_width": width, "pixel_height": height, "frame_rate": rate, "media_dir": job.folder,
        "output_file": job.scene, "disable_caching": True, "write_to_movie": True,
    }  # fmt: skip
    scene_class = getattr(importlib.import_module(f"animations.{job.film}"), job.scene)
    with tempconfig(settings):
        scene = scene_class(camera_class=RegionCamera)
        scene.render()
        video = Path(scene.renderer.file_writer.movie_file_path)
    return Rendered(video, scene.now, [(c.text, c.start, c.end) for c in scene.captions])


def render_film(
    film: str,
    run: Run,
    out: str | Path,
    *,
    quality: str = "720p30",
    theme: Theme = "dark",
    jobs: int | None = None,
    scenes: list[str] | None = None,
    progress: bool = True,
) -> Path:
    """Render a film of `run` to the mp4 file `out`, with captions beside it as .srt; returns the file's path.

    scenes: only these, in the film's order. Raises InputError for unknown names, where Manim is missing, or, naming
    the scene, when one fails; then nothing is left behind.
    """
    every = scene_names(film)
    if quality not in QUALITIES:
        raise InputError(f"no quality called {quality!r}; there are {', '.join(QUALITIES)}")
    if theme not in PALETTES:
        raise InputError(f"no theme called {theme!r}; there are {', '.join(PALETTES)}")
    if unknown := set(scenes or ()) - set(every):
        raise InputError(f"film {film} has no scene {min(unknown)!r}; there are {', '.join(every)}")
    if run.method == "full":
        raise InputError(f"run {run.name} is a full fine-tuning; the film {film} shows the factors of a LoRA run")
    chosen = [name for name in every if not scenes or name in scenes]
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="glasstune-") as folder:
        todo = [Job(film, name, str(run.path.resolve()), quality, theme, folder) for name in chosen]
        rendered = _render_all(todo, jobs or os.cpu_count() or 1, progress)
        _join([rendered[name] for name in chosen], out)
    _write_srt([rendered[name] for name in chosen], out.with_suffix(".srt"))
    return out


def _render_all(todo: list[Job], jobs: int, progress: bool) -> dict[str, Rendered]:
    # Fresh processes: Manim's settings are global, and torch's threads do not survive a fork.
    with ProcessPoolExecutor(min(jobs, len(todo)), mp_context=get_context("spawn")) as pool:
        running = {pool.submit(render_scene, job): job.scene for job in todo}
        bar = tqdm(total=len(todo), desc=f"film {todo[0].film}", unit="scene", disable=not progress)
        rendered = {}
        try:
            for done in as_completed(running, timeout=SECONDS_A_SCENE):
                rendered[running[done]] = done.result()
                bar.update()
        except Exception as error:
            for process in list((pool._processes or {}).values()):
                process.kill()
            failed = next((name for task, name in running.items() if task.done() and task.exception()), "one")
            log = Path(tempfile.gettempdir()) / f"glasstune-{todo[0].film}-{failed}.log"
            log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
            raise InputError(
                f"scene {failed} of film {todo[0].film} failed ({type(error).__name__}); its log is {log}"
            ) from None
        finally:
            bar.close()
    return rendered


def _join(parts: list[Rendered], out: Path) -> None:
    """One mp4 from many, packet by packet, nothing encoded again; written beside, then renamed."""
    import av

    beside = out.with_name(out.name + ".part")
    with av.open(str(beside), "w", format="mp4") as target:
        stream = None
        offset = 0
        for part in parts:
            with av.open(str(part.video)) as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = target.add_stream_from_template(video)
                    stream.time_base = video.time_base
                end = offset
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.dts += offset
                    packet.pts += offset
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.stream = stream
                    target.mux(packet)
                offset = end
    beside.replace(out)


def _write_srt(parts: list[Rendered], path: Path) -> None:
    """The captions as SubRip text, for players and translators."""
    blocks: list[str] = []
    began = 0.0
    for part in parts:
        for text, start, end in part.captions:
            times = " --> ".join(_clock(began + at) for at in (start, end))
            blocks.append(f"{len(blocks) + 1}\n{times}\n{text}\n")
        began += part.seconds
    path.write_text("\n".join(blocks), encoding="utf-8")


def _clock(seconds: float) -> str:
    whole = round(1000 * seconds)
    return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m animations.render", description=__doc__.split("\n")[0])
    parser.add_argument("film", nargs="?", default="lora")
    parser.add_argument("--list", action="store_true", help="the films and their scenes")
    parser.add_argument("--run", type=Path, help="a captured run (default: one that is made when first needed)")
    parser.add_argument("--quality", default="1080p30", help=f"one of {', '.join(QUALITIES)}")
    parser.add_argument("--theme", default="dark", help="dark or light")
    parser.add_argument("--scenes", help="only these, with commas between")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("-o", "--out", type=Path, help="the mp4 (default: films/FILM.mp4)")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.list:
            for film in films():
                print(f"{film}: {', '.join(scene_names(film))}")
            return 0
        scene_names(chosen.film)  # a missing Manim is said before a run is made
        from animations.film import default_run

        run = Run.load(chosen.run) if chosen.run else default_run()
        out = chosen.out or Path("films") / f"{chosen.film}.mp4"
        scenes = chosen.scenes.split(",") if chosen.scenes else None
        made = render_film(
            chosen.film, run, out, quality=chosen.quality, theme=chosen.theme, jobs=chosen.jobs, scenes=scenes
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"The film lies in {made}, its captions in {made.with_suffix('.srt')}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
