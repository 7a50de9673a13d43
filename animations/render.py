"""How does a run become a film? `python -m animations.render lora --run runs/mine` renders its scenes and joins them.

Scenes render in parallel processes, each with a camera that composes a matrix into its own region of the frame only
and one encoder that leaves out what does not change; they are joined without encoding anything twice. Scenes that
have not changed come from a cache. A scene that fails is named, and no half film is left.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from animations.runs import film_run
from engine.errors import InputError
from engine.run import EMBEDDED, Run
from visualize.theme import PALETTES, Theme

SECONDS_A_SCENE = 900  # a worker that takes longer hangs
FORMATS = ("mp4", "webm", "gif")


@dataclass(frozen=True)
class Job:
    """One scene to render: all that a worker process needs. runs: the folder of each run that the scene shows."""

    film: str
    scene: str
    runs: dict[str, str]
    quality: str
    theme: Theme
    video: Path
    threads: int


def films() -> list[str]:
    """The films that there are: files of this folder that name their SCENES."""
    folder = Path(__file__).parent
    return sorted(p.stem for p in folder.glob("*.py") if "\nSCENES = " in p.read_text(encoding="utf-8"))


def get_film(film: str) -> ModuleType:
    """The film's module. Raises InputError for an unknown film or where Manim is missing."""
    if film not in films():
        raise InputError(f"no film called {film!r}; there are: {', '.join(films())}")
    try:
        return importlib.import_module(f"animations.{film}")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in ("manim", "manimpango", "typst", "av"):
            raise InputError(
                "films need Manim, which is not installed; install it with: pip install -e '.[film]'"
            ) from None
        raise


def scene_names(film: str) -> list[str]:
    """The film's scenes, in order. Raises InputError as `get_film` does."""
    return [scene.__name__ for scene in get_film(film).SCENES]


def runs_of(film: str, run: Run | None, others: dict[str, Run] | None, chosen: list[str]) -> dict[str, Run]:
    """The runs that these scenes show, by the names that the film has for them.

    What is not given is the film's own run, made now if need be; beside a run of another base model there is none.
    Raises InputError for a run that the film cannot show.
    """
    module = get_film(film)
    scenes = [scene for scene in module.SCENES if scene.__name__ in chosen]
    shown = dict(others or {})
    for name in (scene.run for scene in scenes):
        if name not in shown:
            shown[name] = run or film_run(name)
            if check := getattr(module, "check", None):
                check(shown[name])
    source = next(iter(shown.values())).info.get("model", {}).get("source")
    for name in (other for scene in scenes for other in scene.others):
        if name not in shown and source == EMBEDDED:
            shown[name] = film_run(name)
    return shown


def render_scene(job: Job, report: Callable[[float], None]) -> Any:
    """Render one scene to `job.video`, in this process."""
    os.environ |= {"GLASSTUNE_FILM_RUNS": json.dumps(job.runs), "GLASSTUNE_THEME": job.theme}
    from functools import partial

    from manim import tempconfig
    from manim.renderer.cairo_renderer import CairoRenderer

    from animations.camera import RegionCamera
    from animations.encode import QUALITIES, SceneWriter
    from animations.film import quiet
    from animations.join import Rendered

    quiet()
    quality = QUALITIES[job.quality]
    settings = {
        "pixel_width": quality.width, "pixel_height": quality.height, "frame_rate": quality.rate,
        "media_dir": str(job.video.with_suffix("")), "disable_caching": True, "write_to_movie": True,
    }  # fmt: skip
    scene_class = getattr(get_film(job.film), job.scene)
    with tempconfig(settings):
        writer = partial(SceneWriter, path=job.video, quality=quality, threads=job.threads, report=report)
        scene = scene_class(renderer=CairoRenderer(file_writer_class=writer, camera_class=RegionCamera))
        scene.render()
        frames = scene.renderer.file_writer.encoder.frames
    captions = [(c.text, c.start, c.end) for c in scene.captions]
    return Rendered(job.video, scene.title, frames, quality.rate, captions)


