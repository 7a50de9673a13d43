"""How does a run become a film? `python -m animations.render lora --run runs/mine` renders its scenes and joins them.

Scenes render in parallel processes (workers.py), each with a camera that composes a matrix into its own region of
the frame only (camera.py) and one encoder (encode.py); unchanged ones come from the cache (cache.py); then their
packets are joined, nothing encoded twice (join.py). A scene that fails is named, and no half film is left.
"""

import argparse
import importlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from animations.runs import film_run
from engine.errors import InputError
from engine.run import Run
from visualize.theme import PALETTES, Theme

if TYPE_CHECKING:
    from animations.film import FilmScene
    from animations.join import Rendered
    from animations.workers import Job

QUALITIES = {
    "480p15": (854, 480, 15),
    "720p30": (1280, 720, 30),
    "1080p30": (1920, 1080, 30),
    "1080p60": (1920, 1080, 60),
    "2160p30": (3840, 2160, 30),
}
FORMATS = ("mp4", "webm", "gif")
LIKELY_SECONDS = 14.0  # of a scene that was never rendered; only the progress bar believes it


def films() -> list[str]:
    """The films that there are: files of this folder that name their SCENES."""
    folder = Path(__file__).parent
    return sorted(p.stem for p in folder.glob("*.py") if "\nSCENES = " in p.read_text(encoding="utf-8"))


def scenes_of(film: str) -> "tuple[type[FilmScene], ...]":
    """The film's scenes, in order. Raises InputError for an unknown film or where Manim is missing."""
    if film not in films():
        raise InputError(f"no film called {film!r}; there are: {', '.join(films())}")
    try:
        return importlib.import_module(f"animations.{film}").SCENES
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in ("manim", "manimpango", "typst", "av"):
            raise InputError(
                "films need Manim, which is not installed; install it with: pip install -e '.[film]'"
            ) from None
        raise


def scene_names(film: str) -> list[str]:
    return [scene.__name__ for scene in scenes_of(film)]


@dataclass(frozen=True)
class Look:
    """How a film is to look. Raises InputError for a quality, theme or format that is none."""

    quality: str = "720p30"
    theme: Theme = "dark"
    form: str = "mp4"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("quality", self.quality, QUALITIES), ("theme", self.theme, PALETTES), ("format", self.form, FORMATS),
        ):  # fmt: skip
            if value not in known:
                raise InputError(f"no {what} called {value!r}; there are {', '.join(known)}")


def chosen_scenes(film: str, scenes: list[str] | None) -> "list[type[FilmScene]]":
    """Those of the film's scenes that were asked for, in the film's order. Raises InputError for an unknown one."""
    every = scenes_of(film)
    if unknown := set(scenes or ()) - {scene.__name__ for scene in every}:
        raise InputError(f"film {film} has no scene {min(unknown)!r}; there are {', '.join(scene_names(film))}")
    return [scene for scene in every if not scenes or scene.__name__ in scenes]


def runs_of(film: str, run: Run | None) -> list[Run]:
    """The run that a film shows (None: the films' own, made when first needed), and those that stand beside it.

    Raises InputError for a run that the film cannot show.
    """
    module = importlib.import_module(f"animations.{film}")
    run = run or film_run(module.SCENES[0].recipe)
    if run.method not in module.METHODS:
        raise InputError(
            f"run {run.name} was trained by method {run.method}; the film {film} shows {' or '.join(module.METHODS)}"
        )
    return [run, *(film_run(name) for name in module.companions(run))]


def render_film(
    film: str,
    run: Run | None,
    out: str | Path,
    *,
    quality: str = "720p30",
    theme: Theme = "dark",
    jobs: int | None = None,
    scenes: list[str] | None = None,
    progress: bool = True,
) -> Path:
    """Render a film of `run` to the file `out` (.mp4, .webm or .gif); returns the file's path.

    Captions stand beside it as .srt, a picture for lists of films as .png. scenes: only these, in the film's order.
    Raises InputError for unknown names, where Manim is missing, or, naming the scene, when one fails; then nothing
    is left behind.
    """
    out = Path(out)
    look = Look(quality, theme, out.suffix[1:])
    chosen = chosen_scenes(film, scenes)
    runs = runs_of(film, run)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".glasstune-", dir=out.parent) as folder:
            parts = _rendered(film, chosen, runs, look, folder, jobs or os.cpu_count() or 1, progress)
            from animations.join import join, thumbnail, write_srt

            join(parts, out, title=f"{film}: {runs[0].name}")
            write_srt(parts, out.with_suffix(".srt"))
            thumbnail(parts[min(2, len(parts) - 1)], out.with_suffix(".png"))
    except OSError as error:
        raise InputError(f"the film cannot be written to {out} ({error.strerror}); choose another place") from None
    return out


