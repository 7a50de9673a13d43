"""How does one judge two runs in a notebook? The same blind judging as `judge`, with buttons (ipywidgets).

from engine.evaluate.judging import judge
from engine.evaluate.widget import widget
widget(judge("runs/spanish-lora", "base"))
"""

import html
from functools import partial
from typing import Any

from engine.errors import InputError, printable
from engine.evaluate.judging import Judging


def widget(judging: Judging) -> Any:
    """A question, its two answers and three buttons; then the result. Raises InputError without ipywidgets."""
    try:
        import ipywidgets
    except ImportError:
        raise InputError("the widget needs ipywidgets; install it with pip install 'glasstune[notebook]'") from None
    box = ipywidgets.Layout(border="1px solid gray", padding="0.5em", width="50%")
    title, result = ipywidgets.HTML(), ipywidgets.HTML()
    answers = [ipywidgets.HTML(layout=box) for _ in range(2)]
    buttons = [ipywidgets.Button(description=name) for name in ("first is better", "tie", "second is better")]
    rows = ipywidgets.HBox(answers), ipywidgets.HBox(buttons)

    def choose(place: int | None, _: Any) -> None:
        if judging.pending:
            judging.judge(judging.pending[0], place)
        refresh()

    def refresh() -> None:
        pair = judging.pending[0] if judging.pending else None
        asked = "All is judged." if pair is None else pair.prompt
        title.value = f"<b>{len(judging.winners)} of {len(judging.pairs)} judged</b>{_text(asked)}"
        for row in rows:
            row.layout.display = None if pair else "none"  # nothing is left to read or to press
        for answer, said in zip(answers, pair.shown if pair else ("", ""), strict=True):
            answer.value = _text(said)
        # Told at the end only: who wins so far would colour what comes.
        sentence = judging.result.sentence(judging.a, judging.b)
        result.value = "" if pair else f"<b>{html.escape(printable(sentence))}</b>"

    for button, place in zip(buttons, (0, None, 1), strict=True):
        button.on_click(partial(choose, place))
    refresh()
    return ipywidgets.VBox([title, *rows, result])


def _text(said: str) -> str:
    """Text as text: a model's answer may hold markup."""
    return f"<div style='white-space: pre-wrap'>{html.escape(printable(said, keep=chr(10)))}</div>"
