"""How is the page a part of a notebook? As a widget whose step, module and strength Python reads and sets.

Where there is no kernel (nbconvert's HTML, a viewer) the same page stands in a frame, and where even that is not
allowed (GitHub) a picture of the run.
"""

import base64
import html as markup
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from engine.errors import InputError
from engine.run.run import Run
from visualize.page.following import Following
from visualize.page.write import page_of
from visualize.plots.of_run.layers import plot_layers

BUDGET = 12_000_000  # a notebook holds the page, and is sent whole
_HEIGHT = 780
_OFTEN, _SHARE = 0.5, 0.02  # seconds between two messages at least; the share of a core that they take at most


class PageWidget(anywidget.AnyWidget):
    """A run's page in a notebook.

    step: the captured step that is looked at. module: the chosen matrix. strength: times the change, -1 to 2. Each is
    what the reader has set, and can be set from Python. height: in pixels. Raises InputError for what the run has not.
    """

    _esm = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    html = traitlets.Bytes().tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    module = traitlets.Unicode("").tag(sync=True)
    strength = traitlets.Float(1.0).tag(sync=True)
    height = traitlets.Int(_HEIGHT).tag(sync=True)

    def __init__(self, runs: Sequence[Run], **set_: Any) -> None:
        self.runs = list(runs)
        super().__init__(**set_)

    @traitlets.validate("step")
    def _captured(self, proposal: Any) -> int:
        steps = sorted({step for run in self.runs for step in run.steps})
        if steps and not steps[0] <= proposal["value"] <= steps[-1]:
            raise InputError(f"step {proposal['value']} was not captured; there are steps {steps[0]} to {steps[-1]}")
        return proposal["value"]

    @traitlets.validate("module")
    def _known(self, proposal: Any) -> str:
        if proposal["value"] and not any(proposal["value"] in run.info.modules for run in self.runs):
            raise InputError(
                f"the run has no module called {proposal['value']!r}; it has {', '.join(self.runs[0].modules[:3])}, ..."
            )
        return proposal["value"]

    @traitlets.validate("strength")
    def _possible(self, proposal: Any) -> float:
        if not -1 <= proposal["value"] <= 2:
            raise InputError(f"the strength must be from -1 to 2, not {proposal['value']}")
        return proposal["value"]

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget; for those who have no kernel the page in a frame, over a picture for those who have no frames."""
        found = super()._repr_mimebundle_(**options)
        if found is None:
            return None
        data, metadata = found
        picture = picture_of(self.runs[0])
        data = {**data, "text/html": framed(self.html.decode("utf-8"), picture, self.height)}
        if picture:
            data["image/png"] = base64.standard_b64encode(picture).decode()
        data["text/plain"] = f"the page of {' and '.join(run.what for run in self.runs)}"
        return data, {**metadata, "glasstune": "page"}


def framed(page: str, picture: bytes, height: int) -> str:
    """The page in a frame that can do nothing to the notebook; a viewer that takes it out shows what is under it."""
    frame = (
        '<iframe title="A fine-tuning to touch" sandbox="allow-scripts allow-downloads" '
        f'srcdoc="{markup.escape(page)}" '
        'style="position: absolute; inset: 0; width: 100%; height: 100%; border: 0"></iframe>'
    )
    under = f'<img alt="Which matrices moved how far" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    return f'<div style="position: relative; height: {height}px">{under if picture else ""}{frame}</div>'


def picture_of(run: Run) -> bytes:
    """Which matrices moved how far, as PNG; nothing of a run without weights."""
    import matplotlib.pyplot as plt

    try:
        figure: Any = plot_layers(run).figure
    except InputError:
        return b""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=90)
    plt.close(figure)
    return file.getvalue()


def page_widget(runs: Sequence[Run], budget: int = BUDGET, **set_: Any) -> PageWidget:
    """The widget of these runs, at the last step unless told otherwise."""
    steps = {"step": runs[0].steps[-1]} if runs[0].steps else {}
    return PageWidget(runs, html=page_of(runs, budget, "frame").encode("utf-8", "replace"), **{**steps, **set_})


# --- while it is trained -----------------------------------------------------------------------------------


class _Growing(PageWidget):
    """Of a run whose steps come yet."""

    @traitlets.validate("step")
    def _captured(self, proposal: Any) -> int:
        return proposal["value"]

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return anywidget.AnyWidget._repr_mimebundle_(self, **options)


def follow_in_notebook(folder: Path) -> Callable[[], None]:
    """Display the page of a run that is trained in this kernel; gives what to call when that has ended."""
    following, ended = Following(folder), Event()
    page = following.page("frame").encode("utf-8", "replace")
    newest = following.told["captured"][-1]
    widget = _Growing([Run.load(folder)], html=page, step=newest)
    display(widget)

    def tell() -> None:
        version, step, took = following.version, newest, 0.0
        while not ended.wait(max(_OFTEN, took / _SHARE)):
            began = time.thread_time()
            with suppress(InputError):  # e.g. a file that is just being replaced
                following.look()
                message = following.since(version, step) or {}
                version, step = message.get("version", version), message.get("step", step)
                if "again" in message:
                    widget.html = following.page("frame").encode("utf-8", "replace")
                    step = following.told["captured"][-1]
                elif message:
                    widget.send(message)
            took = time.thread_time() - began

    thread = Thread(target=tell, daemon=True)
    thread.start()

    def finish() -> None:
        ended.set()
        thread.join()
        following.close()
        widget.html = following.final("frame", BUDGET).encode("utf-8", "replace")

    return finish
