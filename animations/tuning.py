"""The film of the knobs: three learning rates race over a true loss surface; then warm-up, and when to stop.

python -m animations.render tuning            the whole film
manim render animations/tuning.py Race        one scene, with stock Manim
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import numpy as np
from manim import DOWN, LEFT, RIGHT, Create, Dot, FadeIn, FadeOut, Line, Text, VGroup

from animations.studio.beside import check_alike
from animations.studio.cards import EndCard, Figure, TitleCard
from animations.studio.film import FilmScene, run_in, shown_run
from animations.studio.measures import measured
from engine.errors import InputError
from engine.evaluate.landscape import Landscape, change, measure_landscape
from engine.run.apart import told_apart
from engine.run.base import EMBEDDED
from engine.run.run import Run
from visualize.mobjects.chart import Axis, Chart, Dash, Key, Series
from visualize.mobjects.matrix import units
from visualize.mobjects.surface import SurfaceMap
from visualize.mobjects.text import label, sit
from visualize.naming import percent

POINTS = 31  # along the longer side of the surface: each is a forward pass of every question
OLD = "old skills"
SHORT = ("capital", "opposite", "sound", "plural", "past", "kind", "french", "sum", "difference", "reverse")
STYLES: tuple[Dash, ...] = ("dotted", "solid", "dashed")


def check(run: Run) -> None:
    """Raises InputError for a run that cannot stand beside the film's own, which differ in their learning rate only."""
    own = {"method": "lora", "task": "spanish", "source": EMBEDDED}
    given = {"method": run.method, "task": run.task, "source": run.info.model.source}
    if given != own:
        raise InputError(
            f"the film tuning compares learning rates of lora on spanish with the embedded model; run {run.name} is "
            f"{run.what} with {given['source']}; give a run like those, or none"
        )


def check_beside(runs: Mapping[str, Run]) -> None:
    """Raises InputError for runs of which it is not true what the film says of them all: that one number differs."""
    for run in runs.values():
        check(run)
    rates = ("lora", "rate-low", "rate-high")
    check_alike(runs, rates, {"learning_rate"}, "three trainings differ in their rate alone")
    if len({rate_of(runs[name]) for name in rates if name in runs}) < sum(name in runs for name in rates):
        raise InputError("the film tuning compares three learning rates, and two of these are the same")
    check_alike(runs, ("warm", "cold"), {"warmup"}, "two trainings differ in their warm-up alone")
    if (few := runs.get("small")) and few.task not in few.skills:
        raise InputError(f"run {few.name} was not graded on {few.task}; the film tuning shows when its answers turn")


def rate_of(run: Run) -> float:
    return run.learning_rate


def epochs_of(run: Run) -> float:
    """How often the run saw each of its examples."""
    return run.metrics.index[-1] * run.examples_a_step / run.examples


