"""How does a loss fall in a film? A curve of captured values that is drawn as far as the step shown."""

import numpy as np
from manim import DOWN, LEFT, RIGHT, UP, Dot, Line, VGroup, VMobject

from engine.language.speaking import tr
from visualize.mobjects.text import label
from visualize.theme import Palette


class LossCurve(VGroup):
    """Loss over steps. `upto(step)` draws it as far as that step; the axes stay where they are.

    steps, losses: equally long, the captured numbers; a loss that is no number, or infinite, is left out. color: by
    default LoRA's. bare: without names and numbers, where there is room for the line alone.
    """

    def __init__(
        self,
        steps: np.ndarray,
        losses: np.ndarray,
        width: float,
        height: float,
        colours: Palette,
        color: str | None = None,
        bare: bool = False,
    ) -> None:
        super().__init__()
        color = color or colours.lora
        self.steps, self.losses = np.asarray(steps, float), np.asarray(losses, float)
        top = float(self.losses[np.isfinite(self.losses)].max(initial=0.0)) or 1.0
        self._scale = np.array([width / max(1.0, self.steps[-1]), height / top])
        across = Line(LEFT * width / 2, RIGHT * width / 2, color=colours.muted, stroke_width=2).shift(DOWN * height / 2)
        up = Line(DOWN * height / 2, UP * height / 2, color=colours.muted, stroke_width=2).shift(LEFT * width / 2)
        self.axes = VGroup(across, up)
        self.line = VMobject(color=color, stroke_width=4)
        self.dot = Dot(color=color, radius=0.09).move_to(up.get_bottom())
        highest = label(f"{top:.1f}", 32, colours.muted).next_to(up.get_top(), LEFT, 0.15)
        zero = label("0", 32, colours.muted).next_to(up.get_bottom(), LEFT, 0.15)
        last = label(tr("step {step}", step=int(self.steps[-1])), 32, colours.muted)
        last.next_to(across.get_right(), DOWN, 0.15).align_to(across, RIGHT)
        name = label(tr("training loss (nats a token)"), 32, colours.foreground).next_to(up.get_top(), UP, 0.15)
        name.align_to(highest, LEFT)
        self.add(self.axes, *([] if bare else [highest, zero, last, name]), self.line, self.dot)

    def upto(self, step: float) -> "LossCurve":
        origin = self.axes[1].get_bottom()
        shown = (self.steps <= step) & np.isfinite(self.losses)
        offsets = np.stack([self.steps[shown], self.losses[shown]], axis=1) * self._scale
        points = [origin + np.array([x, y, 0.0]) for x, y in offsets]
        self.dot.set_opacity(1.0 if points else 0.0)
        if points:
            self.dot.move_to(points[-1])
        if len(points) > 1:
            self.line.set_points_as_corners(points)
        else:
            self.line.clear_points()
        return self
