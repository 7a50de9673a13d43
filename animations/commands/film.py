"""How is a film made from a terminal? `glasstune film lora --run runs/mine`; `--preview` first, in seconds."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from animations.studio.films import check_film, films, scene_names
from engine.commands import Command
from engine.errors import InputError
from engine.language.speaking import AUTO, ENGLISH, language_of, languages
from engine.terminal import say

UPRIGHT = "9x16"


def add_options(parser: ArgumentParser) -> None:
    """What can be said of every film that is rendered, as video or as slides."""
    parser.add_argument("--run", type=Path, help="a captured run (default: one that is made when first needed)")
    parser.add_argument(
        "--beside", action="append", default=[], metavar="NAME=DIR", help="a second run, by the film's name for it"
    )
    parser.add_argument("--quality", default="1080p30", help="480p15, 720p30, 1080p30 (default), 1080p60 or 2160p30")
    parser.add_argument("--theme", default="dark", help="dark or light")
    parser.add_argument("--scenes", type=_names, help="only these, with commas between")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--voice", default="", help="a folder of recordings, or a command: espeak-ng -w {file} {text}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def beside(chosen: Namespace) -> dict[str, Path]:
    """Raises InputError for what names no folder."""
    pairs = [text.partition("=") for text in chosen.beside]
    if wrong := next((name for name, mark, folder in pairs if not (mark and name and folder)), None):
        raise InputError(f"--beside {wrong} should be NAME=DIR, as in --beside pirate=runs/pirate")
    return {name: Path(folder) for name, _, folder in pairs}


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "films", nargs="*", default=["lora"], metavar="FILM", help="of --list, all, or course; default: lora"
    )
    parser.add_argument("--list", action="store_true", help="the films and their scenes")
    add_options(parser)
    parser.add_argument(
        "--language",
        default=ENGLISH,
        help=f"{', '.join(languages())}; or {AUTO}, as LANGUAGE or LANG says (default: en)",
    )
    parser.add_argument("--format", default="mp4", help="mp4, webm or gif, or let -o say it; 9x16: upright")
    parser.add_argument("--preview", action="store_true", help="only a contact sheet, in seconds")
    parser.add_argument("-o", "--out", type=Path, help="the file (default: films/FILM.mp4)")


def run(chosen: Namespace) -> None:
    if chosen.list:
        for film in films():
            say(f"{film}: {', '.join(scene_names(film))}")
        return
    if "course" in chosen.films:
        say(_course(chosen))
        return
    names = films() if "all" in chosen.films else list(dict.fromkeys(chosen.films))
    for film in names:  # an unknown name, or a missing Manim, is said before anything is made
        check_film(film)
    from animations.studio.scenes import NotShown, check_names, get_film, of_film

    for film in names:
        get_film(film)
    if chosen.out and len(names) > 1:
        raise InputError(f"-o names one file, but {len(names)} films are to be made; leave it out")
    others = beside(chosen)
    if len(names) > 1:
        check_names(names, others)
    for film in names:
        try:
            say(_made(film, chosen, others if len(names) == 1 else of_film(film, others)))
        except NotShown as error:
            if "all" not in chosen.films:
                raise
            say(f"left out: {error}")


def _made(film: str, chosen: Namespace, others: dict[str, Path]) -> str:
    from animations.studio.render import name_of, preview, render_film

    scenes, language = chosen.scenes, language_of(chosen.language)
    shape, ending = (UPRIGHT, "mp4") if chosen.format == UPRIGHT else ("16x9", chosen.format)
    if chosen.preview:
        sheet = preview(
            film, chosen.run, chosen.out, chosen.theme, scenes, others=others, shape=shape, language=language
        )
        return f"The contact sheet lies in {sheet}"
    out = chosen.out or Path("films") / f"{name_of(film, scenes, shape)}.{ending}"
    made = render_film(
        film, chosen.run, out, others=others, quality=chosen.quality, theme=chosen.theme, shape=shape,
        voice=chosen.voice, language=language, jobs=chosen.jobs, scenes=scenes,
    )  # fmt: skip
    return f"The film lies in {made}, its script in {made.with_suffix('.md')}"


def _course(chosen: Namespace) -> str:
    if chosen.run or chosen.beside or chosen.scenes or chosen.preview or chosen.films != ["course"]:
        raise InputError("course is all films of their own runs in one file; give it without other films, runs, scenes")
    from animations.studio.render import render_course

    made = render_course(
        chosen.out or Path("films") / f"course.{chosen.format}",
        quality=chosen.quality, theme=chosen.theme, voice=chosen.voice, language=language_of(chosen.language),
        jobs=chosen.jobs,
    )  # fmt: skip
    return f"The course lies in {made}, its script in {made.with_suffix('.md')}"


KEPT = "stopped; the scenes that are done are kept"
COMMAND = Command("make a lecture film of a run", options, run, stopped=KEPT)
