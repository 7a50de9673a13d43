"""How does a question stand on a page without a kernel? As a form, whose data `course.js` checks an answer by.

What must not be read too early (answers, reasons) is in an attribute, in base64; without JavaScript the choices are
there to be thought about, and what was measured is a click below.
"""

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

from engine.language.speaking import tr


def form(data: Mapping[str, Any]) -> str:
    """HTML of a `predict`, an `exercise` or a `code` that a lesson displayed as data."""
    number, kind = data["number"], data["kind"]
    label = (tr("Predict: {question}") if kind == "predict" else tr("Exercise: {question}")).partition(" ")[0]
    legend = f'<p class="asked" id="q{number}"><strong>{label}</strong> {_text(data["question"])}</p>'
    if kind == "code":
        own = tr("The lesson's own:").rstrip(":")
        return (
            f'<section class="question" aria-labelledby="q{number}">{legend}'
            f"<details><summary>{tr('A hint')}</summary><p>{_text(data['hint'])}</p></details>"
            f"<details><summary>{_text(own)}</summary><pre>{_text(data['solution'])}</pre></details>"
            "</section>"
        )
    choices = list(data["choices"])
    boxes = "".join(
        f'<label><input type="radio" name="q{number}" value="{place}"> {_text(choice)}</label>'
        for place, choice in enumerate(choices)
    )
    if not choices:
        boxes = f'<label>{tr("Your answer")} <input type="text" name="q{number}" autocomplete="off" size="12"></label>'
    check = "" if kind == "predict" else f'<button type="submit">{tr("Check")}</button>'
    return (
        f'<form class="question" data-kind="{kind}" data-number="{number}" data-about="{_packed(data)}">'
        f'<fieldset aria-labelledby="q{number}">{legend}<div class="choices">{boxes}</div>{check}</fieldset>'
        '<p class="verdict" role="status"></p></form>'
    )


def reveal(data: Mapping[str, Any], text: str) -> str:
    """HTML of what was measured: it stands in what is folded away until one has chosen."""
    said = "<br>".join(_text(line) for line in text.split("\n"))
    return f'<p class="reveal" data-number="{data["number"]}" data-about="{_packed(data)}">{said}</p>'


def explore(data: Mapping[str, Any], pictures: list[list[str]], number: int, wide: bool = False) -> str:
    """HTML of pictures to turn through: a slider for the step, a menu for the matrix. pictures: their addresses,
    matrix by step. wide: whether a narrow screen would make them illegible."""
    steps, modules = data["steps"], data["modules"]
    menu = "".join(f'<option value="{place}">{_text(name)}</option>' for place, name in enumerate(modules))
    select = f'<label>{tr("matrix")} <select name="module">{menu}</select></label>' if len(modules) > 1 else ""
    last = len(steps) - 1
    slider = (
        f'<label>{tr("step")} <input type="range" name="step" min="0" max="{last}" value="{last}" '
        f'aria-valuetext="{tr("step {step}", step=steps[-1])}"> <output>{steps[-1]}</output></label>'
    )
    kept = f'id="x{number}"' + (' class="wide-picture"' if wide else "")
    about = _packed({"pictures": pictures, "steps": steps, "modules": modules})
    return (
        f'<figure class="explore" data-about="{about}"><div class="controls">{slider if last else ""}{select}</div>'
        f'<div class="picture"><img src="{pictures[0][-1]}" alt="{_text(_alt(steps[-1], modules))}" {kept}>'
        "</div></figure>"
    )


def _alt(step: int, modules: list[str]) -> str:
    if not modules:
        return tr("The picture at step {step}", step=step)
    return tr("The picture of {matrix} at step {step}", matrix=modules[0], step=step)


def _packed(data: Mapping[str, Any]) -> str:
    return base64.b64encode(json.dumps(data, ensure_ascii=False).encode()).decode()


def _text(text: str) -> str:
    return html.escape(str(text), quote=True)
