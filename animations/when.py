"""The film of the choice: tell the model, show it examples, or train it? Two tasks, three ways, what each one reads.

python -m animations.render when            the whole film
manim render animations/when.py Trained     one scene, with stock Manim
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from manim import DOWN, LEFT, UP, FadeIn, FadeOut, LaggedStart, Rectangle, Text, VGroup

from animations.studio.cards import EndCard, Figure, TitleCard
from animations.studio.film import GESTURE, FilmScene, run_in, shown_run, watched_module
from animations.studio.measures import measured
from engine.errors import InputError
from engine.measure.matched import overtaken
from engine.measure.shares import wilson
from engine.run.base import EMBEDDED
from engine.run.run import Run
from visualize.mobjects.answers import RIGHT_MARK, WRONG_MARK
from visualize.mobjects.bars import Bars, Row
from visualize.mobjects.chart import Axis, Chart, Dash, Key, Series, polyline
from visualize.mobjects.matrix import MatrixImage, Source
from visualize.mobjects.text import fitted, label, largest, sit
from visualize.naming import percent, proper, titled
from visualize.theme import limit_of

QUESTIONS = 1000  # that are asked, in the comparison of costs
WORKS = 0.5  # of the questions: a way that answers fewer is not enough, however little the others do
SHOTS = (0, 1, 2, 4, 8)  # examples in the prompt
LEFT_EDGE, PAGE, ANSWER_EDGE = -6.75, 7.0, 0.75  # where what is read begins, how wide it is, where answers begin
ORDERS = {"brackets": "Answer in brackets.", "spanish": "Answer in Spanish."}
TRAINED = {
    "brackets": ("brackets-2", "brackets-8", "brackets-32", "brackets-128"),
    "spanish": ("small", "clean", "lora"),
}


def check(run: Run) -> None:
    """Raises InputError for a run that is no fine-tuning of the embedded model on a task of this film."""
    if run.task != "brackets" or run.info.model.source != EMBEDDED:
        raise InputError(
            f"the film when sets trainings on answers in brackets beside prompts; run {run.name} is {run.what}; give a "
            "run of the embedded model on that task, or none"
        )


def check_beside(runs: Mapping[str, Run]) -> None:
    """Raises InputError for a run that is none of its row: of the same task, of the embedded model, and graded."""
    for task, names in TRAINED.items():
        for run in (runs[name] for name in names if name in runs):
            if run.task != task or run.info.model.source != EMBEDDED or task not in run.skills:
                raise InputError(f"run {run.name} is {run.what}; those it stands with learned {task}, and were graded")


def examples_of(run: Run) -> int:
    return run.examples


def score_of(run: Run) -> float:
    """The share of held-out answers exactly right after training."""
    return float(run.skills[run.task].iloc[-1])


class Prompts(NamedTuple):
    """What prompts get out of the base: shares right, tokens read; one question, with what is `said` and how many
    tokens are `read` asked plainly, told, shown these examples, and trained; and how many tokens training reads of an
    example.
    """

    plain: dict[str, float]
    told: dict[str, float]
    shown: dict[str, dict[str, float]]
    said: dict[str, str]
    read: dict[str, int]
    examples: list[list[str]]
    question: str
    right: str
    example: float


def prompts_of(task: str) -> Prompts:
    """Measured on the base model with the task's held-out questions, and on the training with most examples, once."""
    return _prompts(task, *(str(shown_run(name).path) for name in TRAINED[task]))


