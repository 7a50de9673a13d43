"""How does a run become a film? `python -m animations.render lora --run runs/mine` renders its scenes and joins them.

Scenes render in parallel processes and are joined without encoding anything twice. Those that have not changed come
from a cache. A scene that fails is named, and no half film is left.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from animations.studio.scenes import (
    Given,
    chosen_scenes,
    get_film,
    render_scenes,
    runs_of,
    showing,
)
from engine.errors import InputError
from visualize.theme import Theme

FORMATS = ("mp4", "webm", "gif")


def render_film(
    film: str,
    run: Given | None = None,
    out: str | Path | None = None,
    *,
    others: Mapping[str, Given] | None = None,
    quality: str = "720p30",
    theme: Theme = "dark",
    jobs: int | None = None,
    scenes: list[str] | None = None,
    progress: bool = True,
) -> Path:
    """Render a film of `run` to `out` (.mp4, .webm or .gif), captions and thumbnail beside it; returns the file's path.

    run: a Run or its folder; by default the film's own, made when first needed. out: by default films/FILM.mp4. others:
    what it shows beside it, by the film's names for them. scenes: only these, in the film's order. Raises InputError
    for unknown names, where Manim is missing, or, naming the scene, when one fails; then nothing is left behind.
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


def preview(film: str, run: Given | None, out: Path | None, theme: Theme, scenes: list[str] | None) -> Path:
    """A contact sheet of the film, or of some of its scenes: the end of every beat."""
    chosen = chosen_scenes(film, scenes)
    out = writable(out or Path("films") / f"{film}-preview.png", ("png",))
    shown = runs_of(film, run, None, chosen)
    from animations.studio.preview import contact_sheet

    with showing(shown, theme):
        return contact_sheet([getattr(get_film(film), name) for name in chosen], out, theme)