def render_film(
    film: str,
    run: Run | None = None,
    out: str | Path | None = None,
    *,
    others: dict[str, Run] | None = None,
    quality: str = "720p30",
    theme: Theme = "dark",
    jobs: int | None = None,
    scenes: list[str] | None = None,
    progress: bool = True,
) -> Path:
    """Render a film of `run` to `out` (.mp4, .webm or .gif), captions and thumbnail beside it; returns the file's path.

    run: by default the film's own, made when first needed. out: by default films/FILM.mp4. others: what it shows beside
    it, by the film's names for them. scenes: only these, in the film's order. Raises InputError for unknown names,
    where Manim is missing, or, naming the scene, when one fails; then nothing is left behind.
    """
    every = scene_names(film)
    from animations.encode import get_quality

    get_quality(quality)
    if theme not in PALETTES:
        raise InputError(f"no theme called {theme!r}; there are {', '.join(PALETTES)}")
    if unknown := set(scenes or ()) - set(every):
        raise InputError(f"film {film} has no scene {min(unknown)!r}; there are {', '.join(every)}")
    out = _writable(Path(out or Path("films") / f"{film}.mp4"))
    chosen = [name for name in every if not scenes or name in scenes]
    shown = runs_of(film, run, others, chosen)
    module = get_film(film)
    lacking = [name for name in chosen if not {getattr(module, name).run, *getattr(module, name).others} <= set(shown)]
    if scenes and lacking:
        raise InputError(f"scene {lacking[0]} shows a second run beside {next(iter(shown.values())).name}; give one")
    with tempfile.TemporaryDirectory(prefix="glasstune-") as folder:
        jobs = min(jobs or os.cpu_count() or 1, len(chosen))
        paths = {name: str(shown_run.path.resolve()) for name, shown_run in shown.items()}
        threads = max(1, (os.cpu_count() or 1) // jobs)
        suffix = ".mp4" if out.suffix == ".gif" else out.suffix
        todo = [
            Job(film, name, paths, quality, theme, Path(folder) / f"{name}{suffix}", threads)
            for name in chosen
            if name not in lacking
        ]
        _finish(_render_all(todo, shown, jobs, progress), out, f"{film}: {next(iter(shown.values())).name}", folder)
    return out


def _writable(out: Path) -> Path:
    """Raises InputError for a format that is none of ours, or a folder that cannot be made."""
    if out.suffix[1:] not in FORMATS:
        raise InputError(f"{out} should end in one of {', '.join('.' + name for name in FORMATS)}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out.parent} cannot be made ({error.strerror}); give another path with -o") from None
    if not os.access(out.parent, os.W_OK):
        raise InputError(f"{out.parent} cannot be written; give another path with -o")
    return out


def _render_all(todo: list[Job], shown: dict[str, Run], jobs: int, progress: bool) -> list[Any]:
    """Every scene as a `Rendered`, in the film's order: from the cache, or rendered now."""
    from animations import cache
    from animations.workers import Failed, run_all

    every = scene_names(todo[0].film)
    keys, done, suffix = {}, {}, todo[0].video.suffix
    for job in todo:
        scene = getattr(get_film(job.film), job.scene)
        own = {name: shown[name] for name in (scene.run, *scene.others)}
        settings = {"quality": job.quality, "theme": job.theme, "format": suffix}
        keys[job.scene] = cache.scene_key(job.film, job.scene, every, own, settings)
        if (known := cache.look_up(keys[job.scene], suffix)) is not None:
            done[job.scene] = known
    missing = [job for job in todo if job.scene not in done]
    at: dict[str, float] = {name: part.seconds for name, part in done.items()}
    with tqdm(total=len(todo), desc=f"film {todo[0].film}", unit="scene", disable=not progress) as bar:
        bar.update(len(done))

        def hear(job: Job, seconds: float, result: Any) -> None:
            at[job.scene] = result.seconds if result else seconds
            bar.set_postfix_str(f"{sum(at.values()):.0f} s of film", refresh=False)
            if result:
                done[job.scene] = cache.keep(keys[job.scene], result)
            bar.update(1 if result else 0)

        try:
            if missing:
                run_all(render_scene, missing, jobs, SECONDS_A_SCENE, hear)
        except Failed as failed:
            log = Path(tempfile.gettempdir()) / f"glasstune-{todo[0].film}-{failed.job.scene}.log"
            log.write_text(failed.log or failed.why, encoding="utf-8")
            raise InputError(
                f"scene {failed.job.scene} of film {failed.job.film} failed ({failed.why}); its log is {log}"
            ) from None
    return [done[job.scene] for job in todo]


def _finish(parts: list[Any], out: Path, title: str, folder: str) -> None:
    from animations.join import join, to_gif, write_srt, write_thumbnail

    video = Path(folder) / "film.mp4" if out.suffix == ".gif" else out
    join(parts, video, title)
    if out.suffix == ".gif":
        to_gif(video, out)
    write_srt(parts, out.with_suffix(".srt"))
    write_thumbnail(video, parts, out.with_suffix(".png"))


def show_film(film: str, run: Run | None = None, **options: Any) -> Any:
    """A film of `run` inside a notebook: rendered (or found in the cache), and embedded. options: of `render_film`."""
    try:
        from IPython.display import Video
    except ModuleNotFoundError:
        raise InputError("show_film is for notebooks; install them with: pip install -e '.[notebook]'") from None
    out = options.pop("out", None) or Path("films") / f"{film}{'-' + run.name if run else ''}.mp4"
    return Video(str(render_film(film, run, out, **options)), embed=True, html_attributes="controls width=960")


def preview(film: str, run: Run | None, out: Path | None, theme: Theme, scenes: list[str] | None) -> Path:
    """A contact sheet of the film, or of some of its scenes: the end of every beat."""
    module, every = get_film(film), scene_names(film)
    if unknown := set(scenes or ()) - set(every):
        raise InputError(f"film {film} has no scene {min(unknown)!r}; there are {', '.join(every)}")
    chosen = [name for name in every if not scenes or name in scenes]
    shown = runs_of(film, run, None, chosen)
    os.environ |= {
        "GLASSTUNE_FILM_RUNS": json.dumps({name: str(run.path.resolve()) for name, run in shown.items()}),
        "GLASSTUNE_THEME": theme,
    }
    from animations.preview import contact_sheet

    out = out or Path("films") / f"{film}-preview.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    return contact_sheet([getattr(module, name) for name in chosen], out, theme)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m animations.render", description=__doc__.split("\n")[0])
    parser.add_argument("films", nargs="*", default=["lora"], metavar="FILM", help="of --list, or all; default: lora")
    parser.add_argument("--list", action="store_true", help="the films and their scenes")
    parser.add_argument("--run", type=Path, help="a captured run (default: one that is made when first needed)")
    parser.add_argument("--quality", default="1080p30", help="480p15, 720p30, 1080p30 (default), 1080p60 or 2160p30")
    parser.add_argument("--theme", default="dark", help="dark or light")
    parser.add_argument("--format", default="mp4", help=f"one of {', '.join(FORMATS)}; or let -o say it")
    parser.add_argument("--scenes", help="only these, with commas between")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--preview", action="store_true", help="only a contact sheet, in seconds")
    parser.add_argument("-o", "--out", type=Path, help="the file (default: films/FILM.mp4)")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.list:
            for film in films():
                print(f"{film}: {', '.join(scene_names(film))}")
            return 0
        _render_chosen(chosen)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _render_chosen(chosen: argparse.Namespace) -> None:
    names = films() if "all" in chosen.films else chosen.films
    for film in names:
        get_film(film)  # an unknown name, or a missing Manim, is said before anything is made
    if chosen.out and len(names) > 1:
        raise InputError(f"-o names one file, but {len(names)} films are to be made; leave it out")
    if chosen.theme not in PALETTES:
        raise InputError(f"no theme called {chosen.theme!r}; there are {', '.join(PALETTES)}")
    run = Run.load(chosen.run) if chosen.run else None
    scenes = chosen.scenes.split(",") if chosen.scenes else None
    for film in names:
        if chosen.preview:
            print(f"The contact sheet lies in {preview(film, run, chosen.out, chosen.theme, scenes)}")
            continue
        out = chosen.out or Path("films") / f"{film}.{chosen.format}"
        made = render_film(
            film, run, out, quality=chosen.quality, theme=chosen.theme, jobs=chosen.jobs, scenes=scenes
        )  # fmt: skip
        print(f"The film lies in {made}, its captions in {made.with_suffix('.srt')}")


if __name__ == "__main__":
    raise SystemExit(main())
