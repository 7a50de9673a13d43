"""The film of measuring: two models, judged blind; then their losses and their answers, which need not agree.

python -m animations.render evaluation           the whole film
manim render animations/evaluation.py Parted     one scene, with stock Manim
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from manim import (
    DOWN,
    LEFT,
    ORIGIN,
    RIGHT,
    UP,
    Circle,
    Create,
    Dot,
    FadeIn,
    FadeOut,
    LaggedStart,
    Line,
    Rectangle,
    SurroundingRectangle,
    Text,
    VGroup,
)

from animations.studio.cards import EndCard, Figure, TitleCard
from animations.studio.film import FilmScene, shown_run
from animations.studio.measures import measured
from engine.errors import InputError
from engine.evaluate.landscape import Asked, change
from engine.measure.disagreement import disagreements, evaluations, pairs
from engine.measure.shares import newcombe, wilson
from engine.run.apart import told_apart
from engine.run.base import EMBEDDED
from engine.run.run import Run
from visualize.mobjects.chart import Axis, Chart, Dash, Key, Series
from visualize.mobjects.text import fitted, label, sit
from visualize.naming import percent

JUDGED, PREFERRED = 20, 12  # an example of a count, said to be one
SHOWN, ACROSS = 3, 14  # questions that are judged; dots of verdicts in a row
LONGEST = 20.0  # nats: a perplexity of more than nine digits
LEAST_LOSS = 0.05  # nats a token: a smaller difference of losses is called none


def check(run: Run) -> None:
    """Raises InputError for a run that was not graded on the held-out questions of the film's other runs."""
    if run.task != "spanish" or run.task not in run.skills or run.info.model.source != EMBEDDED:
        raise InputError(
            f"the film evaluation compares runs graded on spanish with the embedded model; run {run.name} is "
            f"{run.what}; give a run like those, or none"
        )


def check_beside(runs: Mapping[str, Run]) -> None:
    """As `check`, of each."""
    for run in runs.values():
        check(run)


def went(before: float, now: float) -> str:
    """Where a loss went, whichever way that was."""
    if abs(now - before) < LEAST_LOSS:
        return f"loss {now:.2f}, where it began"
    return f"loss {'down' if now < before else 'up'} from {before:.2f} to {now:.2f}"


def perplexed(loss: float) -> str:
    """e to the loss; of a run that diverged, which is a number too long to read, as a power."""
    return f"{math.exp(loss):,.0f}" if loss < LONGEST else f"e^{loss:.0f}"


class Moment(NamedTuple):
    """One graded step of a run: its held-out loss, nats a token, and its share of exactly right answers."""

    run: Run
    step: int
    loss: float
    exact: float


class EvaluationScene(FilmScene):
    """What the scenes share: runs that were asked the same held-out questions."""

    others = ("small", "rate-low", "rate-high")

    def setup(self) -> None:
        super().setup()
        self.task = str(self.run.task)
        self.all = [self.run, *(shown_run(name) for name in self.others)]
        self.by_name = dict(zip(told_apart(self.all), self.all, strict=True))
        self.called = {run: name for name, run in self.by_name.items()}
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


class PairScene(EvaluationScene):
    """What the scenes of the pair share: A and B, side by side, each in its colour all through the film."""

    sides = (-3.5, 3.5)  # where the middles of A and B lie

    def setup(self) -> None:
        super().setup()
        self.pair = self.chosen()
        found = self.pair
        self.each = question_losses(str(found[0].run.path), found[0].step, str(found[1].run.path), found[1].step)

    def chosen(self) -> tuple[Moment, Moment]:
        """The pair that parts most; where none does, the ends of the two runs whose losses are nearest."""
        if found := self.widest():
            return found
        ends = [Moment(run, run.steps[-1], *self.last(name)) for name, run in self.by_name.items()]
        two = min(itertools.combinations(ends, 2), key=lambda both: abs(both[0].loss - both[1].loss))
        low, high = sorted(two, key=lambda moment: moment.loss)
        return low, high

    def last(self, name: str) -> tuple[float, float]:
        row = self.table[self.table.run == name].iloc[-1]
        return float(row.loss), float(row.exact)

    def letters(self) -> VGroup:
        return VGroup(
            sit(label(letter, 84, color, bold=True), x, 2.45, ORIGIN)
            for letter, color, x in zip("AB", self.pair_colours, self.sides, strict=True)
        )

    def pair_stamp(self) -> Text:
        """Which two these are is told at the end of their scene: judged first, then named."""
        return self.corner("computed: two models of four runs")

    def named(self) -> str:
        a, b = self.pair
        return f"A: {self.called[a.run]}, step {a.step}. B: {self.called[b.run]}, step {b.step}."


