"""How is a run's page shown in a notebook? `show_page(run)`."""

from collections.abc import Sequence
from typing import Any

from engine.errors import InputError


def show_page(runs: Any | Sequence[Any], **options: Any) -> Any:
    """The page of one Run, or of several of one base model, as a widget: a cell's last line shows it.

        page = show_page(run)
        page.step, page.strength = 40, 0.5

    options: step, module, strength and height to begin with; and budget, the bytes that it may take (default 12 MB).
    Raises InputError as `write_page` does, for a step or module that the run has not, and without anywidget.
    """
    try:
        from visualize.page.widget import page_widget
    except ModuleNotFoundError as error:
        if error.name not in ("anywidget", "IPython", "traitlets"):
            raise
        raise InputError(
            f"show_page needs {error.name}, which is not installed; install it with: pip install 'glasstune[notebook]'"
        ) from None
    runs = list(runs) if isinstance(runs, list | tuple) else [runs]
    if not runs:
        raise InputError("a page needs at least one run")
    return page_widget(runs, **options)
