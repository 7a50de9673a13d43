"""How does a reader touch a run? In a notebook its page is there; in a terminal it is a command away."""

import shlex

from engine.errors import InputError
from engine.language.speaking import tr
from engine.notebook import in_notebook
from engine.run.run import Run
from engine.terminal import say
from lessons.teaching.session import current
from lessons.teaching.showing import show
from visualize.page.show import show_page


def touch(run: Run) -> None:
    """Show the page of a run in a notebook; in a terminal, and with the quick preset, say how to have it."""
    if in_notebook() and not current().quick:
        from IPython.display import display

        try:
            display(show_page(run))
            return
        except InputError as error:
            say(str(error))
    name = f"{run.name}.html"
    command = f"glasstune page {shlex.quote(str(run.path))} -o {shlex.quote(name)}"
    show(tr("To touch it in a browser: {command}", command=command))
