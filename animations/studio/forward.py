"""How does a vector pass through a LoRA layer? Row by row through W, and beside it through A and B: a real one.

What is shown is the layer's true input at the last token of a question, and what each matrix makes of it.
"""

from functools import cache
from typing import Any

import numpy as np
from manim import DOWN, LEFT, RIGHT, UP, FadeIn, FadeOut, UpdateFromAlphaFunc, VGroup

from animations.studio.asking import as_asked
from animations.studio.factors import LoraScene
from animations.studio.measures import measured
from engine.run.run import Run
from visualize.mobjects.answers import questions
from visualize.mobjects.matrix import MatrixImage
from visualize.mobjects.text import label, sit
from visualize.theme import PALETTES, limit_of, rgb_of

THICK = 8  # cells across which a vector is drawn, so that it can be seen


@cache
def vector_of(run: Run, module: str, prompt: str) -> dict[str, Any]:
    """x: what the layer is given for the last token of a question; token: what that token is."""

    def make() -> dict[str, Any]:
        from engine.evaluate.activations import inputs_of
        from engine.evaluate.sides import tokenizer_of
        from engine.evaluate.tokens import piece

        inputs, ids = inputs_of(run, module, as_asked(run, [prompt])[prompt])
        return {"x": inputs[-1].tolist(), "token": piece(tokenizer_of(run), ids[-1])}

    return measured("vector", [run], make, module=module, prompt=prompt)


class Passing:
    """The pictures of a scene in which a vector goes both ways: `through_w`, `through_a`, `through_b`, `meet`."""

    def __init__(self, scene: LoraScene) -> None:
        self.scene, run, module = scene, scene.run, scene.module
        (self.prompt,) = questions(run.answers, run.task, 1, 0) or questions(run.answers, None, 1, 1)[:1]
        known = vector_of(run, module, self.prompt)
        self.token = known["token"]
        factors, colours = scene.final, scene.colours
        x = np.array(known["x"], np.float32)
        self.wx, self.ax = run.weight(module) @ x, factors.A @ x
        self.bax = factors.scaling * (factors.B @ self.ax)
        self.limit = 0.5 * limit_of(self.wx + self.bax)  # so that the smaller of the two is seen
        self.w = scene.weight(LEFT * 4.15 + DOWN * 0.55)
        self.a = self.matrix(factors.A, colours.A, limit_of(factors.A)).move_to(RIGHT * 2.9 + UP * 1.3).settle()
        self.b = self.matrix(factors.B, colours.B, limit_of(factors.B)).move_to(RIGHT * 5.9 + DOWN * 0.75).settle()
        self.x = self.lying(x, limit_of(x)).next_to(self.w, UP, 0.16)
        self.names = VGroup(
            sit(label("W", 36, colours.W), self.w.get_left()[0] - 0.3, self.w.get_center()[1], RIGHT),
            sit(label("A", 36, colours.A), self.a.get_left()[0] - 0.3, self.a.get_center()[1], RIGHT),
            sit(label("B", 36, colours.B), self.b.get_left()[0] - 0.3, self.b.get_center()[1], RIGHT),
        )
        self.y = self.standing(self.wx, self.limit).next_to(self.w, RIGHT, 0.16)
        self.narrow = self.standing(self.ax, limit_of(self.ax)).next_to(self.a, RIGHT, 0.16)
        self.z = self.standing(self.bax, self.limit).next_to(self.b, RIGHT, 0.16)
        self.total = self.standing(self.wx + self.bax, self.limit)

    def matrix(self, values: np.ndarray, color: str, limit: float) -> MatrixImage:
        return MatrixImage(values, limit, self.scene.cell, color, self.scene.theme)

    def lying(self, values: np.ndarray, limit: float) -> MatrixImage:
        return self.matrix(np.repeat(values[None], THICK, axis=0), self.scene.colours.foreground, limit)

    def standing(self, values: np.ndarray, limit: float) -> MatrixImage:
        return self.matrix(np.repeat(values[:, None], THICK, axis=1), self.scene.colours.foreground, limit)

    def through(self, vector: MatrixImage, matrix: MatrixImage, made: MatrixImage, seconds: float) -> None:
        """A copy of the vector goes down over the matrix; each row that it has passed gives one number."""
        scene, moving, pixels = self.scene, vector.copy(), made.image.pixel_array.copy()
        start, end = matrix.image.get_top()[1], matrix.image.get_bottom()[1]
        ground = rgb_of(PALETTES[scene.theme].background)

        def down(one: MatrixImage, share: float) -> None:
            one.move_to([matrix.image.get_center()[0], start + share * (end - start), 0])
            shown = pixels.copy()
            shown[round(share * len(pixels)) :, :, :3] = ground
            made.image.pixel_array = shown

        down(moving, 0.0)
        scene.play(FadeIn(made, run_time=0.2), FadeIn(moving, run_time=0.2))
        scene.play(UpdateFromAlphaFunc(moving, down), UpdateFromAlphaFunc(made, lambda *_: None), run_time=seconds)
        made.image.pixel_array = pixels
        scene.play(FadeOut(moving, run_time=0.2))

    def through_w(self) -> None:
        self.through(self.x, self.w, self.y, 2.2)
        self.scene.attend(self.y)

    def through_a(self) -> None:
        copy = self.x.copy()
        self.scene.play(copy.animate.next_to(self.a, UP, 0.16), run_time=0.7)
        self.through(copy, self.a, self.narrow, 0.8)
        self.beside = copy

    def through_b(self) -> None:
        turned = self.lying(self.ax, limit_of(self.ax)).next_to(self.b, UP, 0.16)
        moving = self.narrow.copy()
        self.scene.play(FadeOut(moving, target_position=turned), FadeIn(turned), run_time=0.7)
        self.through(turned, self.b, self.z, 1.6)

    def meet(self) -> None:
        """What came through B goes to what came through W, and both become their sum."""
        place = self.y.get_center() + RIGHT * 0.95
        sign = label("+", 48, self.scene.colours.foreground).move_to((self.y.get_center() + place) / 2)
        equals = label("=", 48, self.scene.colours.foreground).move_to(place + RIGHT * 0.47)
        self.total.move_to(place + RIGHT * 0.94)
        moving = self.z.copy()
        self.scene.play(moving.animate.move_to(place), FadeIn(sign), run_time=1.2)
        copies = [self.y.copy(), moving.copy()]
        self.scene.play(*(one.animate.move_to(self.total) for one in copies), FadeIn(equals), run_time=0.9)
        self.scene.play(FadeIn(self.total, run_time=0.4), *(FadeOut(one, run_time=0.4) for one in copies))

    def share(self) -> float:
        return float(np.linalg.norm(self.bax) / np.linalg.norm(self.wx + self.bax))
