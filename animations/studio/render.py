"""How does a run become a film? `python -m animations.render lora --run runs/mine` renders its scenes and joins them.

Scenes render in parallel processes and are joined without encoding anything twice. Those that have not changed come
from a cache. A scene that fails is named, and no half film is left.
"""

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from animations.studio.scenes import (
    NotShown,
    chosen_scenes,
    films,
    get_film,
    render_scenes,
    runs_of,
    scene_names,
    showing,
)
from engine.errors import InputError, command
from engine.run.run import Run
from visualize.theme import PALETTES, Theme

FORMATS = ("mp4", "webm", "gif")


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
    get_film(film)  # an unknown name is said before a folder is made
    out = writable(Path(out or Path("films") / f"{film}.mp4"), FORMATS)
    suffix = ".mp4" if out.suffix == ".gif" else out.suffix
    with tempfile.TemporaryDirectory(prefix="glasstune-") as folder:
        parts, shown = render_scenes(
            film, run, Path(folder), suffix, others=others, quality=quality, theme=theme, jobs=jobs, scenes=scenes,
            progress=progress,
        )  # fmt: skip
        _finish(parts, out, f"{film}: {shown[0].name}", folder)
    return out


def writable(out: Path, formats: tuple[str, ...]) -> Path:
    """Raises InputError for a format that is none of ours, or a folder that cannot be made."""
    if out.suffix[1:] not in formats:
        one = "one of " if len(formats) > 1 else ""
        raise InputError(f"{out} should end in {one}{', '.join('.' + name for name in formats)}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out.parent} cannot be made ({error.strerror}); give another path with -o") from None
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise InputError(f"{out if out.is_dir() else out.parent} cannot be written; give another path with -o")
    return out


def _finish(parts: list[Any], out: Path, title: str, folder: str) -> None:
    from animations.studio.join import join, to_gif, write_srt, write_thumbnail

    video = Path(folder) / "film.mp4" if out.suffix == ".gif" else out
    join(parts, video, title)
    if out.suffix == ".gif":
        to_gif(video, out)
    write_srt(parts, out.with_suffix(".srt"))
    write_thumbnail(video, parts, out.with_suffix(".png"))


def preview(film: str, run: Run | None, out: Path | None, theme: Theme, scenes: list[str] | None) -> Path:
    """A contact sheet of the film, or of some of its scenes: the end of every beat."""
    chosen = chosen_scenes(film, scenes)
    out = writable(out or Path("films") / f"{film}-preview.png", ("png",))
    shown = runs_of(film, run, None, chosen)
    from animations.studio.preview import contact_sheet

    with showing(shown, theme):
        return contact_sheet([getattr(get_film(film), name) for name in chosen], out, theme)


KEPT = "stopped; the scenes that are done are kept"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said of every film that is rendered, as video or as slides."""
    parser.add_argument("--run", type=Path, help="a captured run (default: one that is made when first needed)")
    parser.add_argument("--quality", default="1080p30", help="480p15, 720p30, 1080p30 (default), 1080p60 or 2160p30")
    parser.add_argument("--theme", default="dark", help="dark or light")
    parser.add_argument("--scenes", type=_names, help="only these, with commas between")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


@partial(command, stopped=KEPT)
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m animations.render", description=__doc__.split("\n")[0])
    parser.add_argument("films", nargs="*", default=["lora"], metavar="FILM", help="of --list, or all; default: lora")
    parser.add_argument("--list", action="store_true", help="the films and their scenes")
    add_options(parser)
    parser.add_argument("--format", default="mp4", help=f"one of {', '.join(FORMATS)}; or let -o say it")
    parser.add_argument("--preview", action="store_true", help="only a contact sheet, in seconds")
    parser.add_argument("-o", "--out", type=Path, help="the file (default: films/FILM.mp4)")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        for film in films():
            print(f"{film}: {', '.join(scene_names(film))}")
        return 0
    _render_chosen(chosen)
    return 0


def _render_chosen(chosen: argparse.Namespace) -> None:
    names = films() if "all" in chosen.films else list(dict.fromkeys(chosen.films))
    for film in names:
        get_film(film)  # an unknown name, or a missing Manim, is said before anything is made
    if chosen.out and len(names) > 1:
        raise InputError(f"-o names one file, but {len(names)} films are to be made; leave it out")
    if chosen.theme not in PALETTES:
        raise InputError(f"no theme called {chosen.theme!r}; there are {', '.join(PALETTES)}")
    run = Run.load(chosen.run) if chosen.run else None
    for film in names:
        try:
            print(_made(film, run, chosen))
        except NotShown as error:
            if "all" not in chosen.films:
                raise
            print(f"left out: {error}")


def _made(film: str, run: Run | None, chosen: argparse.Namespace) -> str:
    scenes = chosen.scenes
    if chosen.preview:
        return f"The contact sheet lies in {preview(film, run, chosen.out, chosen.theme, scenes)}"
    out = chosen.out or Path("films") / f"{film}.{chosen.format}"
    made = render_film(film, run, out, quality=chosen.quality, theme=chosen.theme, jobs=chosen.jobs, scenes=scenes)
    return f"The film lies in {made}, its captions in {made.with_suffix('.srt')}"


if __name__ == "__main__":
    raise SystemExit(main())