class Two(PairScene):
    """Two models, and what they say: judged before any number is seen."""

    title = "Which one is better?"
    headed = False

    def construct(self) -> None:
        # Question by question
        asked = self.asked()
        question, said = self.question(asked[0]), self.said(asked[0])
        self.add(self.letters(), self.pair_stamp(), question, said)
        self.say(
            "Two models. Which one is better?", "Here are two models, and a question to both. Which one is better?"
        )
        self.attend(said)
        for prompt in asked[1:]:
            self.wait_to_read()
            new_question, new_said = self.question(prompt), self.said(prompt)
            self.play(
                FadeOut(question, shift=0.4 * UP), FadeOut(said, shift=0.4 * UP),
                FadeIn(new_question, shift=0.4 * UP), FadeIn(new_said, shift=0.4 * UP), run_time=0.6,
            )  # fmt: skip
            question, said = new_question, new_said
            self.attend(said)
            self.gesture(1.4)
            self.hold(0.6)

        # The audience judges
        self.say("A or B? Decide.", "A or B? Decide, before any number is shown.")
        self.guess(1.5)
        self.finish()

    def asked(self) -> list[str]:
        """The first questions of the task that both were watched with, whatever they said."""
        a, b = (self.answers(moment) for moment in self.pair)
        return [prompt for prompt in a if prompt in b][:SHOWN]

    def answers(self, moment: Moment) -> dict[str, str]:
        rows = moment.run.answers
        rows = rows[(rows.skill == self.task) & (rows.step == moment.step)]
        return dict(zip(rows.prompt, rows.answer, strict=True))

    def question(self, prompt: str) -> Text:
        return sit(fitted(prompt, 13.0, 56, self.colours.foreground), 0, 0.95, ORIGIN)

    def said(self, prompt: str) -> VGroup:
        return VGroup(
            sit(fitted(self.answers(moment)[prompt], 6.4, 84, color), x, -0.75, ORIGIN)
            for moment, color, x in zip(self.pair, self.pair_colours, self.sides, strict=True)
        )


