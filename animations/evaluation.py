"""The film of measuring: loss and answers are two things; real pairs of models in which they part; blind comparison.

python -m animations.render evaluation           the whole film
manim render animations/evaluation.py Parted     one scene, with stock Manim
"""

import math
import random
from dataclasses import replace
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from manim import DOWN, LEFT, RIGHT, FadeOut, Mobject, Rectangle, Text, VGroup

from animations.studio.cards import EndCard, Figure, TitleCard
from animations.studio.film import FilmScene, shown_run
from animations.studio.measures import measured
from engine.errors import InputError
from engine.evaluate.landscape import Asked, change
from engine.measure.disagreement import disagreements, evaluations, pairs
from engine.measure.shares import wilson
from engine.run.apart import told_apart
from engine.run.base import EMBEDDED
from engine.run.run import Run
from visualize.mobjects.answers import AnswerTable, answers_at
from visualize.mobjects.bars import Bars, Row
from visualize.mobjects.chart import Axis, Chart, Dash, Key, Series, polyline
from visualize.mobjects.text import label, sit

JUDGED, PREFERRED = 20, 12  # an example of a count, said to be one
LEAST_LOSS = 0.05  # nats a token: a smaller difference of losses is called none


def check(run: Run) -> None:
    """Raises InputError for a run that was not graded on the held-out questions of the film's other runs."""
    if run.task != "spanish" or run.task not in run.skills or run.info.model.source != EMBEDDED:
        raise InputError(
            f"the film evaluation compares runs graded on spanish with the embedded model; run {run.name} is "
            f"{run.what}; give a run like those, or none"
        )


class Moment(NamedTuple):
    """One graded step of a run: its held-out loss, nats a token, and its share of exactly right answers."""

    run: Run
    step: int
    loss: float
    exact: float

    @property
    def name(self) -> str:
        return f"{self.run.name}, step {self.step}"


class EvaluationScene(FilmScene):
    """What the scenes share: runs that were asked the same held-out questions."""

    others = ("small", "rate-low", "rate-high")

    def setup(self) -> None:
        super().setup()
        self.task = str(self.run.task)
        self.all = [self.run, *(shown_run(name) for name in self.others)]
        self.by_name = dict(zip(told_apart(self.all), self.all, strict=True))
        self.table = evaluations(self.by_name, [self.task])
        graded = self.run.graded
        self.questions = int(graded[self.task].iloc[-1]) if self.task in graded else self.run.questions
        # Only what differs clearly counts: more than chance would part two scores of a half on so many questions.
        clear = {"least_exact": 1.96 * math.sqrt(0.5 / self.questions), "least_loss": LEAST_LOSS}
        self.every, self.parted = pairs(self.table, **clear), disagreements(self.table, **clear)
        self.pair_colours = (self.colours.rates[1], self.colours.delta)

    def widest(self) -> tuple[Moment, Moment] | None:
        """Of the pairs whose weights were captured, the one that parts most; the lower loss first."""
        for row in self.parted.itertuples():
            low = Moment(self.by_name[row.low_run], int(row.low_step), row.low_loss, row.low_exact)
            high = Moment(self.by_name[row.high_run], int(row.high_step), row.high_loss, row.high_exact)
            if all(moment.step in moment.run.steps for moment in (low, high)):
                return low, high
        return None


class Numbers(EvaluationScene):
    """The loss falls long before answers are right: two numbers, two clocks."""

    title = "Two numbers for one model"

    def construct(self) -> None:
        # What is measured
        loss, right = self.run.skill_losses[self.task], self.run.skills[self.task]
        charts = [self.chart("skill_losses", "held-out loss (nats a token)", LEFT), self.chart("skills", "", RIGHT)]
        stamp = self.stamp(0)
        self.add(stamp, *charts)
        self.attend(charts[0])
        self.say("Left: how surprised the model is by the right answers.")
        self.say(f"Right: how many of {self.questions} answers are exactly right.")

        # Step by step
        for step, each in self.in_turn([int(step) for step in self.run.skills.index], 0.5):
            for chart in charts:
                chart.upto(step)
            stamp = self.swap(stamp, self.stamp(step))
            self.hold(each)

        # Two clocks
        none = right[right == 0]
        silent = none.index[-1] if len(none) else loss.index[0]
        self.wait_to_read()
        self.play_in(*(chart.mark(silent, value, self.colours.foreground) for chart, value in zip(
            charts, (loss[silent], right[silent]), strict=True)))  # fmt: skip
        self.say(f"Step {silent}: loss down from {loss.iloc[0]:.1f} to {loss[silent]:.1f}; {right[silent]:.0%} right.")
        self.say(f"Perplexity is e to the loss: from {math.exp(loss.iloc[0]):,.0f} to {math.exp(loss[silent]):,.0f}.")
        self.say(f"At the end: loss {loss.iloc[-1]:.2f}, and {right.iloc[-1]:.0%} right.")
        self.finish()

    def chart(self, table: Literal["skills", "skill_losses"], name: str, side: np.ndarray) -> Chart:
        series = Series.of(self.run, table, self.task, color=self.colours.method(self.run.method))
        last, high = int(series.x[-1]), float(series.y.max()) if table == "skill_losses" else 1.0
        y = Axis(name or "exactly right", 0, high, {0: "0", high: f"{high:.1f}" if name else "100 %"})
        x = Axis("step", 0, last, {0: "0", last: f"{last}"})
        return Chart([series], 5.0, 3.6, x, y, self.colours, dots=True).move_to(side * 3.4 + DOWN * 0.3)