def _rendered(
    film: str, scenes: "list[type[FilmScene]]", runs: list[Run], look: Look, folder: str, processes: int, progress: bool
) -> "list[Rendered]":
    """The scenes' videos in order, from the cache where nothing has changed."""
    from animations import cache
    from animations.encode import CODECS
    from animations.workers import Job, render_all

    width, height, rate = QUALITIES[look.quality]
    form = "mp4" if look.form == "gif" else look.form
    settings = {"size": (width, height, rate), "theme": look.theme, "codec": CODECS[form]}
    keys = {scene.__name__: cache.key(scene, runs, settings) for scene in scenes}
    found = {name: kept for name, key in keys.items() if (kept := cache.look_up(key))}
    path = str(runs[0].path.resolve())
    todo = [
        Job(film, scene.__name__, path, width, height, rate, look.theme, form, folder)
        for scene in scenes
        if scene.__name__ not in found
    ]
    bar = FramesBar(film, len(todo), rate, disable=not progress)

    def report(job: "Job", frames: int, rendered: "Rendered | None") -> None:
        bar.now(job.scene, frames, ended=rendered is not None)
        if rendered:
            found[job.scene] = cache.keep(keys[job.scene], rendered)

    try:
        if todo:
            render_all(todo, processes, report)
    finally:
        bar.close()
    return [found[scene.__name__] for scene in scenes]


class FramesBar:
    """Frames done and time left. How long an unknown scene is, is learned from those that have ended."""

    def __init__(self, film: str, scenes: int, rate: int, disable: bool) -> None:
        self._done: dict[str, int] = {}
        self._ended: set[str] = set()
        self._scenes, self._likely = scenes, LIKELY_SECONDS * rate
        self._bar = tqdm(total=round(scenes * self._likely), desc=f"film {film}", unit="frame", disable=disable)

    def now(self, scene: str, frames: int, ended: bool) -> None:
        self._bar.update(frames - self._done.get(scene, 0))
        self._done[scene] = frames
        if ended:
            self._ended.add(scene)
            known = [self._done[name] for name in self._ended]
            self._bar.total = round(sum(known) + (self._scenes - len(known)) * sum(known) / len(known))
            self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m animations.render", description=__doc__.split("\n")[0])
    parser.add_argument("films", nargs="*", metavar="FILM", help="which (see --list), or all; default: lora")
    parser.add_argument("--list", action="store_true", help="the films and their scenes")
    parser.add_argument("--run", type=Path, help="a captured run (default: one that is made when first needed)")
    parser.add_argument("--quality", default="1080p30", help=f"one of {', '.join(QUALITIES)}")
    parser.add_argument("--theme", default="dark", help="dark or light")
    parser.add_argument("--format", default=None, help=f"one of {', '.join(FORMATS)} (default: by -o's name, else mp4)")
    parser.add_argument("--scenes", help="only these, with commas between")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument(
        "--preview", action="store_true", help="instead of films, contact sheets of their beats, as PNG"
    )
    parser.add_argument("-o", "--out", type=Path, help="the file, or for several films the folder (default: films/)")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.list:
            for film in films():
                print(f"{film}: {', '.join(scene_names(film))}")
            return 0
        names = films() if chosen.films == ["all"] else chosen.films or ["lora"]
        for name in names:
            scenes_of(name)  # an unknown film or a missing Manim is said before anything is made
        run = Run.load(chosen.run) if chosen.run else None
        for name in names:
            _make(name, run, chosen, single=len(names) == 1)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _make(film: str, run: Run | None, chosen: argparse.Namespace, single: bool) -> None:
    scenes = chosen.scenes.split(",") if chosen.scenes else None
    given = chosen.out if single and chosen.out and not chosen.out.is_dir() else None
    form = "png" if chosen.preview else chosen.format or (given.suffix[1:] if given and given.suffix else "mp4")
    out = given or (chosen.out or Path("films")) / f"{film}.{form}"
    if out.suffix != f".{form}":
        raise InputError(f"{out} is to be a {form}; give it a name that ends in .{form}, or leave --format out")
    if chosen.preview:
        from animations.preview import contact_sheet

        made = contact_sheet(chosen_scenes(film, scenes), runs_of(film, run)[0], out, Look(theme=chosen.theme).theme)
        print(f"The contact sheet lies in {made}")
        return
    made = render_film(film, run, out, quality=chosen.quality, theme=chosen.theme, jobs=chosen.jobs, scenes=scenes)
    print(f"The film lies in {made}, its captions in {made.with_suffix('.srt')}")


if __name__ == "__main__":
    raise SystemExit(main())
