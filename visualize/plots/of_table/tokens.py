"""What is learned of a record, and how surprised is the model by each of its tokens?"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from engine.errors import InputError
from visualize.plots.axes import axes_or_new, figure_of, themed
from visualize.theme import ink_on, palette

_COLUMNS = 12  # tokens a line
_LONGEST = 11  # characters of a token that fit
_MOST_STEPS = 4
_MOST_LINES = 4


@themed
def plot_tokens(table: pd.DataFrame, *, ax: Axes | None = None, row: int = 0) -> Axes:
    """The tokens of one conversation in lines of at most twelve, and below each its loss, nats, at some of the steps.

    Tokens that training counts are underlined and bold; the others are the prompt, which is read and not learned. A
    dot stands for the space before a word. table: what `engine.evaluate.tokens` measured (`token_losses`,
    `losses_of_model`, or `heldout_losses` of a run). row: which conversation of it. Raises InputError if it has no such
    row.
    """
    asked = table[table.row == row]
    if asked.empty:
        raise InputError(f"row is {row}; the table holds the conversations {', '.join(map(str, table.row.unique()))}")
    steps = list(dict.fromkeys(asked.step))
    steps = [steps[at] for at in np.unique(np.linspace(0, len(steps) - 1, _MOST_STEPS).round().astype(int))]
    tokens = asked[asked.step == steps[0]]
    losses = np.array([asked[asked.step == at].loss.to_numpy() for at in steps])
    lines = min(_MOST_LINES, -(-len(tokens) // _COLUMNS))
    columns = min(_COLUMNS, -(-len(tokens) // lines))  # as many in each, so that no line holds a token alone
    tall = len(steps) + 2  # a line: the tokens, their losses, and room
    cells = np.full((lines * tall - 1, columns), np.nan)
    for at in range(min(len(tokens), lines * columns)):
        line, column = divmod(at, columns)
        cells[line * tall + 1 : line * tall + 1 + len(steps), column] = losses[:, at]
    ax = axes_or_new(ax, figsize=(14, 0.46 * len(cells) + 1.6))
    colours = palette()
    ramp = LinearSegmentedColormap.from_list("loss", [colours.grid, colours.wrong])
    shades = ramp.with_extremes(bad=colours.background)
    image = ax.imshow(np.ma.masked_invalid(cells), cmap=shades, vmin=0, vmax=np.nanmax(losses), aspect="auto")
    fills = image.to_rgba(cells, bytes=True)
    for (y, x), loss in np.ndenumerate(cells):
        if np.isfinite(loss):
            ax.text(x, y, f"{loss:.1f}", ha="center", va="center", fontsize=12, color=ink_on(fills[y, x]))
    for at, (text, learned) in enumerate(zip(tokens.text, tokens.learned, strict=True)):
        line, column = divmod(at, columns)
        if line == lines:
            break
        look: dict[str, Any] = {"fontweight": "bold", "color": colours.delta} if learned else {}
        ax.text(column, line * tall, as_shown(text), ha="center", va="center", fontsize=13, **look)
        if learned:
            ax.plot([column - 0.44, column + 0.44], [line * tall + 0.42] * 2, color=colours.delta, linewidth=4)
    rows = [line * tall + 1 + nth for line in range(lines) for nth in range(len(steps))]
    ax.set_yticks(rows, [f"step {at}" for at in steps] * lines)
    ax.set_xticks([])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    more = len(tokens) - lines * columns
    counted = f"{int(tokens.learned.sum())} of {len(tokens)} tokens are learned (underlined)"
    ax.set_title(f"{counted}; the first {lines * columns} are shown" if more > 0 else counted)
    figure_of(ax).colorbar(image, ax=ax, fraction=0.03, pad=0.02).set_label("loss (nats)", labelpad=8)
    return ax


def as_shown(text: str) -> str:
    """A token as a short word: a dot for a leading space, no brackets around a special one, what is not seen named."""
    name = text[2:-2] if text.startswith("<|") and text.endswith("|>") else text.replace(" ", "\N{MIDDLE DOT}")
    seen = "".join(letter if letter.isprintable() else "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}" for letter in name)
    return seen if len(seen) <= _LONGEST else seen[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
