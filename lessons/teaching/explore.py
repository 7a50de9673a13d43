"""How does a reader look at any step and any matrix? Sliders in Jupyter, one picture where there are none."""

import base64
from collections.abc import Callable, Sequence
from inspect import signature
from io import BytesIO
from typing import Any

from engine.language.speaking import tr
from engine.notebook import in_notebook
from engine.run.run import Run
from lessons.teaching.session import current
from lessons.teaching.showing import figure_of, show, show_data, show_form


def explore(
    plot: Callable[..., Any],
    run: Run,
    *,
    name: str,
    modules: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    **options: Any,
) -> None:
    """Show `plot(run, module=..., step=...)`, with a slider for the step and a menu for the matrix in a notebook.

    modules: to choose from, the first shown first; default all that the run captured, () for plots of no single
    matrix. steps: to choose from, the last shown first; default all captured. options: for the plot. name: of the
    picture's file. In a terminal, or without ipywidgets, it is the picture of the first matrix at the last step. Where
    the plot's colours have a `limit`, it is one for all steps, so that growing is seen as growing.
    """
    if "limit" in signature(plot).parameters:
        options.setdefault("limit", "steps")
    modules = list(run.modules if modules is None else modules)
    steps = list(run.steps if steps is None else steps)

    def draw(module: str | None, step: int) -> Any:
        return plot(run, module=module, step=step, **options)

    if in_notebook() and current().forms == "data":
        _as_data(draw, modules, steps)
    elif not (in_notebook() and current().forms == "live" and _sliders(draw, modules, steps)):
        show(draw(modules[0] if modules else None, steps[-1]), name=name)


# A page holds a picture for each of these, and is loaded over a telephone.
_STEPS, _MODULES = 8, 3


def _as_data(draw: Callable[[str | None, int], Any], modules: list[str], steps: list[int]) -> None:
    """The pictures that a page without a kernel can turn to: at steps from the first to the last, of some matrices."""
    places = sorted({round(number * (len(steps) - 1) / (_STEPS - 1)) for number in range(_STEPS)})
    shown, turned = modules[:_MODULES], [steps[place] for place in places]
    no_matrix: list[str | None] = [None]
    drawn = [[_as_png(draw(module, step)) for step in turned] for module in (shown or no_matrix)]
    pictures = [[base64.standard_b64encode(png).decode() for png in row] for row in drawn]
    show_data("explore", tr("a picture with sliders"), steps=turned, modules=shown, pictures=pictures)


def _sliders(draw: Callable[[str | None, int], Any], modules: list[str], steps: list[int]) -> bool:
    """Display the controls and their picture; False where ipywidgets is missing."""
    try:
        import ipywidgets
    except ImportError:
        return False
    step = ipywidgets.SelectionSlider(options=steps, value=steps[-1], description=tr("step"), continuous_update=False)
    module = ipywidgets.Dropdown(options=modules, description=tr("matrix"), layout={"width": "max-content"})
    picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})

    def redraw(_: Any = None) -> None:
        picture.value = _as_png(draw(module.value, step.value))

    for control in (step, module):
        control.observe(redraw, names="value")
    redraw()
    box = ipywidgets.VBox([ipywidgets.HBox([step, *([module] if modules else [])]), picture])
    show_form(box, tr("a picture with sliders: run this cell"), bytes(picture.value))
    return True


def _as_png(drawn: Any) -> bytes:
    import matplotlib.pyplot as plt

    figure, file = figure_of(drawn), BytesIO()
    if figure is None:
        raise TypeError("explore needs a plot that returns Axes")
    figure.savefig(file, format="png", dpi=90)
    plt.close(figure)
    return file.getvalue()
