"""How does the ledger stand on a page? As one table, a row a sentence, that can be sorted, with a picture of what was
measured under each condition.
"""

import html
import math
from typing import Any

from lessons.claims.ledger import kept_rows, told
from visualize.naming import proper

_WIDTH, _HIGH = 150, 14


def ledger_page() -> str:
    """Markdown with the table in it."""
    rows = kept_rows()
    head = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{name}</button></th>'
        for name in ("#", "sentence", "verdict", "theme")
    )
    body = "\n".join(_row(number, row) for number, row in enumerate(rows, 1))
    return (
        "# What textbooks say, tried\n\n"
        f"{len(rows)} sentences, each tried several times on the small embedded model. The verdict follows from the "
        "numbers: each dot is what was measured under a condition, its line the 95 % interval, the upright line zero. "
        "A click on a heading sorts. What holds of this model and these tasks need not hold of yours.\n\n"
        '<div class="wide" tabindex="0" role="region" aria-label="the ledger"><table class="sortable">\n'
        f'<thead><tr>{head}<th scope="col">measured</th></tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n'
    )


def _row(number: int, row: Any) -> str:
    effects = {name: tried.effect for name, tried in row.conditions.items()}
    ends = [0.0, *(end for effect in effects.values() for end in (effect.low, effect.high, effect.mean))]
    finite = [end for end in ends if math.isfinite(end)]
    low, high = min(finite), max(finite)
    shown = "".join(
        f"<li>{_picture(effects[name], low, high)} <span>{_text(proper(name))}: {_text(told(tried.effect, row.unit))}, "
        f"<em>{_text(tried.answer)}</em></span></li>"
        for name, tried in row.conditions.items()
    )
    measured = f"<details><summary>{_text(row.effect)}</summary><ul class='tried'>{shown}</ul></details>"
    cells = [str(number), _text(row.sentence), f"<strong>{_text(row.told)}</strong>", _text(row.theme), measured]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _picture(effect: Any, low: float, high: float) -> str:
    """A dot with its interval, on the scale of its row; beside it stands the same in words. What was not reached has
    neither: only the line of zero."""
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(4 + (_WIDTH - 8) * (min(max(value, low), high) - low) / span, 1)

    middle = _HIGH / 2
    drawn = f'<line class="zero" x1="{at(0)}" x2="{at(0)}" y1="0" y2="{_HIGH}"/>'
    if not math.isnan(effect.mean):
        drawn += (
            f'<line x1="{at(effect.low)}" x2="{at(effect.high)}" y1="{middle}" y2="{middle}"/>'
            f'<circle cx="{at(effect.mean)}" cy="{middle}" r="3.5"/>'
        )
    return f'<svg width="{_WIDTH}" height="{_HIGH}" aria-hidden="true">{drawn}</svg>'


def _text(text: Any) -> str:
    return html.escape(" ".join(str(text).split()))
