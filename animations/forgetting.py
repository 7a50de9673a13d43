"""The film of forgetting: an answer goes, and comes back changed; what was lost, what was only covered, what helps.

python -m animations.render forgetting       the whole film
manim render animations/forgetting.py Asked  one scene, with stock Manim
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from manim import (
    DOWN,
    LEFT,
    ORIGIN,
    RIGHT,
    UP,
    Arrow,
    Dot,
    FadeIn,
    FadeOut,
    GrowFromCenter,
    GrowFromPoint,
    LaggedStart,
    Line,
    Mobject,
    Rectangle,
    Text,
    UpdateFromAlphaFunc,
    VGroup,
    config,
)

from animations.studio import ledger
from animations.studio.cards import EndCard, Figure, TitleCard, learned_and_kept
from animations.studio.film import FilmScene, shown_run, watched_module
from animations.studio.findings import (
    RETURNED,
    has_returned,
    is_adapter,
    is_alone,
    is_mixed,
    is_untaught,
    outcome,
    told,
)
from animations.studio.space import Sheets, View
from engine.data.overlap import CURRICULUM
from engine.errors import InputError
from engine.measure.matched import learning_path
from engine.run.run import Run
from visualize.mobjects.answers import RIGHT_MARK, WRONG_MARK
from visualize.mobjects.chart import Axis, Chart, Dash, Key, Series
from visualize.mobjects.intervals import Interval, Intervals
from visualize.mobjects.matrix import MatrixImage, Source, cell_pixels
from visualize.mobjects.plane import Path, Plane
from visualize.mobjects.text import fitted, label, lines_of, paragraph, sit
from visualize.naming import percent, proper
from visualize.theme import limit_of, score_rgba

METHODS = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}
# What the ledger tried against forgetting: its claims, and what each is called here.
REMEDIES = {
    "gentle-rate": "a lower rate",
    "early-stopping": "stopping early",
    "mixing": "old data mixed in",
    "lora-forgets-less": "LoRA instead of full",
}
# What those answers of the ledger mean that are neither yes nor no.
MEANT = {
    "undecided": "neither yes nor no is sure enough",
    "ceiling": "both kept nearly all, so there was no room to differ",
    "floor": "both kept nearly nothing, so there was no room to differ",
    "censored": "one never learned as much, or its best was the edge of what was tried",
    "missing": "it was not tried",
}
# How the ledger's conditions grade old skills.
GRADED = "to the letter: exactly right; among four: the right answer's probability"


def check(run: Run) -> None:
    """Raises InputError for a run that was not graded on its task and on old skills, before and after, or that was
    asked no old question in words."""
    check_graded(run)
    if not (run.answers.skill != run.task).any():
        raise InputError(
            f"run {run.name} holds no answer in words to an old question, which the film forgetting follows; fine-tune "
            "with answers, and of probes of your own with some that ask: "
            '{"ask": "Answer with one word: ...", "pattern": "..."}'
        )


def check_graded(run: Run) -> None:
    if len(learning_path(run)) < 2:
        raise InputError(f"run {run.name} was graded once, so nothing was forgotten yet; grade it more often")


def check_beside(runs: Mapping[str, Run]) -> None:
    """Of each as `check`, but that its words are not followed; only what learned the same can be compared."""
    for run in runs.values():
        check_graded(run)
    tasks = sorted({str(run.task) for run in runs.values()})
    if len(tasks) > 1:
        raise InputError(f"the film forgetting compares runs of one task, and these learned {' and '.join(tasks)}")


def differences(run: Run, main: Run) -> str:
    """In what does a run differ from the first? In the words of a lecturer: "full fine-tuning", "LoRA, rate 0.0005"."""
    mine, other = run.info.settings, main.info.settings
    name, found = METHODS.get(run.method, run.method), []
    if run.method != main.method:
        found.append(name)
    elif mine.learning_rate != other.learning_rate:
        found.append(f"{name}, rate {mine.learning_rate:g}")
    if (mine.mix or 0) != (other.mix or 0):
        mixed = run.info.data.mixed_in or main.info.data.mixed_in
        found.append(
            f"{percent(mine.mix or 0)} {'old' if mixed is None or mixed.source == CURRICULUM else 'other'} data"
        )
    if len(found) > 1:
        found[0] = found[0].removesuffix(" fine-tuning")
    return ", ".join(found) or "the same again"


def comparable(main: Run, others: tuple[str, ...]) -> list[Run]:
    """The first run, and those of the others that learned the same task: only they can be compared."""
    return [main, *(run for run in map(shown_run, others) if run.task == main.task)]


def names_of(runs: list[Run]) -> list[str]:
    first, *others = runs
    return [f"{METHODS.get(first.method, first.method)}, as before", *(differences(run, first) for run in others)]


class ForgettingScene(FilmScene):
    """What the scenes share: the path of learning against forgetting, and the question that tells it best."""

    def setup(self) -> None:
        super().setup()
        self.path = learning_path(self.run)
        self.first, self.last = int(self.path.index[0]), int(self.path.index[-1])

    def story(self) -> tuple[pd.DataFrame, str]:
        """An old question that began right, with what was said at each step (step, answer, correct); and of which it
        is the one whose answer changed most often. A right answer of one word, which a hall takes in at a glance, comes
        first."""
        old = self.run.answers[self.run.answers.skill != self.run.task]
        right = set(old[(old.step == old.step.min()) & old.correct.astype(bool)].prompt)
        began = right or set(old.prompt)
        asked = {prompt: rows for prompt, rows in old.groupby("prompt", sort=False) if prompt in began}
        words = {one: rows for one, rows in asked.items() if str(rows.expected.iloc[0]).strip().isalpha()}
        changed = any(rows.answer.nunique() > 1 for rows in words.values())
        among, what = (words, " of one word") if changed else (asked, "")
        best = max(among, key=lambda one: (among[one].answer.nunique(), bool(among[one].correct.iloc[-1]), -len(one)))
        story = among[best].sort_values("step", kind="stable").reset_index(drop=True)
        return story, f"{len(among)} {'right' if right else 'old'} answer{'s'[: len(among) > 1]}{what}"


class Asked(ForgettingScene):
    """One old question, asked at every evaluation: what does it say?"""

    title = "One old question"
    headed = False
    shapes = ("16x9", "9x16")

    def construct(self) -> None:
        # Before training
        story, among = self.story()
        wide = config.frame_width - 1.4
        lines, size = paragraph(story.prompt[0], wide, 7 if self.tall else 3, (60, 48, 36), bold=True)
        step = size / 75
        top = 2.2 + step * max(0, len(lines) - 3)  # a frame that stands upright has room above
        question = VGroup(
            sit(label(line, size, self.colours.foreground, bold=True), 0, top - step * number, ORIGIN)
            for number, line in enumerate(lines)
        )
        self.line = Line(LEFT * wide / 2, RIGHT * wide / 2, color=self.colours.muted).shift(1.9 * DOWN)
        self.marker = Dot(self.line.get_start(), radius=0.14, color=self.colours.foreground)
        stamp, said = self.stamp(int(story.step[0])), self.answer(story.iloc[0])
        self.add(question, self.line, self.marker, stamp, said)
        self.say(
            f"Of {among}, the one that will change most.",
            f"Before training, the model is asked: {story.prompt[0]} Of {among}, this one will change most often.",
        )

        # At every evaluation
        task, mixed, alone = proper(str(self.run.task)), is_mixed(self.run), is_alone(self.run)
        also = "other data in between" if mixed else "nothing else" if alone else ""
        self.say(
            f"Then it learns {task}{f', and {also}' if also else ''}.",
            f"Then it is trained on {task}, {f'and on {also}, ' if also else ''}and asked again and again.",
        )
        shown = story.answer[0]
        rows = list(story.iloc[1:].iterrows())
        for _, row in rows[-1:] if self.renderer.skip_animations else rows:
            share = row.step / max(1, story.step.iloc[-1])
            moved = self.marker.animate.move_to(self.line.point_from_proportion(share))
            stamp = self.swap(stamp, self.stamp(int(row.step)))
            if row.answer == shown:
                self.play(moved, run_time=0.35)
                continue
            new = self.answer(row)
            self.play(moved, FadeOut(said, shift=0.4 * UP), FadeIn(new, shift=0.4 * UP), run_time=0.5)
            self.hold(0.45)
            said, shown = new, row.answer
        self.say(told(story))
        self.finish()

    def answer(self, row: pd.Series) -> Text:
        mark, colour = (RIGHT_MARK, self.colours.right) if row.correct else (WRONG_MARK, self.colours.wrong)
        return sit(fitted(f"{mark} {row.answer}", config.frame_width - 1.2, 96, colour), 0, -0.2, ORIGIN)


class Named(TitleCard):
    """The question, over what training changed."""

    title = "Forgetting"
    shapes = ("16x9", "9x16")
    question = "What does it forget?"
    name = "the film of forgetting"


class Tiles(ForgettingScene):
    """Everything that the model could do, skill by skill, becomes one number."""

    title = "All that it could do"

    def construct(self) -> None:
        # A tile a skill
        scores = self.run.skills.drop(columns=self.run.task, errors="ignore")
        tiles = [self.tile(name, scores[name].iloc[0], at, len(scores.columns)) for at, name in enumerate(scores)]
        self.add(tiles[0], self.stamp(self.first))
        self.say(
            f"{len(tiles)} old skill{'s'[: len(tiles) > 1]}, before training.",
            f"A tile is a skill that the model had: {len(tiles)} of them.",
        )
        if rest := tiles[1:]:
            self.play(LaggedStart(*(FadeIn(one, scale=0.8) for one in rest), lag_ratio=0.25, run_time=1.8))

        # All in one number
        kept = self.path.kept.iloc[0]
        number = self.number(percent(kept)).move_to(ORIGIN)
        self.say("Their mean: one number to follow.")
        self.play(
            LaggedStart(*(one.animate.move_to(ORIGIN).scale(0.15).set_opacity(0) for one in tiles), lag_ratio=0.08),
            FadeIn(number, scale=0.5), run_time=1.8,
        )  # fmt: skip
        self.remove(*tiles)
        self.attend(number)
        self.finish()

    def tile(self, name: str, score: float, at: int, count: int) -> VGroup:
        columns = min(7, max(4, -(-count // 4)))
        wide, high = 13.2 / columns, min(1.5, 5.2 / -(-count // columns))
        rgb = score_rgba(np.array([score]), self.theme)[0, :3]
        box = Rectangle(width=wide - 0.12, height=high - 0.12, stroke_width=4)
        box.set_stroke("#{:02x}{:02x}{:02x}".format(*rgb)).set_fill(self.colours.grid, 0.6)
        words = VGroup(
            fitted(proper(name), wide - 0.4, 32, self.colours.foreground),
            label(percent(score), 36, self.colours.foreground, bold=True),
        ).arrange(DOWN, buff=0.12)
        place = [-6.6 + wide * (at % columns + 0.5), 2.5 - high * (at // columns + 0.5), 0]
        return VGroup(box, words).move_to(place)

    def number(self, text: str) -> Text:
        return label(text, 160, self.colours.foreground, bold=True)


class Curves(ForgettingScene):
    """The new task rises; what do the old skills do? Stop where they are lowest, and guess."""

    title = "Learning, and forgetting"

    def construct(self) -> None:
        # The first steps
        self.chart, self.key = self.curves(), self.keys()
        stop = self.lowest()
        steps = self.corner(f"{self.run_named()}, steps {self.first} to {self.last}")
        self.cursor = Line(self.chart.place(self.first, 0), self.chart.place(self.first, 1), stroke_width=3)
        self.cursor.set_color(self.colours.muted)
        self.add(self.chart.upto(self.first), self.cursor, self.key.show(self.worth(self.first)), steps)
        self.say(
            f"Trained on {proper(str(self.run.task))}, asked about everything.",
            f"Now it is trained on {proper(str(self.run.task))}. Every few steps, where a dot comes to, it is asked "
            "new questions, and all the old ones.",
        )
        self.draw(self.first, stop, 5.0)

        # What next?
        if stop < self.last:
            self.ask(stop)
            self.draw(stop, self.last, 6.0)

        # What came, point by point
        self.say(outcome(self.run, self.path, stop), self.spoken(stop))
        for at in self.turns(stop):
            self.play_in(self.named(at), run_time=0.9)
        self.finish()

    def ask(self, stop: int) -> None:
        """What comes next? A hall guesses."""
        ring = self.chart.mark(stop, self.path.kept[stop], self.colours.foreground)
        self.say(f"Step {stop}: {percent(self.path.kept[stop])} of the old skills. What comes next?")
        ways = self.ways(ring)
        self.play(GrowFromCenter(ring, run_time=0.5))
        self.play(LaggedStart(*(GrowFromPoint(way, ring.get_center()) for way in ways), lag_ratio=0.5, run_time=1.8))
        self.guess(2.0)
        self.say(
            "A, B or C? It goes on.", "Back up, as it is, or further down? The training goes on, on the same data."
        )
        self.play(FadeOut(ways), FadeOut(ring), run_time=0.4)

    def lowest(self) -> int:
        """Where to stop: at the lowest from which the old skills came back, or half way where they never did."""
        later = self.path.kept[::-1].cummax()[::-1]  # the best from each step on
        came = self.path.kept[later - self.path.kept > RETURNED].drop(self.first, errors="ignore")
        return int(came.idxmin()) if len(came) else int(self.path.index[len(self.path) // 2])

    def draw(self, start: int, end: int, seconds: float) -> None:
        """A pen goes along both curves; what they are worth changes where something was measured."""

        def along(show: Callable[[float], object]) -> Callable[[Mobject, float], None]:
            def move(_: Mobject, share: float) -> None:
                show(start + share * (end - start))

            return move

        def stand(step: float) -> None:
            self.cursor.move_to([self.chart.place(step, 0)[0], self.cursor.get_center()[1], 0])

        self.play(
            UpdateFromAlphaFunc(self.chart, along(lambda step: self.chart.upto(step, pen=True))),
            UpdateFromAlphaFunc(self.cursor, along(stand)),
            UpdateFromAlphaFunc(self.key, along(lambda step: self.key.show(self.worth(step)))),
            run_time=seconds, rate_func=lambda t: t,
        )  # fmt: skip

    def worth(self, step: float) -> list[str]:
        """What stands beside the curves' names: the values last measured."""
        last = self.path.loc[: step + 1e-6].iloc[-1]
        return [percent(last.learned), percent(last.kept)]

    def ways(self, ring: Mobject) -> VGroup:
        """Three ways on, each with a letter that a hall can call out."""
        ways = VGroup()
        for letter, angle in zip("ABC", (0.6, 0.0, -0.6), strict=True):
            way = np.array([np.cos(angle), np.sin(angle), 0.0])
            start = ring.get_center() + 0.3 * way
            arrow = Arrow(start, start + 1.3 * way, buff=0, stroke_width=5, color=self.colours.foreground)
            name = label(letter, 40, self.colours.foreground, bold=True).move_to(start + 1.6 * way)
            ways.add(VGroup(arrow, name))
        return ways

    def turns(self, stop: int) -> list[int]:
        """The steps that the outcome speaks of: the lowest, the best after it, the last."""
        return sorted({stop, int(self.path.kept.loc[stop:].idxmax()), self.last})

    def named(self, step: int) -> VGroup:
        """A ring around a measured value of the old skills, and the number."""
        kept = self.path.kept[step]
        ring = self.chart.mark(step, kept, self.colours.foreground)
        x, y, _ = ring.get_center()
        below = self.path.kept.loc[:step].iloc[-2:].iloc[0] > kept
        number = sit(label(percent(kept), 36, self.colours.foreground, bold=True), x, y + 0.5 - below, ORIGIN)
        return VGroup(ring, number)

    def curves(self) -> Chart:
        x = self.path.index.to_numpy(float)
        series = [
            Series("learned", x, self.path.learned.to_numpy(), self.colours.method(self.run.method)),
            Series("kept", x, self.path.kept.to_numpy(), self.colours.W, "dashed"),
        ]
        y = Axis("answered right", 0, 1, {0: "0 %", 0.5: "50 %", 1: "100 %"})
        axis = Axis("step", self.first, self.last, {self.first: f"{self.first}", self.last: f"{self.last}"})
        return Chart(series, 8.2, 4.2, axis, y, self.colours).move_to(LEFT * 1.8 + DOWN * 0.2)

    def keys(self) -> Key:
        looks: list[tuple[str, str, Dash]] = [
            ("new task", self.colours.method(self.run.method), "solid"),
            ("old skills", self.colours.W, "dashed"),
        ]
        return Key(looks, 2.75, 1.6, 4.0, self.colours)

    def spoken(self, stop: int) -> str:
        said = outcome(self.run, self.path, stop)
        if has_returned(self.run, self.path, stop) and is_untaught(self.run):
            return f"{said} Nobody taught it again: for a while it was only covered."
        return said