@cache
def _prompts(task: str, *folders: str) -> Prompts:
    runs = sorted(map(run_in, folders), key=examples_of)

    def make() -> dict[str, Any]:
        from engine.data import IGNORE, encode, load
        from engine.evaluate import encode_last_answer, generate_answers
        from engine.evaluate.prompting import BRACKETS, brackets, measure_prompts, shown, told
        from engine.evaluate.weights import ChangedModel
        from engine.models import load_model, load_tokenizer

        data = brackets() if task == BRACKETS else load(task)
        model, tokenizer = load_model(EMBEDDED), load_tokenizer(EMBEDDED)
        few = {count: shown(data, count) for count in SHOTS}
        order = [told(ORDERS[task], one) for one in few[0]]
        asked = {"asked": few[0][0], "told": order[0], "shown": few[4][0]}
        said = generate_answers(model, tokenizer, [one[:-1] for one in asked.values()], 24)
        trained = generate_answers(ChangedModel(runs[-1]).at(None), tokenizer, [few[0][0][:-1]], 24)
        read = {way: encode_last_answer(tokenizer, one).labels.count(IGNORE) for way, one in asked.items()}
        before = few[4][0][:-2]
        return {
            "plain": asdict(measure_prompts(model, tokenizer, few[0])),
            "told": asdict(measure_prompts(model, tokenizer, order)),
            "shown": {str(count): asdict(measure_prompts(model, tokenizer, few[count])) for count in SHOTS},
            "said": dict(zip([*asked, "trained"], [*said, *trained], strict=True)),
            "read": read | {"trained": read["asked"]},
            "examples": [[a["content"], b["content"]] for a, b in zip(before[::2], before[1::2], strict=True)],
            "question": few[0][0][0]["content"],
            "right": few[0][0][1]["content"],
            "example": float(np.mean([len(encode(tokenizer, one).ids) for one in data.train])),
        }

    return Prompts(**measured(f"prompts-{task}", runs, make, shots=SHOTS, order=ORDERS[task]))


