"""How is a film spoken to? `python -m animations.slides lora -o lora.html`: a page that plays it scene by scene.

One file with everything inside: the scenes' videos, reveal.js (`animations/reveal`, MIT) and the speaker's notes. It
wants a browser, and no network.
"""

import base64
import html
import io
import json
import string
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from animations.studio.render import writable
from animations.studio.scenes import Given, Look, get_film, render_scenes
from engine.files import check_ours, write_text
from engine.run.run import Run
from visualize.theme import PALETTES, Theme

FOLDER = Path(__file__).parent
MADE_BY = b"<!-- Made by Glasstune: python -m animations.slides "  # as the page begins


def make_slides(
    film: str, run: Given | None = None, out: str | Path | None = None, *, beats: bool = False, **options: Any
) -> Path:
    """Write a film as slides, one a scene, to `out` (by default films/FILM.html); returns the file's path.

    run: a Run or its folder. beats: wait for the speaker after every caption, not only after every scene. options:
    others, quality, theme, voice, jobs, scenes and progress, as `animations.studio.render.render_film` has them. Raises
    InputError as that does, and where another page lies.
    """
    module = get_film(film)
    out = check_ours(writable(Path(out or Path("films") / f"{film}.html"), ("html",)), MADE_BY)
    theme: Theme = options.pop("theme", "dark")
    look = Look(options.pop("quality", "1080p30"), theme, voice=options.pop("voice", ""))
    with tempfile.TemporaryDirectory(prefix="glasstune-") as folder:
        parts, shown = render_scenes(film, run, Path(folder), look=look, **options)
        sections = "\n".join(_section(part, beats) for part in parts)
    seconds = sum(part.seconds for part in parts)
    colours = PALETTES[theme]
    page = string.Template((FOLDER / "slides.html").read_text(encoding="utf-8")).substitute(
        film=html.escape(film),
        title=html.escape(f"{film}: {shown[0].name}"),
        heading=html.escape(film),
        about=html.escape(_about(module)),
        run=html.escape(f"{len(parts)} scene{'s'[: len(parts) > 1]}, {seconds:.0f} seconds, {_named(shown)}"),
        opening_notes="".join(
            f"<p>{html.escape(f'{number}. {part.title}')}</p>" for number, part in enumerate(parts, 1)
        ),
        sections=sections,
        background=colours.background,
        foreground=colours.foreground,
        muted=colours.muted,
        accent=colours.delta,
        reveal_css=(FOLDER / "reveal" / "reveal.css").read_text(encoding="utf-8"),
        reveal_js=_script("reveal.js"),
        notes_js=_script("notes.js"),
    )
    write_text(out, page)
    return out


def _named(runs: list[Run]) -> str:
    """Whose data is on screen."""
    return f"from run{'s' if len(runs) > 1 else ''} {' and '.join(run.name for run in runs)}"


def _about(film: ModuleType) -> str:
    """What the film asks, and what it is called: what it found is the run's to say."""
    cards = [(scene.question, scene.name) for scene in film.SCENES if getattr(scene, "name", "")]
    return " ".join(text[:1].upper() + text[1:] for text in cards[0] if text) if cards else ""


def _section(part: Any, beats: bool) -> str:
    """A scene's slide: its video, its last frame to stand for it in the overview, what to say, and where to wait."""
    said = "".join(
        f"<li>{html.escape(one.spoken or one.text)} <small>{one.start:.0f} s</small></li>" for one in part.captions
    )
    # Stopped a little before the end of a caption, which then fades, and of the video, which some browsers then hide.
    stops = [one.end - 1.5 / part.rate for one in part.captions] if beats else []
    stops = [*stops[:-1], part.seconds - 0.5 / part.rate]
    fragments = "".join('<span class="fragment"></span>' for _ in stops[1:])
    return (
        f'<section data-stops="{html.escape(json.dumps([round(stop, 3) for stop in stops]))}">\n'
        f'<video muted playsinline preload="auto" poster="{_poster(part)}"></video>\n'
        f'<script type="text/base64">{base64.b64encode(part.video.read_bytes()).decode()}</script>\n{fragments}'
        f'<aside class="notes"><p><b>{html.escape(part.title)}</b></p>'
        f"<ol>{said}</ol></aside>\n</section>"
    )


def _poster(part: Any) -> str:
    from animations.studio.join import frame_at

    picture = io.BytesIO()
    frame_at(part.video, part.seconds - 1.0).resize((960, 540)).save(picture, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(picture.getvalue()).decode()}"


def _script(name: str) -> str:
    """A script as it may stand inside a page: nothing in it ends the element that it stands in."""
    return (FOLDER / "reveal" / name).read_text(encoding="utf-8").replace("</script", "<\\/script")