class Off(ForgettingScene):
    """Take the adapter off: the number is back at once."""

    title = "Take it off"

    def construct(self) -> None:
        # On
        module = watched_module(self.run)
        weight, change = self.run.weight(module), self.run.delta(module, self.last)
        cell, place, view = cell_pixels(weight.shape), LEFT * 3.3 + UP * 0.2, View(turn=-0.5, tilt=0.75, zoom=0.9)
        w = MatrixImage(weight, limit_of(weight), cell, self.colours.W, self.theme, Source(self.run, module, "W"))
        delta = MatrixImage(
            change, limit_of(change), cell, self.colours.delta, self.theme, Source(self.run, module, "delta", self.last)
        )
        stack, stamp = Sheets([w, delta], place).see(view, 0.0), self.stamp(self.last)
        number = self.number(self.path.kept.iloc[-1])
        self.add(stack, number, stamp)
        self.say(
            "The trained model.", f"After training, {percent(self.path.kept.iloc[-1])} of the old answers are right."
        )
        self.attend(number)

        # Off
        adapter = is_adapter(self.run)
        self.say(
            "The change lifts off..." if adapter else "If only the change could be lifted off...",
            "An adapter lies beside the weights, so it can be lifted off." if adapter else
            "What was trained whole can be taken off only by whoever kept the old weights.",
        )  # fmt: skip
        self.play(
            UpdateFromAlphaFunc(stack, lambda group, t: group.see(view, 1.8 * t, [1.0, 1 - 0.7 * t])), run_time=1.8
        )
        number = self.change(number, self.number(self.path.kept.iloc[0]))
        self.say(
            f"...and {percent(self.path.kept.iloc[0])} are back.",
            "And all that it could do is there again: the base was never touched." if adapter else
            "With the old weights, all that it could do is there again.",
        )  # fmt: skip
        self.attend(number)
        self.finish()

    def number(self, share: float) -> VGroup:
        words = sit(label("of the old skills", 40, self.colours.foreground), 3.4, -0.9, ORIGIN)
        return VGroup(label(percent(share), 140, self.colours.foreground, bold=True).move_to([3.4, 0.4, 0]), words)