class WhenScene(FilmScene):
    """What the scenes share: a task, its prompts' scores, and its trainings, from few examples to many."""

    shows = "brackets-128"
    others = tuple(name for names in TRAINED.values() for name in names if name != "brackets-128")
    task = "brackets"

    def setup(self) -> None:
        super().setup()
        self.ways = {"told": self.colours.foreground, "shown": self.colours.delta, "trained": self.colours.lora}
        self.load(self.task)

    def load(self, task: str) -> None:
        self.task = task
        self.prompts = prompts_of(task)
        self.runs = sorted((shown_run(name) for name in TRAINED[task]), key=examples_of)
        self.few = {int(count): found["exact"] for count, found in self.prompts.shown.items()}

    def graded(self) -> int:
        """On how many questions the scores stand: as many as the run graded."""
        run = self.runs[-1]
        return int(run.graded[run.task].iloc[-1]) if run.task in run.graded else run.questions

    def corner_stamp(self) -> Text:
        others = {2: "two", 3: "three"}.get(len(self.runs) - 1, f"{len(self.runs) - 1}")
        return self.stamp_several(f"{others} more", self.runs[-1].steps[-1], self.runs[-1])

    def trained(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([examples_of(run) for run in self.runs], float), np.array([score_of(run) for run in self.runs])

    def chart(self) -> Chart:
        """Share right over examples, in the prompt or in training, on an axis of doublings; none stands first."""
        counts, scores = self.trained()
        shots = np.array([max(0.5, count) for count in self.few])
        shown = Series("shown", shots, np.array(list(self.few.values())), self.ways["shown"], "dashed")
        trained = Series("trained", counts, scores, self.ways["trained"])
        marks = dict.fromkeys([0.5, 2.0, 8.0, *counts])
        ticks = {mark: f"{mark:.0f}" if mark >= 1 else "0" for mark in marks}
        x = Axis("examples (each step right: twice as many)", 0.5, max(8.0, counts[-1]), ticks, log=True)
        y = Axis("exactly right, held out", 0, 1, {0: "0 %", 0.5: "50 %", 1: "100 %"})
        return Chart([shown, trained], 7.5, 4.1, x, y, self.colours, dots=True).move_to(LEFT * 1.75 + DOWN * 0.15)

    def key(self, chart: Chart, ways: int) -> Key:
        looks: tuple[tuple[str, Dash], ...] = (("told", "dotted"), ("shown", "dashed"), ("trained", "solid"))
        texts = {"told": "told, no example", "shown": "shown in the prompt", "trained": "trained on them"}
        rows = [(texts[name], self.ways[name], dash) for name, dash in looks[:ways]]
        return Key(rows, chart.across.get_right()[0] + 0.3, 1.7, 4.0, self.colours)

    def told_line(self, chart: Chart) -> VGroup:
        level = self.prompts.told["exact"]
        ends = np.array([chart.place(chart.x.low, level), chart.place(chart.x.high, level)])
        return VGroup(polyline(ends, "dotted", self.ways["told"]))


class OneQuestion(WhenScene):
    """One question, asked plainly, told, shown and trained: what the model reads at the left, what it says at the
    right."""

    headed = False
    wish = ""

    def construct(self) -> None:
        # Asked plainly
        found, run = self.prompts, self.runs[-1]
        question = self.card(found.question, -1.85, 42, self.colours.foreground)
        reads, says = self.reads("asked"), self.says("asked")
        stamp = self.stamp(0, run)
        self.add(self.heads(), question, reads, says, stamp)
        self.say(
            f"{self.wish}, please.", f"{self.wish}, please. Asked plainly, the model says what stands at the right."
        )
        self.attend(says)
        self.wait_to_read()
        self.gesture(GESTURE)

        # Told
        order = self.card(ORDERS[self.task], -0.85, 36, self.ways["told"])
        self.say("Tell it.", "Tell it: one sentence more to read. And now?")
        self.play(FadeIn(order, shift=0.4 * DOWN), run_time=0.6)
        reads, says = self.answered(reads, says, "told")

        # Shown
        examples = [
            self.card(f"{asked}  \N{RIGHTWARDS ARROW}  {answer}", 2.0 - 0.93 * line, 32, self.ways["shown"])
            for line, (asked, answer) in enumerate(found.examples)
        ]
        self.say(f"Show it: {len(examples)} examples.", "Or show it some examples, which it reads before the question.")
        self.play(FadeOut(order, shift=0.4 * UP), run_time=0.3)
        self.play(LaggedStart(*(FadeIn(one, shift=0.4 * DOWN) for one in examples), lag_ratio=0.8, run_time=3.2))
        reads, says = self.answered(reads, says, "shown")

        # Trained: the examples leave the page, and change the weights
        last = run.steps[-1]
        change = self.change_of(run)
        count = self.trained_on(run)
        self.say(
            f"Or train it on {run.examples}.", "Or train it: the examples leave the page, and go into the weights."
        )
        self.play(
            LaggedStart(
                *(one.animate.scale(0.1).move_to(change).set_opacity(0) for one in examples),
                lag_ratio=0.3,
                run_time=1.8,
            ),
            FadeIn(change, run_time=1.8),
        )
        self.remove(*examples)
        self.play(FadeIn(count), run_time=0.3)
        stamp = self.swap(stamp, self.stamp(last, run))
        reads, says = self.answered(reads, says, "trained")
        self.say(self.outcome())
        self.finish()

    def heads(self) -> VGroup:
        return VGroup(
            sit(label("what it reads", 34, self.colours.muted), LEFT_EDGE, 2.85),
            sit(label("what it says", 34, self.colours.muted), ANSWER_EDGE, 1.05),
            sit(label("what is wanted", 34, self.colours.muted), ANSWER_EDGE, 2.85),
            sit(fitted(self.prompts.right, 5.8, 56, self.colours.foreground), ANSWER_EDGE, 2.1),
        )

    def card(self, text: str, y: float, size: int, color: str) -> VGroup:
        """A line of what is read, in a frame of its own."""
        words = largest(text, PAGE - 0.5, (size, 36, 32), self.colours.foreground)
        box = Rectangle(width=PAGE, height=0.8, stroke_width=4).set_stroke(color).set_fill(self.colours.grid, 0.5)
        box.move_to([LEFT_EDGE, y, 0], aligned_edge=LEFT)
        return VGroup(box, sit(words, LEFT_EDGE + 0.25, y))

    def reads(self, way: str) -> Text:
        return sit(label(f"{self.prompts.read[way]} tokens to read", 36, self.colours.foreground), LEFT_EDGE, -2.72)

    def says(self, way: str) -> Text:
        said = self.prompts.said[way]
        good = said.strip() == self.prompts.right.strip()
        mark, color = (RIGHT_MARK, self.colours.right) if good else (WRONG_MARK, self.colours.wrong)
        return sit(fitted(f"{mark} {said}", 6.0, 84, color), ANSWER_EDGE, 0.15)

    def answered(self, reads: Text, says: Text, way: str) -> tuple[Text, Text]:
        """What is read has changed; then the answer does."""
        reads = self.swap(reads, self.reads(way))
        says = self.change(says, self.says(way))
        self.attend(says)
        self.wait_to_read()
        self.gesture(GESTURE)
        return reads, says

    def change_of(self, run: Run) -> MatrixImage:
        """What training changed in one matrix: where the examples went."""
        module, last = watched_module(run), run.steps[-1]
        values = run.delta(module, last)
        source = Source(run, module, "delta", last)
        matrix = MatrixImage(values, limit_of(values), 2, self.colours.delta, self.theme, source)
        return matrix.move_to([ANSWER_EDGE + 1.0, -1.7, 0]).settle()

    def trained_on(self, run: Run) -> VGroup:
        lines = (f"what {run.examples} examples", "changed in one matrix")
        return VGroup(
            sit(label(line, 34, self.colours.delta), ANSWER_EDGE + 2.15, -1.45 - 0.5 * number)
            for number, line in enumerate(lines)
        )

    def outcome(self) -> str:
        """Which ways gave this one answer as it was wanted?"""
        names = {"told": "telling", "shown": "showing", "trained": "training"}
        worked = [said for way, said in names.items() if self.prompts.said[way].strip() == self.prompts.right.strip()]
        if not worked:
            return "No way worked for this question. And for the others?"
        *first, last = worked
        return f"Here {' and '.join([', '.join(first), last] if first else [last])} worked. And for other questions?"


class Asked(OneQuestion):
    """A form that the model knows the words for: one question, four ways."""

    title = "One question, four ways"
    wish = "In square brackets"


class Named(TitleCard):
    """The film's question, over what training changed."""

    title = "The choice"
    shows = "brackets-128"
    question = "Tell it, show it, or train it?"
    name = "when to fine-tune"


class Shown(WhenScene):
    """Examples in the prompt: more of them, and what they bring."""

    title = "Told, and shown"

    def construct(self) -> None:
        # Told
        chart = self.chart()
        chart.series = chart.series[:1]
        self.add(self.stamp(0), chart)
        told, best = self.prompts.told["exact"], max(self.few, key=self.few.__getitem__)
        self.say(f"Told: {percent(told)} of the held-out answers are exactly right.")
        key = self.key(chart, 1)
        self.play_in(self.told_line(chart), key)
        self.attend(key)

        # Shown, with more and more examples
        self.say("Shown: with more and more examples in the prompt.")
        key = self.change(key, self.key(chart, 2))
        for count, each in self.in_turn([*self.few], 0.8):
            chart.upto(max(0.5, count))
            self.hold(each)
        self.say(self.best(best), f"{self.best(best)} That is this small model's way: others differ.")
        ring = chart.mark(max(0.5, best), self.few[best], self.colours.foreground)
        self.play_in(ring)
        self.attend(ring)
        self.finish()

    def best(self, best: int) -> str:
        """A dip after the best is this model's: it is named so."""
        said = f"Best with {best}: {percent(self.few[best])}. With {SHOTS[-1]}: {percent(self.few[SHOTS[-1]])}"
        return f"{said}, with this model."


class Trained(WhenScene):
    """The same examples, used for training: where does it pass the prompt?"""

    title = "Trained on examples"

    def construct(self) -> None:
        # What prompts reached
        chart = self.chart().upto(0.0)
        key = self.key(chart, 3)
        self.add(self.corner_stamp(), chart, self.told_line(chart), key)
        self.attend(key)
        both = chart.series
        chart.series = both[:1]
        chart.upto(np.inf)
        counts, scores = self.trained()
        self.say(f"Now the examples are trained on: {', '.join(f'{n:.0f}' for n in counts)} of them.")
        self.draw(chart, both, counts)

        # Where the lines cross
        self.say(f"Trained on {counts[-1]:.0f}: {percent(scores[-1])} right.")
        self.say(self.passed(counts, scores, "showing", max(self.few.values())))
        self.say(self.passed(counts, scores, "telling", self.prompts.told["exact"]))
        self.finish()

    def draw(self, chart: Chart, both: list[Series], counts: np.ndarray) -> None:
        """Training's curve, count by count, over the whole curve of showing."""
        for count, each in self.in_turn([*counts], 0.8):
            upto = both[1].x <= count
            part = Series(both[1].name, both[1].x[upto], both[1].y[upto], both[1].color, both[1].dash)
            chart.series = [both[0], part]
            chart.upto(np.inf)
            self.hold(each)

    def passed(self, counts: np.ndarray, scores: np.ndarray, way: str, level: float) -> str:
        """Where it is above a prompt's score, if the questions can tell."""
        if level > 0.95:
            return f"{way.capitalize()} reaches {percent(level)}: no room above it."
        low, high = overtaken(list(counts), list(scores), self.graded(), level, self.graded())
        if low == counts[-1]:
            return f"It does not pass {way} ({percent(level)}) with these."
        if high == np.inf:
            return f"Whether it passes {way} ({percent(level)}), too few questions tell."
        if high == counts[0]:
            return f"It is clearly above {way} ({percent(level)}) already with {high:.0f}."
        return f"It is clearly above {way} ({percent(level)}) from {high:.0f} examples on."


class Unseen(OneQuestion):
    """Words that the model was never taught: the same four ways."""

    title = "Words it never saw"
    task = "spanish"
    wish = "In Spanish"


class Unknown(Trained):
    """Another task: words that the model has never seen. What can a prompt do there?"""

    title = "What it never saw"
    task = "spanish"

    def construct(self) -> None:
        # Spanish, told and shown
        chart = self.chart()
        both = chart.series
        chart.series = both[:1]
        chart.upto(0.0)
        key = self.key(chart, 3)
        self.add(self.corner_stamp(), chart, key)
        self.attend(key)
        self.say("All questions now: Spanish words, which it was never taught.")
        told, best = self.prompts.told["exact"], max(self.few.values())
        self.play_in(self.told_line(chart))
        self.add(chart.upto(np.inf))
        self.attend(key)
        self.say(f"Told: {percent(told)} right. Shown: {percent(best)} at best.")

        # Trained
        counts, scores = self.trained()
        self.say("Trained on the words themselves:")
        self.draw(chart, both, counts)
        self.say(f"With {counts[-1]:.0f} examples: {percent(scores[-1])} right.")
        self.finish()


class Cost(WhenScene):
    """What each way costs: tokens read for every question, or once, in training."""

    title = "What each way costs"

    def construct(self) -> None:
        # Tokens a question
        found, best = self.prompts, max(SHOTS[1:], key=self.few.__getitem__)
        shown = found.shown[str(best)]["tokens"]
        reads = {"trained": found.plain["tokens"], "told": found.told["tokens"], f"shown {best}": shown}
        rows = [Row(way, count, f"{count:.0f}", self.ways[way.split()[0]]) for way, count in reads.items()]
        first = Bars("tokens read a question", rows, max(reads.values()), 8.0, self.colours).at(-6.6, 2.5)
        self.add(self.corner_stamp(), first)
        self.say("A prompt is read again with every question.")
        self.attend(first)

        # Tokens of training, once
        spent = 3 * self.seen() * found.example
        self.say(f"Training works through {spent:,.0f}, backward passes counted, but once.")
        total = {way: QUESTIONS * count + (spent if way == "trained" else 0) for way, count in reads.items()}
        rows = [Row(way, count, f"{count:,.0f}", self.ways[way.split()[0]]) for way, count in total.items()]
        title = f"tokens in all, after {QUESTIONS:,} questions"
        self.play_in(Bars(title, rows, max(total.values()), 8.0, self.colours).at(-6.6, -0.2))

        # When is that repaid?
        extra = shown - found.plain["tokens"]
        self.say(f"Beside showing {best}, training is repaid after {max(0, spent / extra):,.0f} questions.")
        self.finish()

    def seen(self) -> float:
        """How many examples the largest training worked through, repeats counted."""
        return float(self.runs[-1].metrics.index[-1] * self.runs[-1].examples_a_step)


class Choice(WhenScene):
    """Both tasks, three ways: which was best, and by more than chance?"""

    title = "So, which one?"

    def construct(self) -> None:
        # Both tasks side by side
        wish = sit(label("What was asked for, and how often it was right:", 40, self.colours.foreground), -6.7, 2.5)
        self.add(self.corner_stamp(), wish)
        for task, left, named in (("brackets", -6.7, "a form it knows"), ("spanish", 0.5, "words it never saw")):
            self.load(task)
            scores = {
                "told": self.prompts.told["exact"],
                "shown": max(self.few.values()),
                "trained": self.trained()[1].max(),
            }
            rows = [Row(way, score, percent(score), self.ways[way]) for way, score in scores.items()]
            advice = self.advice(scores)
            self.say(f"{titled(task)}, {named}: {advice}")
            self.play_in(Bars(f"{proper(task)}: exactly right", rows, 1.0, 3.4, self.colours, 1.7).at(left, 1.3))
            so = sit(label(advice.capitalize(), 44, self.colours.foreground, bold=True), left, -1.6)
            self.play(FadeIn(so, shift=0.2 * UP), run_time=0.4)
            self.attend(so)
        self.say("The cheapest first: tell, then show, then train. And measure each.")
        self.finish()

    def advice(self, scores: dict[str, float]) -> str:
        """The cheapest way that works, and whose score is not clearly below the best one's: their 95 % intervals
        overlap."""
        graded = self.graded()
        best = max(scores.values())
        if best < WORKS:
            return "no way was enough here."
        low = wilson(best * graded, graded)[0]
        working = {way: score for way, score in scores.items() if wilson(score * graded, graded)[1] >= WORKS}
        enough = next(way for way, score in working.items() if wilson(score * graded, graded)[1] >= low)
        return {"told": "telling was enough.", "shown": "showing was enough.", "trained": "training was needed."}[
            enough
        ]


class End(EndCard):
    """What the film showed, in numbers: brackets, told, shown and trained."""

    shows = "brackets-128"
    others = tuple(name for name in TRAINED["brackets"] if name != "brackets-128")
    asks = "what does training do to the weights?"
    follows = "full"

    def figures(self) -> list[Figure]:
        prompts = prompts_of("brackets")
        shown = max(found["exact"] for found in prompts.shown.values())
        trained = max(score_of(shown_run(name)) for name in TRAINED["brackets"])
        return [
            Figure(percent(prompts.told["exact"]), "right in brackets, told"),
            Figure(percent(shown), "right, shown examples"),
            Figure(percent(trained), "right, trained"),
        ]


# The film's order; Manim itself would go by the alphabet.
SCENES = (Asked, Named, Shown, Trained, Unseen, Unknown, Cost, Choice, End)