class Parted(EvaluationScene):
    """A pair found by search: the model with the lower loss gives fewer right answers."""

    title = "Lower loss, worse answers"

    def construct(self) -> None:
        # The search
        every, found = self.every, self.widest()
        parts = {"agree": len(every) - len(self.parted), "part": len(self.parted)}
        rows = [Row(name, count, f"{count}", self.colours.muted) for name, count in parts.items()]
        counted = Bars("pairs in which loss and answers...", rows, max(1, len(every)), 8.0, self.colours).at(-6.7, 2.6)
        self.add(self.stamp_several("three more", self.run.steps[-1]), counted)
        self.attend(counted)
        self.say(f"A search: all clearly different pairs of {len(self.table)} evaluations.")
        self.say(f"In {len(self.parted)} of {len(every)} of them the lower loss answers worse.")
        if found is None:
            self.finish()
            return

        # The widest
        low, high = found
        losses = self.bars(found, "held-out loss, nats a token: lower is better", "loss", "{:.2f}", high.loss)
        rights = self.bars(found, "exactly right: higher is better", "exact", "{:.0%}", 1.0)
        self.say(f"The widest gap. By loss the upper is better: {low.loss:.2f} to {high.loss:.2f}.")
        self.change(counted, losses.at(-6.7, 2.6))
        self.attend(losses)
        self.say(f"By answers the lower one is: {high.exact:.0%} right, not {low.exact:.0%}.")
        self.play_in(rights.at(-6.7, 0.75))

        # In their own words
        self.say("In their own words, to the same questions.")
        self.play_in(*self.said(low, -6.7), *self.said(high, 0.5))
        self.finish()

    def bars(self, found: tuple[Moment, Moment], title: str, what: str, text: str, most: float) -> Bars:
        rows = [
            Row(moment.name, getattr(moment, what), text.format(getattr(moment, what)), color)
            for moment, color in zip(found, self.pair_colours, strict=True)
        ]
        return Bars(title, rows, most, 6.0, self.colours, 5.2)

    def said(self, moment: Moment, left: float) -> tuple[Text, AnswerTable]:
        asked = list(moment.run.answers[moment.run.answers.skill == self.task].prompt.unique()[:2])
        head = sit(label(moment.name, 32, self.colours.muted), left, -0.95)
        return head, AnswerTable(answers_at(moment.run.answers, moment.step, asked), 6.0, self.colours).at(left, -1.4)


@cache
def question_losses(low: str, low_step: int, high: str, high_step: int) -> pd.DataFrame:
    """The loss and the verdict of each held-out question at two moments: columns low, low_right, high, high_right."""
    moments = {"low": (Run.load(low), low_step), "high": (Run.load(high), high_step)}

    def make() -> dict[str, Any]:
        from engine.evaluate.compare import questions_of

        found: dict[str, Any] = {}
        asked = {"task": questions_of(moments["low"][0], "spanish", 100)[1]}
        for side, (run, step) in moments.items():
            losses, right, counts = Asked(run, asked).each(change(run, step))["task"]
            found |= {side: losses, f"{side}_right": right, f"{side}_tokens": counts}
        return found

    runs = [run for run, _ in moments.values()]
    return pd.DataFrame(measured("question-losses", runs, make, steps=[low_step, high_step]))