class Comets(FilmScene):
    """Each way of training is a path: to the right is learning, downwards is forgetting."""

    title = "Learning against forgetting"
    others = ("slow", "full", "mixed")

    def construct(self) -> None:
        # The plane, and where one wants to be
        runs = comparable(self.run, self.others)
        paths = [Path(run, self.colours.method(run.method)) for run in runs]
        names, done = names_of(runs), [0.0] * len(paths)
        plane = Plane(paths, 6.2, 4.4, self.colours).shift(2.6 * LEFT + 0.05 * UP).upto(done)
        self.add(plane, plane.star(), self.stamp(self.run.steps[-1]))
        self.say(
            "Right: learned. Down: forgotten.",
            "To the right is learning, downwards is forgetting. One wants to reach the star.",
        )

        # One after the other
        for at, (name, run) in enumerate(zip(names, runs, strict=True)):
            row = self.row(plane, at, name, run)
            self.say(f"{name}.", f"{name}: one run, one seed.")
            self.play(FadeIn(row, shift=0.2 * LEFT), run_time=0.4)

            def go(one: Plane, share: float, at: int = at) -> None:
                done[at] = share
                one.upto(done)

            self.play(UpdateFromAlphaFunc(plane, go), run_time=2.0, rate_func=lambda t: t)
            done[at] = 1.0
            self.attend(row)
        self.say(
            "One run each: a path is no proof.",
            "One run each, at rates that were not matched: these paths prove nothing. The ledger does.",
        )
        self.finish()

    def row(self, plane: Plane, number: int, name: str, run: Run) -> VGroup:
        path, y = learning_path(run).iloc[-1], 2.1 - 1.3 * number
        return VGroup(
            plane.badge(number).move_to([1.55, y, 0]),
            sit(fitted(name, 4.7, 34, self.colours.method(run.method)), 2.1, y),
            sit(
                label(f"{percent(path.learned)} learned, {percent(path.kept)} kept", 32, self.colours.foreground),
                2.1,
                y - 0.5,
            ),
        )


