"""How is a film made from a terminal? `glasstune film lora --run runs/mine`; `--preview` first, in seconds."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from animations.studio.films import check_film, films, scene_names
from engine.commands import Command
from engine.errors import InputError
from engine.terminal import say


def add_options(parser: ArgumentParser) -> None:
    """What can be said of every film that is rendered, as video or as slides."""
    parser.add_argument("--run", type=Path, help="a captured run (default: one that is made when first needed)")
    parser.add_argument("--quality", default="1080p30", help="480p15, 720p30, 1080p30 (default), 1080p60 or 2160p30")
    parser.add_argument("--theme", default="dark", help="dark or light")
    parser.add_argument("--scenes", type=_names, help="only these, with commas between")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def options(parser: ArgumentParser) -> None:
    parser.add_argument("films", nargs="*", default=["lora"], metavar="FILM", help="of --list, or all; default: lora")
    parser.add_argument("--list", action="store_true", help="the films and their scenes")
    add_options(parser)
    parser.add_argument("--format", default="mp4", help="mp4, webm or gif; or let -o say it")
    parser.add_argument("--preview", action="store_true", help="only a contact sheet, in seconds")
    parser.add_argument("-o", "--out", type=Path, help="the file (default: films/FILM.mp4)")


def run(chosen: Namespace) -> None:
    if chosen.list:
        for film in films():
            say(f"{film}: {', '.join(scene_names(film))}")
        return
    names = films() if "all" in chosen.films else list(dict.fromkeys(chosen.films))
    for film in names:  # an unknown name, or a missing Manim, is said before anything is made
        check_film(film)
    from animations.studio.scenes import NotShown, get_film
    from visualize.theme import PALETTES

    for film in names:
        get_film(film)
    if chosen.out and len(names) > 1:
        raise InputError(f"-o names one file, but {len(names)} films are to be made; leave it out")
    if chosen.theme not in PALETTES:
        raise InputError(f"no theme called {chosen.theme!r}; there are {', '.join(PALETTES)}")
    for film in names:
        try:
            say(_made(film, chosen))
        except NotShown as error:
            if "all" not in chosen.films:
                raise
            say(f"left out: {error}")


def _made(film: str, chosen: Namespace) -> str:
    from animations.studio.render import preview, render_film

    scenes = chosen.scenes
    if chosen.preview:
        return f"The contact sheet lies in {preview(film, chosen.run, chosen.out, chosen.theme, scenes)}"
    out = chosen.out or Path("films") / f"{film}.{chosen.format}"
    made = render_film(
        film, chosen.run, out, quality=chosen.quality, theme=chosen.theme, jobs=chosen.jobs, scenes=scenes
    )
    return f"The film lies in {made}, its captions in {made.with_suffix('.srt')}"


KEPT = "stopped; the scenes that are done are kept"
COMMAND = Command("make a lecture film of a run", options, run, stopped=KEPT)