class Parted(PairScene):
    """The same pair by its losses, and by its answers: a dot a question."""

    title = "The loss, and the answers"

    def construct(self) -> None:
        # By the loss
        losses = VGroup(
            sit(label(f"loss {moment.loss:.2f}", 56, self.colours.foreground), x, 1.45, ORIGIN)
            for moment, x in zip(self.pair, self.sides, strict=True)
        )
        letters = self.letters()
        self.add(letters, self.pair_stamp())
        self.say(
            "Ask the loss: lower is better.", "Ask the loss, the mean surprise at the right answers: lower is better."
        )
        self.play_in(*losses)
        if self.prefers():
            box = SurroundingRectangle(losses[0], buff=0.18, corner_radius=0.1).set_stroke(self.colours.foreground, 5)
            self.play(Create(box), run_time=0.6)
        self.say(self.preferred())

        # By the answers
        dots = [self.dots(side, x) for side, x in zip(("low", "high"), self.sides, strict=True)]
        self.say(f"Now the answers: a dot for each of {len(self.each)} questions.")
        self.play(
            *(LaggedStart(*(FadeIn(row, scale=0.6) for row in rows), lag_ratio=0.5, run_time=2.6) for rows in dots)
        )
        counts = self.counts()
        self.play_in(*counts)
        self.attend(dots[1])
        self.say(self.verdict(), self.verdict())
        self.say(self.named())
        if self.widest():
            self.say(
                f"An example: of {len(self.every)} clearly different pairs, the one that parts most of those captured."
            )
        self.finish()

    def prefers(self) -> bool:
        """Does the loss tell the two apart?"""
        return self.pair[1].loss - self.pair[0].loss >= LEAST_LOSS

    def preferred(self) -> str:
        low, high = (moment.loss for moment in self.pair)
        if self.prefers():
            return f"It prefers A: {low:.2f}, not {high:.2f}."
        return f"It prefers neither: {low:.2f} and {high:.2f}, under {LEAST_LOSS} apart."

    def right(self) -> tuple[int, int]:
        return int(self.each.low_right.sum()), int(self.each.high_right.sum())

    def dots(self, side: str, x: float) -> list[VGroup]:
        """A row of dots after another: filled is right, a ring is wrong; in the order in which they were asked."""
        verdicts, rows = [*self.each[f"{side}_right"]], list[VGroup]()
        for first in range(0, len(verdicts), ACROSS):
            row, y = VGroup(), 0.72 - 0.36 * (first // ACROSS)
            for number, right in enumerate(verdicts[first : first + ACROSS]):
                place = [x + 0.36 * (number - (ACROSS - 1) / 2), y, 0]
                row.add(
                    Dot(place, radius=0.13, color=self.colours.right) if right
                    else Circle(radius=0.11, color=self.colours.wrong, stroke_width=4).move_to(place)
                )  # fmt: skip
            rows.append(row)
        return rows

    def counts(self) -> VGroup:
        return VGroup(
            sit(label(f"{count} of {len(self.each)} right", 44, self.colours.foreground, bold=True), x, -2.7, ORIGIN)
            for count, x in zip(self.right(), self.sides, strict=True)
        )

    def verdict(self) -> str:
        """What the answers say, and whether that is more than chance."""
        a, b = self.right()
        low, high = newcombe(b, len(self.each), a, len(self.each))
        said = f"B minus A: {100 * low:+.0f} to {100 * high:+.0f} points"
        if low > 0:
            return f"{said}: B answers better."
        better = "A answers better, too" if self.prefers() else "A answers better"
        return f"{said}: {better if high < 0 else 'no clear difference'}."


class Why(PairScene):
    """The loss is a mean over all answers' tokens; the score counts answers that are right. A few bad ones move it."""

    title = "Why: a mean over tokens"

    def construct(self) -> None:
        # One bar a question, at both moments
        told, each = self.told(), self.each
        low, high = self.pair
        self.add(self.pair_stamp(), told)
        self.attend(told)
        self.say("The loss: a mean over tokens. A bar: one answer's part of the sum.")
        most = float(each[["low", "high"]].max().max())
        self.play_in(*self.strip(each, "low", "A", low, 0.2, most))
        self.say("In nats, sorted; green: answered right.")
        self.play_in(*self.strip(each, "high", "B", high, -2.75, most))

        # What the mean hides
        worst = each.high.nlargest(max(1, len(each) // 4)).sum() / each.high.sum()
        self.say(f"The worst quarter of B's questions makes {percent(worst)} of its loss.")
        calm = [float((each[side] / each[f"{side}_tokens"] < 0.1).mean()) for side in ("low", "high")]
        self.say(f"Nearly certain (under 0.1 nats a token): {percent(calm[0])} of A's, {percent(calm[1])} of B's.")
        self.finish()

    def told(self) -> Text:
        return sit(label(f"{self.questions} questions, one bar each", 36, self.colours.foreground), -6.6, 2.85)

    def strip(
        self, each: pd.DataFrame, side: str, letter: str, moment: Moment, y: float, most: float
    ) -> tuple[Text, VGroup]:
        """Every question's loss as a bar on one line; its colour says whether the answer was exactly right."""
        ordered = each.sort_values(side)
        wide = 13.2 / len(ordered)
        bars = VGroup()
        for number, (loss, right) in enumerate(zip(ordered[side], ordered[f"{side}_right"], strict=True)):
            bar = Rectangle(width=0.8 * wide, height=max(0.03, 2.1 * loss / most), stroke_width=0, fill_opacity=1)
            bar.set_fill(self.colours.right if right else self.colours.wrong)
            bars.add(bar.move_to([-6.6 + wide * (number + 0.5), y, 0], aligned_edge=DOWN))
        text = f"{letter}: loss {moment.loss:.2f}, {percent(moment.exact)} right"
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
        self.say("If loss told all, every path would be the same line.")
        self.say(self.agreed())
        if (found := self.widest()) is not None:
            self.say("Ringed: the two that part most.")
            self.play_in(*(chart.mark(one.loss, one.exact, self.colours.foreground) for one in found))
        self.finish()

    def agreed(self) -> str:
        """How often the lower loss answered better, of the pairs that differ clearly in both."""
        if not len(self.every):
            return "No two of them differ clearly in both: it tells nothing here."
        share = 1 - len(self.parted) / len(self.every)
        return f"Of {len(self.every)} clearly different pairs it told the better in {percent(share)}."

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
        series = []
        for run, (color, dash) in zip(order, looks, strict=True):
            x, y = run.skill_losses[self.task].to_numpy(), run.skills[self.task].to_numpy()
            series.append(Series(self.called[run], x, y, color, dash))
        low, high = self.table.loss.min(), self.table.loss.max()
        across = Axis(
            "held-out loss, nats a token (logarithmic)",
            low,
            high,
            {n: f"{n:g}" for n in (0.1, 1.0, 10.0) if low <= n <= high},
            log=True,
        )
        up = Axis("exactly right", 0, 1, {0: "0 %", 1: "100 %"})
        return Chart(series, 7.2, 4.2, across, up, self.colours, dots=True).move_to(LEFT * 2.7 + DOWN * 0.15)


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
        self.say(
            f"Left: surprise at the right answers. Right: how many of {self.questions} are right.",
            f"Left: how surprised the model is by the right answers. Right: how many of {self.questions} answers are "
            "exactly right.",
        )

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
        before, now = float(loss.iloc[0]), float(loss[silent])
        self.say(f"Step {silent}: {went(before, now)}; {percent(right[silent])} right.")
        self.say(f"Perplexity is e to the loss: from {perplexed(before)} to {perplexed(now)}.")
        self.say(f"At the end: loss {loss.iloc[-1]:.2f}, and {percent(right.iloc[-1])} right.")
        self.finish()

    def chart(self, table: Literal["skills", "skill_losses"], name: str, side: np.ndarray) -> Chart:
        series = Series.of(self.run, table, self.task, color=self.colours.method(self.run.method))
        last, high = int(series.x[-1]), float(series.y.max()) if table == "skill_losses" else 1.0
        y = Axis(name or "exactly right", 0, high, {0: "0", high: f"{high:.1f}" if name else "100 %"})
        x = Axis("step", 0, last, {0: "0", last: f"{last}"})
        return Chart([series], 5.0, 3.6, x, y, self.colours, dots=True).move_to(side * 3.4 + DOWN * 0.3)


class Votes(PairScene):
    """Judges who do not know which is which: a count, and between which shares the true one lies."""

    title = "Judged blind, and counted"

    def construct(self) -> None:
        # A vote a judge
        votes = [
            Dot([0.5 * (number - (JUDGED - 1) / 2), 0.9, 0], radius=0.17, color=self.colours.foreground)
            for number in range(JUDGED)
        ]
        self.add(self.letters(), self.corner("computed: an example of a count"), *votes)
        self.say(
            f"{JUDGED} people judge, blind.",
            f"{JUDGED} people judge. No one sees a name, and which model stands left is drawn by lot.",
        )
        sides = [0] * PREFERRED + [1] * (JUDGED - PREFERRED)
        moved = []
        for number, (vote, side) in enumerate(zip(votes, sides, strict=True)):
            at = number - (0 if side == 0 else PREFERRED)
            place = [self.sides[side] + 0.45 * (at % 6 - 2.5), 1.2 - 0.45 * (at // 6), 0]
            moved.append(vote.animate.move_to(place))
        self.say(f"Suppose {PREFERRED} of {JUDGED} prefer A.")
        self.play(LaggedStart(*moved, lag_ratio=0.15, run_time=2.4))

        # Between which shares?
        low, high = wilson(PREFERRED, JUDGED)
        scale = self.scale(low, high)
        said = "not settled" if low < 0.5 < high else "settled"
        self.say(f"The true share: {percent(low)} to {percent(high)}. It is {said}.")
        self.play_in(scale)
        self.attend(scale)
        self.finish()

    def scale(self, low: float, high: float) -> VGroup:
        """From none to all: the interval, the share that was counted, and the half."""

        def at(share: float, y: float = -1.5) -> list[float]:
            return [-5.0 + 10.0 * share, y, 0]

        ticks = VGroup(
            sit(label(percent(share), 34, self.colours.muted), at(share)[0], -2.1, ORIGIN) for share in (0.0, 0.5, 1.0)
        )
        ground = Line(at(0.0), at(1.0), color=self.colours.muted, stroke_width=3)
        half = Line(at(0.5, -1.15), at(0.5, -1.85), color=self.colours.muted, stroke_width=4)
        likely = Line(at(low), at(high), color=self.pair_colours[0], stroke_width=14)
        counted = Dot(at(PREFERRED / JUDGED), radius=0.16, color=self.colours.foreground)
        name = sit(label("share of all people who would prefer A", 34, self.colours.foreground), 0, -0.75, ORIGIN)
        return VGroup(name, ground, half, ticks, likely, counted)


class Named(TitleCard):
    """The film's question, over what training changed."""

    title = "Is it better now?"
    question = "Is it better now?"
    name = "the film of measuring"


class End(EvaluationScene, EndCard):
    """What the film showed, in numbers."""

    title = EndCard.title
    asks = "when does one train at all?"
    follows = "when"

    def figures(self) -> list[Figure]:
        loss, right = self.run.skill_losses[self.task], self.run.skills[self.task]
        figures = [
            Figure(f"{loss.iloc[-1]:.2f}", f"nats a token at the end, {loss.iloc[0]:.1f} before"),
            Figure(percent(right.iloc[-1]), f"of {self.questions} questions right"),
        ]
        if len(self.every):
            apart = f"of {len(self.every)} clearly different pairs: the lower loss answers worse"
            figures.append(Figure(f"{len(self.parted)}", apart))
        return figures


SCENES = (Two, Named, Parted, Why, Cloud, Numbers, Votes, End)