class Helps(FilmScene):
    """What helps, tried with several seeds: the ledger's intervals, a sentence after the other, on one scale."""

    title = "What helps? The ledger"

    def construct(self) -> None:
        # The first sentence
        found = {name: ledger.claim(name) for name in REMEDIES}
        tried = {name: one for name, one in found.items() if one}
        self.add(self.corner("computed: the embedded model, 95 % intervals"))  # whosever run the film is of
        if not tried:
            self.add(sit(label("Not tried yet with this model.", 48, self.colours.foreground), 0, 0, ORIGIN))
            self.say("What helps? The ledger has tried nothing of it yet.")
            self.finish()
            return
        every = [one for row in tried.values() for one in row.tried]
        self.ends = (min(one.low for one in every), max(one.high for one in every))
        pages = [(name, row, self.page(row)) for name, row in tried.items()]
        head, shown = pages[0][2]
        self.add(head, shown.ground)
        self.say(
            "Trained several times: what does it bring?",
            "Each of these was trained several times. A line is where the true effect likely lies.",
        )

        # One after the other: its intervals, and its answer
        meant = dict(MEANT)
        for name, row, (new_head, new) in pages:
            called = f"{REMEDIES[name][0].upper()}{REMEDIES[name][1:]}"
            if new is not shown:
                self.say(f"{called}?", row.sentence)
                self.play(FadeOut(VGroup(head, shown), shift=0.3 * UP), FadeIn(VGroup(new_head, new.ground)))
                head, shown = new_head, new
            for line in shown.rows:
                self.play(
                    LaggedStart(*(FadeIn(part, shift=0.15 * RIGHT) for part in line), lag_ratio=0.3, run_time=0.7)
                )
            self.add(shown)
            self.attend(shown)
            said = f"{called}: {self.counted(row)}."
            self.say(said, f"{row.sentence} The ledger's answers: {self.counted(row)}. In one: {row.verdict}.")
            self.wait_to_read()
            for answer in dict.fromkeys(self.answers(row)):
                if meaning := meant.pop(answer, ""):  # said once, where it is first needed
                    self.say(f"{answer.capitalize()}: {meaning}.")
        self.finish()

    def page(self, row: ledger.Claim) -> tuple[VGroup, Intervals]:
        """A sentence as the ledger says it, what was measured, and an interval a condition with its answer."""
        shown = Intervals(
            [Interval(one.name, one.low, one.mean, one.high, one.holds) for one in row.tried],
            row.tried[0].unit,
            4.7,
            self.colours,
            self.ends,
            names=5.7,
        )
        head, y = VGroup(), 2.65
        for text, size, color in ((row.sentence, 38, self.colours.foreground), (row.effect, 32, self.colours.muted)):
            for line in lines_of(text, 13.0, size):
                head.add(sit(label(line, size, color), -6.6, y))
                y -= 0.45
        if any(one.name.endswith("to the letter") for one in row.tried):
            head.add(sit(label(GRADED, 32, self.colours.muted), -6.6, -2.85))
        shown.shift([-0.9, 0.75, 0])
        return head, shown

    def answers(self, row: ledger.Claim) -> list[str]:
        return [*(one.holds for one in row.tried), *row.unmeasured]

    def counted(self, row: ledger.Claim) -> str:
        """How often the ledger answers what: "yes in 2, undecided in 2"."""
        answers = self.answers(row)
        return ", ".join(f"{answer} in {answers.count(answer)}" for answer in dict.fromkeys(answers))


class End(EndCard):
    """What the film showed, in numbers."""

    shapes = ("16x9", "9x16")
    asks = "is it better now? How would one know?"
    follows = "evaluation"

    def figures(self) -> list[Figure]:
        path = learning_path(self.run)
        lowest = int(path.kept.idxmin())
        last = Figure(percent(path.kept.min()), f"of the old skills at the lowest, at step {lowest}")
        if lowest == path.index[-1]:  # which is said already
            last = Figure(percent(path.kept.iloc[0]), "of the old skills, with the change taken off")
        return [*learned_and_kept(self.run), last]


# The film's order; Manim itself would go by the alphabet.
SCENES = (Asked, Named, Tiles, Curves, Off, Comets, Helps, End)
