"""How is a film shown in a notebook? `show_film("lora", run)` renders it, or takes it from the cache, and embeds it.

A scene alone is rendered by Manim's own magic: `from animations.lora import Rank`, then in a cell `%%manim -ql Rank`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from animations.render import render_film
from engine.run import Run
from visualize.theme import Theme

if TYPE_CHECKING:
    from IPython.display import Video


def show_film(
    film: str,
    run: Run | None = None,
    *,
    quality: str = "480p15",
    theme: Theme = "dark",
    scenes: list[str] | None = None,
    progress: bool = True,
) -> "Video":
    """The film of a run (None: the films' own), as a player inside the notebook, which then needs no file beside it.

    scenes: only these. Raises InputError as `render_film` does.
    """
    from IPython.display import Video

    name = "-".join([film, *(scenes or ()), quality, theme])
    made = render_film(
        film, run, Path("films") / f"{name}.mp4", quality=quality, theme=theme, scenes=scenes, progress=progress
    )
    return Video(str(made), embed=True, mimetype="video/mp4", html_attributes="controls loop")
