"""How does one judge two runs in a notebook? The same blind judging as `judge`, with buttons (ipywidgets).

from engine.evaluate.judge import judge
from engine.evaluate.widget import widget
widget(judge("runs/spanish-lora", "base"))
"""

import html
from functools import partial
from typing import Any

from engine.errors import InputError, printable
from engine.evaluate.judge import Judging


def widget(judging: Judging) -> Any:
    """A question, its two answers and three buttons; then the result. Raises InputError without ipywidgets."""
    try:
        import ipywidgets
    except ImportError:
        raise InputError("the widget needs ipywidgets; install it with pip install 'glasstune[notebook]'") from None
    title, answers = ipywidgets.HTML(), (ipywidgets.HTML(), ipywidgets.HTML())
    result = ipywidgets.HTML()
    buttons = [ipywidgets.Button(description=name) for name in ("first is better", "tie", "second is better")]

    def choose(place: int | None, _: Any) -> None:
        if judging.pending:
            judging.judge(judging.pending[0], place)
        refresh()

    def refresh() -> None:
        pair = judging.pending[0] if judging.pending else None
        for button in buttons:
            button.disabled = pair is None
        asked = "All is judged." if pair is None else pair.prompt
        title.value = f"<b>{len(judging.winners)} of {len(judging.pairs)} judged</b>{_text(asked)}"
        for place, said in zip(answers, pair.shown if pair else ("", ""), strict=True):
            place.value = _text(said) if pair else ""
        # Told at the end only: who wins so far would colour what comes.
        sentence = judging.result.sentence(judging.a, judging.b)
        result.value = "" if pair else f"<b>{html.escape(printable(sentence))}</b>"

    for button, place in zip(buttons, (0, None, 1), strict=True):
        button.on_click(partial(choose, place))
    refresh()
    box = ipywidgets.Layout(border="1px solid gray", padding="0.5em", width="50%")
    for answer in answers:
        answer.layout = box
    return ipywidgets.VBox([title, ipywidgets.HBox(answers), ipywidgets.HBox(buttons), result])


def _text(said: str) -> str:
    """Text as text: a model's answer may hold markup."""
    return f"<div style='white-space: pre-wrap'>{html.escape(printable(said, keep=chr(10)))}</div>"