def final_loss(run: Run) -> float:
    """The median training loss of the last tenth of the steps: one batch says little."""
    losses = run.losses
    return float(losses.iloc[-max(1, len(losses) // 10) :].median())


@cache
def ground_of(*folders: str) -> Landscape:
    """The landscape under the runs in these folders, on the task's held-out questions and on short old ones."""
    runs = [run_in(folder) for folder in folders]

    def make() -> dict[str, Any]:
        from engine.evaluate.compare import questions_of
        from engine.school.curriculum import heldout_examples

        task = questions_of(runs[0], None, 30)[1]
        old = [example.messages for skill in SHORT for example in heldout_examples(skill, 3)]
        return measure_landscape(runs, {str(runs[0].task): task, OLD: old}, POINTS).to_json()

    return Landscape.from_json(measured("landscape", runs, make, points=POINTS, short=SHORT))


def powers(low: float, high: float) -> dict[float, str]:
    """Ticks of a logarithmic axis: the powers of ten on it."""
    return {10.0**n: f"{10.0**n:g}" for n in range(int(np.ceil(np.log10(low))), int(np.floor(np.log10(high))) + 1)}


class TuningScene(FilmScene):
    """What the scenes share: three runs that differ in one number, each with its colour and line style."""

    others = ("rate-low", "rate-high")

    def setup(self) -> None:
        super().setup()
        self.three = sorted([self.run, *(shown_run(name) for name in self.others)], key=rate_of)
        self.labels = dict(zip(self.three, told_apart(self.three), strict=True))  # two folders may share a name
        looks = zip(self.three, self.colours.rates, STYLES, strict=True)
        self.looks = {self.labels[run]: (color, dash) for run, color, dash in looks}
        self.names = {self.labels[run]: f"{rate_of(run):.2g}" for run in self.three}

    def ground(self) -> Landscape:
        """Through the start and the ends of the first two: see `spanning`."""
        low, high = self.others
        return ground_of(*(str(run.path) for run in (shown_run(high), self.run, shown_run(low))))

    def spanning(self) -> list[Run]:
        """The two runs whose ends lie on the plane, the lower rate first."""
        return sorted([shown_run(self.others[1]), self.run], key=rate_of)

    def key(self, left: float, top: float, width: float, worth: str = "") -> Key:
        rows = [(self.names[name], *look) for name, look in self.looks.items()]
        return Key(rows, left, top, width, self.colours, worth, "learning rate")

    def stamp_all(self, step: int) -> Text:
        return self.stamp_several("two more", step)

    def surface(self, ground: Landscape, group: str, left: float, y: float, height: float = 4.4) -> SurfaceMap:
        """One group's map, as large as 9.4 units across and `height` allow; its left edge and middle line lie there."""
        rows, columns = ground.losses[group].shape
        cell = max(2, int(min(9.4 / units(columns), height / units(rows))) // 2 * 2)
        surface = SurfaceMap(ground, group, cell, self.looks, self.colours)
        corner = np.array([left + surface.image.width / 2, y, 0])
        return surface.shift(corner - surface.image.get_center())

    def losses(self, step: int) -> list[str]:
        """Each run's training loss at a step, as captured."""
        return [f"{run.losses.loc[:step].iloc[-1]:.2f}" if step else "" for run in self.three]


class Named(TitleCard):
    """The film's question, over what training changed."""

    title = "The knobs"
    question = "How far should each step go?"
    name = "the film of the settings"


class Rates(TuningScene):
    """Three trainings that differ in one number: the learning rate decides whether one crawls, works or breaks."""

    title = "One number apart"

    def construct(self) -> None:
        # Three runs that differ in one number
        chart = self.chart()
        key = self.key(2.3, 1.9, 4.4, "training loss")
        stamp = self.stamp_all(0)
        self.add(stamp, chart, key)
        self.say(
            "Same model, same data, same order: three learning rates.",
            "Here are three trainings: the same model, the same data in the same order. One number differs, the "
            "learning rate: how far each step goes.",
        )

        # They race
        for step in self.replay(seconds=8, most=60):
            chart.upto(step)
            key.show(self.losses(step))
            stamp = self.swap(stamp, self.stamp_all(step))

        # What came of it
        best, worst = self.ranked()
        self.say(f"Lowest over the last tenth: rate {self.names[self.labels[best]]}, {final_loss(best):.2f} (median).")
        self.say(f"Highest: rate {self.names[self.labels[worst]]}, {final_loss(worst):.2f}.")
        self.finish()

    def ranked(self) -> tuple[Run, Run]:
        order = sorted(self.three, key=final_loss)
        return order[0], order[-1]

    def chart(self) -> Chart:
        series = [
            Series.of(run, "metrics", "loss", color=color, dash=dash)
            for run, (color, dash) in zip(self.three, self.looks.values(), strict=True)
        ]
        low = min(float(np.nanmin(one.y)) for one in series)
        high = max(float(np.nanmax(one.y)) for one in series)
        last = int(max(one.x[-1] for one in series))
        y = Axis("training loss, nats a token (logarithmic)", low, high, powers(low, high), log=True)
        return Chart(series, 7.6, 4.2, Axis("step", 0, last, {0: "0", last: f"{last}"}), y, self.colours).move_to(
            LEFT * 2.4 + DOWN * 0.15
        )


class Plane(TuningScene):
    """A plane through three points that training visited, and at each place on it the loss that was really measured."""

    title = "A true slice of the loss surface"

    def construct(self) -> None:
        # One point is all weights at once
        ground = self.ground()
        surface = self.surface(ground, str(self.run.task), -6.7, -0.1)
        dots, notes = self.marked(ground, surface)
        self.add(self.stamp_all(self.run.steps[-1]), surface.frame)
        self.say(f"One point is a whole model: {change(self.run, 0).size:,} changing weights at once.")
        self.play_in(dots[0], notes[0])

        # The plane through three of them
        self.say("The start and the ends of two runs span a plane.")
        lines = VGroup(Line(dots[0], dot, color=self.colours.muted) for dot in dots[1:])
        self.play(Create(lines), FadeIn(dots[1:]), FadeIn(notes[1:]), run_time=1.0)

        # The loss at each place
        self.say(f"At {surface.values.size} places of it the loss was really measured.")
        self.play(FadeOut(lines), FadeIn(surface), dots.animate.set_z_index(2), run_time=1.2)
        self.attend(surface)
        tone = "Dark" if self.theme == "dark" else "Bright"  # the lowest ground has the background's tone
        self.say(f"{tone} is low; each contour line is a doubling.")
        self.play_in(surface.scale_bar())
        self.finish()

    def marked(self, ground: Landscape, surface: SurfaceMap) -> tuple[VGroup, VGroup]:
        """A dot for the start and for the end of each of the two runs, and beside the map what they are."""
        two = [self.labels[run] for run in self.spanning()]
        ends = [tuple(ground.paths[run][["x", "y"]].iloc[-1]) for run in two]
        looks = [self.colours.foreground, *(self.looks[run][0] for run in two)]
        texts = ["the base", *(f"end, rate {self.names[run]}" for run in two)]
        dots, notes, right = VGroup(), VGroup(), surface.image.get_right()[0]
        for line, (place, color, text) in enumerate(zip([(0.0, 0.0), *ends], looks, texts, strict=True)):
            dots.add(Dot(surface.place(*place), radius=0.14, color=color))
            y = 1.9 - 0.62 * line
            notes.add(
                VGroup(
                    Dot([right + 0.3, y, 0], radius=0.14, color=color),
                    sit(label(text, 32, self.colours.foreground), right + 0.6, y),
                )
            )
        return dots, notes


class Race(TuningScene):
    """The three runs walk over that surface, and leave its plane more or less."""

    title = "The race over that surface"

    def construct(self) -> None:
        # At the start
        ground = self.ground()
        surface = self.surface(ground, str(self.run.task), -6.7, -0.1)
        key = self.key(surface.image.get_right()[0] + 0.3, 1.6, 3.7, "loss")
        stamp = self.stamp_all(0)
        self.add(stamp, surface, key, surface.start())
        self.say("All three start here, at the base model.")

        # They walk
        self.say("The same steps as before, seen from above.")
        for step in self.replay(seconds=8, most=60):
            surface.upto(step)
            key.show(self.losses(step))
            stamp = self.swap(stamp, self.stamp_all(step))

        # How far, and how far off the plane
        _, middle, high = gone = [float(np.linalg.norm(change(run))) for run in self.three]
        self.say(f"The highest rate went {high / middle:.2g} times as far as the middle one.")
        far = self.key(surface.image.get_right()[0] + 0.3, 1.6, 3.7, "distance")
        self.change(key, far.show([f"{distance:.3g}" for distance in gone]))
        self.attend(far)
        missed = max(float(path.outside.max()) for path in ground.paths.values())
        self.say(f"Seen from above: up to {percent(missed)} of a squared distance is off this plane.")
        self.finish()


class OldSkills(TuningScene):
    """The same walk over another surface: the loss on what the model could do before."""

    title = "One walk, two grounds"

    def construct(self) -> None:
        # Two maps of one plane
        ground = self.ground()
        names = {str(self.run.task): 1.45, OLD: -1.55}
        maps = [self.surface(ground, name, -6.7, y, 2.75) for name, y in names.items()]
        titles = [self.title_of(surface, text) for surface, text in zip(maps, ("the new task", OLD), strict=True)]
        stamp = self.stamp_all(0)
        self.add(stamp, *maps, *titles, *(surface.start() for surface in maps))
        self.say("Below: the same places, asked what the base could do before.")

        # The walk on both
        self.say("The same steps, on both.")
        for step in self.replay(seconds=6, most=50):
            for surface in maps:
                surface.upto(step)
            stamp = self.swap(stamp, self.stamp_all(step))

        # What it cost
        self.say("The losses where they really ended, off the plane or not:")
        self.play_in(*(self.ends(surface) for surface in maps))
        task, old = ({run: ground.ends[run][name] for run in self.labels.values()} for name in names)
        best, least = min(task, key=task.__getitem__), min(old, key=old.__getitem__)
        if best == least:
            self.say(f"Rate {self.names[best]} learned most here, and forgot least.")
        else:
            self.say(f"Rate {self.names[best]} learned most here; {self.names[least]} forgot least.")
        self.finish()

    def ends(self, surface: SurfaceMap) -> Key:
        rows = [(self.names[name], *look) for name, look in self.looks.items()]
        key = Key(rows, surface.image.get_right()[0] + 0.5, surface.get_center()[1] + 0.25, 4.0, self.colours)
        return key.show([f"{surface.ground.ends[run][surface.group]:.2f}" for run in self.labels.values()])

    def title_of(self, surface: SurfaceMap, text: str) -> Text:
        words = label(f"loss on {text}", 32, self.colours.foreground, bold=True)
        return sit(words, surface.image.get_right()[0] + 0.5, surface.image.get_top()[1] - 0.3)


class WarmUp(FilmScene):
    """A rate that rises at first against one that begins at its peak: the losses say which was calmer here."""

    title = "Warm-up: does it help here?"
    others = ("warm", "cold")

    def construct(self) -> None:
        # Two schedules
        runs = [shown_run(name) for name in self.others]
        looks: list[tuple[str, Dash]] = [(self.colours.rates[1], "solid"), (self.colours.rates[2], "dashed")]
        rate = self.chart(runs, looks, "learning_rate", LEFT * 3.6)
        loss = self.chart(runs, looks, "loss", RIGHT * 3.4)
        names = ("with warm-up", "without")
        stamp = self.stamp_several("one more", 0, runs[0])
        key = Key([(name, *look) for name, look in zip(names, looks, strict=True)], -6.0, 2.7, 3.0, self.colours)
        self.add(stamp, rate, loss, key)
        # They run
        self.say(
            "Warm-up: the rate rises step by step before it falls.",
            "A high rate, with a warm-up and without. With it, the rate rises step by step before it falls.",
        )
        for step in self.replay(seconds=6, most=60, run=runs[0]):
            rate.upto(step)
            loss.upto(step)
            stamp = self.swap(stamp, self.stamp_several("one more", step, runs[0]))

        # What it did
        peaks = [float(run.losses.iloc[1:].max()) for run in runs]
        ends = [final_loss(run) for run in runs]
        self.say(f"Highest loss after the first step: {peaks[0]:.2f} with, {peaks[1]:.2f} without.")
        better = "lower" if ends[0] < ends[1] else "no lower"
        self.say(f"At the end {ends[0]:.2f} and {ends[1]:.2f}: with warm-up {better} here.")
        self.finish()

    def chart(self, runs: list[Run], looks: list[tuple[str, Dash]], column: str, place: np.ndarray) -> Chart:
        series = [
            Series.of(run, "metrics", column, color=color, dash=dash)
            for run, (color, dash) in zip(runs, looks, strict=True)
        ]
        last, high = int(max(one.x[-1] for one in series)), max(float(np.nanmax(one.y)) for one in series)
        name = "training loss (nats a token)" if column == "loss" else "learning rate"
        y = Axis(name, 0, high, {0: "0", high: f"{high:.2g}"})
        chart = Chart(series, 5.2, 3.0, Axis("step", 0, last, {0: "0", last: f"{last}"}), y, self.colours)
        return chart.move_to(place + DOWN * 0.7)


class Epochs(FilmScene):
    """The same few examples again and again: the training loss goes on falling; the held-out loss need not."""

    title = "When to stop"
    others = ("small",)

    def construct(self) -> None:
        # Two losses
        run = shown_run(self.others[0])
        task, epochs = str(run.task), epochs_of(run)
        held, exact = run.skill_losses[task], run.skills[task]
        looks: list[tuple[str, Dash]] = [(self.colours.rates[0], "solid"), (self.colours.delta, "dashed")]
        chart, rows = self.chart(run, looks, epochs), ["training loss", "held-out loss", "answers right"]
        key = Key([(name, *look) for name, look in zip(rows, looks, strict=False)], 2.2, 1.6, 4.4, self.colours)
        stamp = self.stamp(0, run)
        self.add(stamp, chart, key)
        self.say(
            f"{run.examples} examples, {epochs:g} times over; and questions that it never sees.",
            f"{run.examples} examples, {epochs:g} times over: the loss on what it trains on, and on what it has never "
            "seen, the held-out loss.",
        )

        # Epoch after epoch
        for step, each in self.in_turn([int(step) for step in run.skills.index], min(0.9, 8 / len(run.skills))):
            self.hold(each)
            chart.upto(step)
            key.show([f"{run.losses.loc[:step].iloc[-1]:.2f}" if step else "", f"{held[step]:.2f}"])
            stamp = self.swap(stamp, self.stamp(step, run))

        # Where it turned
        turn, last = int(held.idxmin()), int(held.index[-1])
        self.play_in(chart.mark(turn, float(held[turn]), self.colours.foreground))
        if turn == last:
            self.say(f"Here the held-out loss never turned: {held[last]:.2f} at the end.")
        else:
            self.say(f"Lowest in epoch {turn * epochs / last:.0f}: {held[turn]:.2f}. At the end: {held[last]:.2f}.")
            self.say(f"And the answers? {percent(exact[turn])} right at the turn, {percent(exact[last])} at the end.")
        self.finish()

    def chart(self, run: Run, looks: list[tuple[str, Dash]], epochs: float) -> Chart:
        tables: list[tuple[Literal["metrics", "skill_losses"], str]] = [
            ("metrics", "loss"),
            ("skill_losses", str(run.task)),
        ]
        series = [
            Series.of(run, table, column, color=color, dash=dash)
            for (table, column), (color, dash) in zip(tables, looks, strict=True)
        ]
        last, high = int(series[1].x[-1]), float(max(np.nanmax(one.y) for one in series))
        low = float(min(np.nanmin(one.y) for one in series))
        y = Axis("loss, nats a token (logarithmic)", low, high, powers(low, high), log=True)
        x = Axis("epoch", 0, last, {0: "0", last: f"{epochs:g}"})
        return Chart(series, 6.8, 4.2, x, y, self.colours).move_to(LEFT * 2.4 + DOWN * 0.15)


class End(EndCard):
    """What the film showed, in numbers: the three rates' last losses."""

    others = ("rate-low", "rate-high")
    asks = "what does it forget?"
    follows = "forgetting"

    def figures(self) -> list[Figure]:
        three = sorted([self.run, *(shown_run(name) for name in self.others)], key=rate_of)
        return [
            Figure(f"{final_loss(run):.2f}", f"nats a token at the end, at rate {rate_of(run):.2g}") for run in three
        ]


SCENES = (Rates, Named, Plane, Race, OldSkills, WarmUp, Epochs, End)
