"""How is memory compared in a film? A bar a method, lines at what GPUs have, and a table of what fits where."""

import pandas as pd
from manim import ORIGIN, Line, Rectangle, Text, Transform, VGroup, VMobject

from engine.planning.sizes import GPUS, NAMES, largest_that_fits
from visualize.mobjects.bars import Bars, Row
from visualize.mobjects.text import label, sit
from visualize.theme import Palette

METHODS = {"full": "full", "lora": "LoRA", "qlora": "QLoRA"}


class MemoryBars(VGroup):
    """One size of `engine.planning.sizes.memory_table`, with its upper left corner at (left, top).

    The longest bar is `width` units, unless a GPU of `least` GiB would lie beyond it. `lines`: GPU -> its line.
    """

    def __init__(
        self, table: pd.DataFrame, size: str, left: float, top: float, width: float, colours: Palette, least: float = 26
    ) -> None:
        super().__init__()
        totals = table.loc[size].total
        rows = [Row(name, totals[m], f"{totals[m]:,.1f} GiB", colours.method(m)) for m, name in METHODS.items()]
        most = max(float(totals.max()), least)
        self.bars = Bars(NAMES[size], rows, most, width, colours, names := 1.8).at(left, top)
        self.lines: dict[str, Line] = {}
        for line, (name, gib) in enumerate(sorted(GPUS.items(), key=lambda gpu: -gpu[1])):
            # The largest GPU's name stands highest, so that no line goes through another's name.
            x, y = left + names + gib * self.bars.scale_of, top - 2.6 - 0.62 * line
            if gib <= most:
                self.lines[name] = Line([x, top - 0.35, 0], [x, y - 0.2, 0], color=colours.foreground, stroke_width=3)
                self.add(self.lines[name], sit(label(f"{name}, {gib} GiB", 32, colours.foreground), x + 0.15, y))
        # Lines stand behind the bars, and not behind their numbers.
        for text in self.bars.submobjects:
            if isinstance(text, Text):
                ground = Rectangle(width=text.width + 0.16, height=0.42, stroke_width=0)
                self.add(ground.set_fill(colours.background, 1).move_to(text))
        self.add(self.bars)

    def growing_into(self, other: "MemoryBars") -> list[Transform]:
        """Bars, and the lines that both have, on their way to where they stand for another size."""
        pairs = [(self.bars.bars, other.bars.bars)]
        pairs += [(line, other.lines[name]) for name, line in self.lines.items() if name in other.lines]
        return [Transform(old, new.copy()) for old, new in pairs]

    def written(self, other: "MemoryBars") -> list[VMobject]:
        """What does not grow into `other`: all texts, and the lines that only this one has."""
        growing = {
            id(self.bars),
            id(self.bars.bars),
            *(id(self.lines[name]) for name in self.lines if name in other.lines),
        }
        return [part for part in (*self.submobjects, *self.bars.submobjects) if id(part) not in growing]


class FittingTable(VGroup):
    """A row a GPU, a column a method: the largest size whose training fits."""

    def __init__(self, table: pd.DataFrame, left: float, top: float, colours: Palette) -> None:
        super().__init__()
        for column, (method, called) in enumerate(METHODS.items()):
            x = left + 5.8 + 2.6 * column
            self.add(sit(label(called, 40, colours.method(method), bold=True), x, top, ORIGIN))
            for row, gib in enumerate(GPUS.values()):
                size = largest_that_fits(table, method, gib) or "none"
                self.add(sit(label(size, 44, colours.foreground), x, top - 0.95 * (row + 1), ORIGIN))
        for row, (name, gib) in enumerate(GPUS.items()):
            self.add(sit(label(f"{name}, {gib} GiB", 36, colours.muted), left, top - 0.95 * (row + 1)))
