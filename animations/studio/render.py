"""How does a run become a film? `python -m animations.render lora --run runs/mine` renders its scenes and joins them.

Scenes render in parallel processes and are joined without encoding anything twice. Those that have not changed come
from a cache. A scene that fails is named, and no half film is left.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from animations.studio.captions import is_captions
from animations.studio.films import COURSE
from animations.studio.language import catalogue_of
from animations.studio.scenes import (
    Given,
    Look,
    chosen_scenes,
    film_in,
    get_film,
    in_shape,
    render_scenes,
    runs_of,
    showing,
    with_their_runs,
)
from engine.errors import InputError
from engine.files import check_ours
from engine.language.speaking import ENGLISH, language_of, speaking
from engine.terminal import note
from visualize.theme import Theme

FORMATS = ("mp4", "webm", "gif")
SHEET = b"Software\0Glasstune"  # what a contact sheet says of itself, as PNG writes it
BESIDE = (".srt", ".vtt", ".md", ".png")  # what is written beside a film


def render_film(
    film: str,
    run: Given | None = None,
    out: str | Path | None = None,
    *,
    others: Mapping[str, Given] | None = None,
    quality: str = "720p30",
    theme: Theme = "dark",
    shape: str = "16x9",
    voice: str = "",
    language: str = ENGLISH,
    jobs: int | None = None,
    scenes: list[str] | None = None,
    progress: bool = True,
) -> Path:
    """Render a film of `run` to `out` (.mp4, .webm or .gif); beside it captions, script and poster. Returns its path.

    run: a Run or its folder; by default the film's own, made when first needed. out: by default films/FILM.mp4, and a
    name of its own for some scenes only or an upright frame. others: what it shows beside it, by the film's names for
    them. shape: "16x9" or "9x16". voice: a folder of recordings, or a command (see `animations.studio.voice`).
    language: of what stands in the frame, the captions and the script. scenes: only these, in the film's order. Raises
    InputError for unknown names, where Manim is missing, or, naming the scene, when one fails; then nothing is left
    behind.
    """
    look = Look(quality, theme, shape, voice, language_of(language))
    get_film(film)  # an unknown name is said before a folder is made
    _note_missing(film, look.language)
    out = alone(writable(Path(out or Path("films") / f"{name_of(film, scenes, shape)}.mp4"), FORMATS))
    with tempfile.TemporaryDirectory(prefix="glasstune-") as folder:
        parts, shown = render_scenes(
            film, run, Path(folder), _video_suffix(out), others=others, look=look,
            jobs=jobs, scenes=scenes, progress=progress,
        )  # fmt: skip
        _finish(parts, out, f"{film}: {shown[0].name}", folder, look.language)
    return out


def render_course(
    out: str | Path | None = None,
    *,
    quality: str = "720p30",
    theme: Theme = "dark",
    voice: str = "",
    language: str = ENGLISH,
    jobs: int | None = None,
    progress: bool = True,
) -> Path:
    """All films in the course's order as one file (by default films/course.mp4), every scene a chapter of it.

    Arguments and errors as of `render_film`.
    """
    out = alone(writable(Path(out or Path("films") / "course.mp4"), FORMATS))
    look = Look(quality, theme, voice=voice, language=language_of(language))
    with tempfile.TemporaryDirectory(prefix="glasstune-") as folder:
        every = []
        for film in COURSE:
            place = Path(folder) / film
            place.mkdir()
            _note_missing(film, look.language)
            parts, _ = render_scenes(film, None, place, _video_suffix(out), look=look, jobs=jobs, progress=progress)
            every += [replace(part, title=f"{film}: {part.title}") for part in parts]
        _finish(every, out, "Glasstune: the course", folder, look.language)
    return out


def name_of(film: str, scenes: list[str] | None, shape: str) -> str:
    """What a film's file is called: one of some scenes only, or upright, never takes the place of the whole one."""
    some = "" if not scenes else f"-{'-'.join(scenes)}" if len(scenes) <= 3 else f"-{len(scenes)}-scenes"
    return f"{film}{some}{'' if shape == '16x9' else f'-{shape}'}"


def _video_suffix(out: Path) -> str:
    return ".mp4" if out.suffix == ".gif" else out.suffix


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


def alone(out: Path) -> Path:
    """Raises InputError where a film, or what is written beside it, would take the place of something else: what an
    earlier film left there has its captions among it."""
    there = [beside for suffix in (out.suffix, *BESIDE) if (beside := out.with_suffix(suffix)).exists()]
    captions = out.with_suffix(".vtt")
    if there and not (captions.is_file() and is_captions(captions)):
        raise InputError(
            f"{there[0]} is there already, and no captions of a film beside it; a film and what lies beside it are "
            "written anew, so move or delete it, or give another name with -o"
        )
    return out


def _note_missing(film: str, language: str) -> None:
    if language != ENGLISH and not catalogue_of(film, language).is_file():
        note(f"the film {film} is not translated yet; its own text is in English (docs/languages.md)")


def _finish(parts: list[Any], out: Path, title: str, folder: str, language: str) -> None:
    from animations.studio.captions import write_script, write_srt, write_vtt
    from animations.studio.join import join, to_gif, write_poster

    video = Path(folder) / "film.mp4" if out.suffix == ".gif" else out
    write_vtt(parts, out.with_suffix(".vtt"), language)  # first: by it `alone` knows what else is ours
    join(parts, video, title, language)
    if out.suffix == ".gif":
        to_gif(video, out)
    write_srt(parts, out.with_suffix(".srt"))
    with speaking(language):
        write_script(parts, out.with_suffix(".md"), title)
    write_poster(video, parts, out.with_suffix(".png"))


def preview(
    film: str,
    run: Given | None,
    out: Path | None,
    theme: Theme,
    scenes: list[str] | None,
    *,
    others: Mapping[str, Given] | None = None,
    shape: str = "16x9",
    language: str = ENGLISH,
) -> Path:
    """A contact sheet of what would be rendered: the end of every beat."""
    language = language_of(language)
    Look(theme=theme, shape=shape, language=language).check()
    chosen = in_shape(film, chosen_scenes(film, scenes), shape)
    given, out = out, writable(out or Path("films") / f"{name_of(film, scenes, shape)}-preview.png", ("png",))
    if given:
        check_ours(out, SHEET)
    shown = runs_of(film, run, others, chosen)
    chosen = with_their_runs(film, chosen, shown, named=bool(scenes))
    from animations.studio.preview import contact_sheet

    _note_missing(film, language)
    with speaking(language), showing(shown, theme):
        module = film_in(film, language)
        return contact_sheet([getattr(module, name) for name in chosen], out, theme, shape=shape)