class Why(EvaluationScene):
    """The loss is a mean over all questions; the score counts those that are right. A few bad ones move the mean."""

    title = "Why: a mean over questions"

    def construct(self) -> None:
        # One bar a question, at both moments
        told = self.told()
        self.add(self.stamp_several("three more", self.run.steps[-1]), told)
        self.attend(told)
        self.say("The loss is a mean over questions. Here is each one.")
        if (found := self.widest()) is None:
            self.say(f"In none of {len(self.every)} clearly different pairs do loss and answers part.")
            self.finish()
            return
        low, high = found
        each = question_losses(str(low.run.path), low.step, str(high.run.path), high.step)
        most = float(each[["low", "high"]].max().max())
        self.play_in(*self.strip(each, "low", low, 0.55, most))
        self.say("A bar: the nats of one answer, sorted; green: answered right.")
        self.play_in(*self.strip(each, "high", high, -2.75, most))

        # What the mean hides
        worst = each.high.nlargest(max(1, len(each) // 4)).sum() / each.high.sum()
        self.say(f"Below, the worst quarter of the questions makes {worst:.0%} of the loss.")
        calm = [float((each[side] / each[f"{side}_tokens"] < 0.1).mean()) for side in ("low", "high")]
        self.say(f"Nearly certain (under 0.1 nats a token): {calm[0]:.0%} above, {calm[1]:.0%} below.")
        self.finish()

    def told(self) -> Text:
        return sit(label(f"{self.questions} questions, one bar each", 36, self.colours.foreground), -6.6, 2.85)

    def strip(self, each: pd.DataFrame, side: str, moment: Moment, y: float, most: float) -> tuple[Text, VGroup]:
        """Every question's loss as a bar on one line; its colour says whether the answer was exactly right."""
        ordered = each.sort_values(side)
        wide = 13.2 / len(ordered)
        bars = VGroup()
        for number, (loss, right) in enumerate(zip(ordered[side], ordered[f"{side}_right"], strict=True)):
            bar = Rectangle(width=0.8 * wide, height=max(0.03, 2.1 * loss / most), stroke_width=0, fill_opacity=1)
            bar.set_fill(self.colours.right if right else self.colours.wrong)
            bars.add(bar.move_to([-6.6 + wide * (number + 0.5), y, 0], aligned_edge=DOWN))
        text = f"{moment.name}: loss {moment.loss:.2f}, {moment.exact:.0%} right"
        return sit(label(text, 32, self.colours.foreground), -6.6, y + 2.0), bars


class Cloud(EvaluationScene):
    """Every evaluation of every run: the way from loss to answers is not one line."""

    title = "Loss against answers"

    def construct(self) -> None:
        # All of them
        chart = self.chart()
        names = [(series.name, series.color, series.dash) for series in chart.series]
        key = Key(names, 2.6, 1.8, 4.0, self.colours)
        self.add(self.stamp_several("three more", self.run.steps[-1]), chart)
        self.say("Each dot is one evaluation: its loss, and how many were right.")
        self.draw(chart)
        self.play_in(key)

        # How well does one tell the other?
        every = self.every
        self.say("If loss told all, every path would be the same line.")
        agreed = 1 - len(self.parted) / max(1, len(every))
        self.say(f"Of {len(every)} clearly different pairs it told the better in {agreed:.0%}.")
        if (found := self.widest()) is not None:
            self.say("Ringed: the two that part most.")
            self.play_in(*(chart.mark(one.loss, one.exact, self.colours.foreground) for one in found))
        self.finish()

    def draw(self, chart: Chart) -> None:
        """From the highest losses, where training begins, to the lowest: dot by dot."""
        whole = list(chart.series)
        for count, each in self.in_turn([*range(1, max(len(one.x) for one in whole) + 1)], 0.15):
            chart.series = [replace(one, x=one.x[:count], y=one.y[:count]) for one in whole]
            chart.upto(math.inf)
            self.hold(each)

    def chart(self) -> Chart:
        styles: tuple[Dash, ...] = ("dotted", "solid", "dashed", "solid")
        looks = zip((*self.colours.rates, self.colours.delta), styles, strict=True)
        order = [shown_run("rate-low"), self.run, shown_run("rate-high"), shown_run("small")]
        series = [
            Series(run.name, *(run.skill_losses[self.task].to_numpy(), run.skills[self.task].to_numpy()), color, dash)
            for run, (color, dash) in zip(order, looks, strict=True)
        ]
        low, high = self.table.loss.min(), self.table.loss.max()
        x = Axis(
            "held-out loss, nats a token (logarithmic)",
            low,
            high,
            {n: f"{n:g}" for n in (0.1, 1.0, 10.0) if low <= n <= high},
            log=True,
        )
        y = Axis("exactly right", 0, 1, {0: "0 %", 1: "100 %"})
        return Chart(series, 7.2, 4.2, x, y, self.colours, dots=True).move_to(LEFT * 2.7 + DOWN * 0.15)


class Blind(EvaluationScene):
    """Two models with nearly the same loss, judged blind: the audience decides, and is then told."""

    title = "Blind: which answers better?"

    def construct(self) -> None:
        # Nearly the same loss
        two = [self.run, shown_run("rate-high")]
        losses = [float(run.skill_losses[self.task].iloc[-1]) for run in two]
        self.add(self.stamp_several("one more", self.run.steps[-1]))
        rows = [
            Row(name, loss, f"{loss:.3f}", self.colours.muted)
            for name, loss in zip(("one", "another"), losses, strict=True)
        ]
        bars = Bars("held-out loss on the task, nats a token", rows, max(losses), 8.0, self.colours).at(-6.7, 2.6)
        self.add(bars)
        self.attend(bars)
        self.say(f"Two models. Their losses on the task: {losses[0]:.3f} and {losses[1]:.3f}.")

        # Their answers, without their names
        shown = self.blind(two)
        self.say("Who stands left is drawn by lot, question by question.")
        self.play(FadeOut(bars, run_time=0.3))
        self.play_in(*shown.values())
        self.say("You judge: left, right, or a tie?")
        self.guess(2.5)

        # Who was who
        self.say("Now the names.")
        self.play_in(*self.unmasked(two))
        low, high = wilson(PREFERRED, JUDGED)
        self.say(f"If {PREFERRED} of {JUDGED} votes went to one: {low:.0%} to {high:.0%} is likely. Not settled.")
        self.finish()

    def blind(self, two: list[Run]) -> dict[str, VGroup]:
        """Both answers to each question, as a table at the left and one at the right; `self.sides` remembers whose."""
        from engine.evaluate.judging import Pair

        answers = [run.answers[run.answers.step == run.answers.step.max()].set_index("prompt") for run in two]
        old = [prompt for prompt in answers[0].index if answers[0].skill[prompt] != self.task]
        asked = [answers[0].index[0], *[prompt for prompt in old if prompt in answers[1].index][:3]]
        lot = random.Random(0)
        drawn = [
            Pair(number, prompt, answers[0].answer[prompt], answers[1].answer[prompt], lot.choice("ab"))
            for number, prompt in enumerate(asked)
        ]
        self.sides = [(0, 1) if pair.first == "a" else (1, 0) for pair in drawn]
        tables = {}
        for place, (name, left) in enumerate((("left", -6.3), ("right", 0.8))):
            whose = [side[place] for side in self.sides]
            rows = [answers[run].loc[[prompt]].reset_index() for run, prompt in zip(whose, asked, strict=True)]
            tables[name] = AnswerTable(pd.concat(rows), 5.9, self.colours, marked=False).at(left, 2.3)
        return tables

    def unmasked(self, two: list[Run]) -> list[Mobject]:
        """Whose answer each one was: a stroke beside it, and what the strokes mean."""
        looks: list[tuple[str, Dash]] = [(self.colours.rates[1], "solid"), (self.colours.rates[2], "dashed")]
        strokes: list[Mobject] = []
        for row, side in enumerate(self.sides):
            y = 2.3 - row * AnswerTable.EACH
            for whose, left in zip(side, (-6.6, 0.5), strict=True):
                strokes.append(
                    polyline(np.array([[left, y + 0.15, 0], [left, y - 0.6, 0]]), looks[whose][1], looks[whose][0], 8)
                )
        rows = [(run.name, *look) for run, look in zip(two, looks, strict=True)]
        return [*strokes, Key(rows, -6.6, -1.9, 5.0, self.colours)]


class Named(TitleCard):
    """The film's question, over what training changed."""

    title = "Is it better now?"
    question = "Is it better now?"
    name = "the film of measuring"


class End(EvaluationScene, EndCard):
    """What the film showed, in numbers."""

    title = EndCard.title
    follows = ("when does one train at all?", "when")

    def figures(self) -> list[Figure]:
        loss, right = self.run.skill_losses[self.task], self.run.skills[self.task]
        apart = f"of {len(self.every)} clearly different pairs: the lower loss answers worse"
        return [
            Figure(f"{loss.iloc[-1]:.2f}", f"nats a token at the end, {loss.iloc[0]:.1f} before"),
            Figure(f"{right.iloc[-1]:.0%}", f"of {self.questions} questions right"),
            Figure(f"{len(self.parted)}", apart),
        ]


SCENES = (Named, Numbers, Cloud, Parted, Why, Blind, End)
