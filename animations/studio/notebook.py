"""How is a film shown in a notebook? `show_film("lora", run)` embeds one; Manim's own magic renders single scenes:

    use_runs(lora=run)
    from animations.lora import Layers
    %manim -qm Layers

For a scene that is written in the cell it is `%%manim -qm Mine`, with `class Mine(FilmScene)` below.
"""

from pathlib import Path
from typing import Any

from animations.studio.films import films
from animations.studio.render import render_film
from animations.studio.scenes import Given, get_film, show_runs
from engine.errors import InputError
from engine.run.run import as_run
from visualize.theme import PALETTES, Theme


def show_film(
    film: str,
    run: Given | None = None,
    *,
    quality: str = "720p30",
    theme: Theme = "dark",
    scenes: list[str] | None = None,
    width: int = 960,
    **options: Any,
) -> Any:
    """A film of `run` inside a notebook: rendered (or found in the cache), embedded, and kept in `films/`.

    run: a Run or its folder; by default the film's own, made when first needed. width: in the page's pixels. options:
    others of `render_film`. Raises InputError as that does, and where there is no IPython.
    """
    try:
        from IPython.display import Image, Video
    except ModuleNotFoundError:
        raise InputError("show_film is for notebooks; install them with: pip install -e '.[notebook]'") from None
    out = Path(options.pop("out", None) or Path("films") / f"{film}{f'-{as_run(run).name}' if run else ''}.mp4")
    made = render_film(film, run, out, quality=quality, theme=theme, scenes=scenes, **options)
    if made.suffix == ".gif":
        return Image(made.read_bytes(), format="gif", width=width)
    return Video(str(made), embed=True, mimetype=f"video/{made.suffix[1:]}", html_attributes=f"controls width={width}")


def use_runs(theme: Theme = "dark", **runs: Given) -> None:
    """From now on, scenes that `%manim` renders show these runs, by the films' names for them, and are embedded.

    A film's own run stands for a name that is not given. Raises InputError for an unknown theme or without Manim.
    """
    if theme not in PALETTES:
        raise InputError(f"no theme called {theme!r}; there are {', '.join(PALETTES)}")
    get_film(films()[0])  # says so where Manim is missing; where it is not, its magic is now there
    from manim import config

    from animations.studio.film import quiet

    quiet()
    config.media_embed = True  # so that a notebook that is passed on keeps its films
    show_runs(runs, theme)
