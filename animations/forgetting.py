"""The film of forgetting: old skills fade while a new one is learned, and what helps, all of it measured.

python -m animations.render forgetting       the whole film
manim render animations/forgetting.py Live   one scene, with stock Manim
"""

from typing import NamedTuple

from manim import LEFT, UP, FadeIn, VGroup

from animations.studio.film import FilmScene, shown_run
from engine.measure.matched import Matched, learning_path, matched
from engine.run.run import Run
from visualize.mobjects.answers import AnswerTable, answers_at, questions
from visualize.mobjects.plane import Path, Plane
from visualize.mobjects.strips import Strips
from visualize.mobjects.text import fitted, label, sit

LEVEL = 0.9  # of the new task: where runs are compared
METHODS = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}
NEAR = 0.02  # less than that is called nothing


def check(run: Run) -> None:
    """Raises InputError for a run that was not graded on its task and on old skills."""
    learning_path(run)


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def differences(run: Run, main: Run) -> str:
    """In what does a run differ from the first? In the words of a lecturer: "full fine-tuning", "LoRA, rate 0.0005"."""
    mine, other = run.info.settings, main.info.settings
    name, found = METHODS.get(run.method, run.method), []
    if run.method != main.method:
        found.append(name)
    elif mine.learning_rate != other.learning_rate:
        found.append(f"{name}, rate {mine.learning_rate:g}")
    if (mine.mix or 0) != (other.mix or 0):
        found.append(f"{mine.mix or 0:.0%} old data")
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
    """What the scenes share: strips of skills at the left, answers at the right, at one step of the run."""

    shows = "lora"

    def setup(self) -> None:
        super().setup()
        self.path = learning_path(self.run)
        self.evaluated = [int(step) for step in self.path.index]
        self.asked = questions(self.run.answers, self.run.task, 1, 5)

    def stand(self, step: int) -> None:
        """Everything as it is at an evaluated step."""
        self.strips = Strips(self.run, 510, 46, self.theme, names=440).at(-3.42, 3.0).upto(step)
        self.stamped, self.table = self.stamp(step), self.answers(step)
        self.add(self.strips, self.stamped, self.table)

    def show_step(self, step: int) -> None:
        self.strips.upto(step)
        self.stamped = self.swap(self.stamped, self.stamp(step))
        self.table = self.swap(self.table, self.answers(step))

    def answers(self, step: int) -> AnswerTable:
        return AnswerTable(answers_at(self.run.answers, step, self.asked), 5.1, self.colours).at(1.6, 2.75)

    def show_steps(self, steps: list[int], each: float) -> None:
        """One evaluation after the other, `each` seconds."""
        for step, seconds in self.in_turn(steps, each):
            self.show_step(step)
            self.hold(seconds)


class Live(ForgettingScene):
    """While the new task is learned, answers that were right turn wrong."""

    title = "Learning, and forgetting"

    def construct(self) -> None:
        # Before training
        first, *later = self.evaluated
        self.stand(first)
        kept, learned = self.path.kept, self.path.learned
        self.say(f"Before training: old skills {percent(kept[first])}, {self.run.task} {percent(learned[first])}.")
        self.say("A row is a skill, a column is a test of it.")

        # Until something is lost
        lost = self.first_lost()
        self.say(f"Now it is trained on {self.run.task}, and on nothing else.")
        if lost:
            self.show_steps([step for step in later if step <= lost.step], each=0.9)
            self.say(f"Step {lost.step}, {lost.prompt} \N{RIGHTWARDS ARROW} {lost.answer}")
            later = [step for step in later if step > lost.step]

        # To the end
        self.say("Further, test by test, in its own words.")
        self.show_steps(later, each=0.9)
        self.say(f"{self.run.task}: {percent(learned[first])} before, {percent(learned.iloc[-1])} after.")
        self.say(self.outcome(kept.iloc[0], kept.iloc[-1]))
        self.finish()

    def first_lost(self) -> "Lost | None":
        """The first of the old answers on screen that was right at the start and is not any more."""
        answers = self.run.answers[self.run.answers.prompt.isin(self.asked) & (self.run.answers.skill != self.run.task)]
        right = set(answers[(answers.step == self.evaluated[0]) & answers.correct.astype(bool)].prompt)
        wrong = answers[answers.prompt.isin(right) & ~answers.correct.astype(bool)].sort_values("step", kind="stable")
        return None if wrong.empty else Lost(int(wrong.step.iloc[0]), wrong.prompt.iloc[0], wrong.answer.iloc[0])

    def outcome(self, before: float, after: float) -> str:
        if before - after < NEAR:
            return f"Nothing was forgotten: {percent(before)} before, {percent(after)} after."
        return f"The old skills: {percent(before)} before, {percent(after)} after."


class Lost(NamedTuple):
    step: int
    prompt: str
    answer: str


class Rewind(ForgettingScene):
    """Is there a moment at which it had learned and not yet forgotten?"""

    title = "Rewind: is there a good moment?"

    def construct(self) -> None:
        # Back, test by test
        self.stand(self.evaluated[-1])
        self.say("All of it was recorded, so time runs back.")
        self.show_steps(self.evaluated[::-1], each=0.3)

        # Until when nothing was lost
        path = self.path
        fallen = path.index[path.kept < path.kept.iloc[0] - NEAR]
        safe = int(path.index[path.index < fallen[0]][-1] if len(fallen) else path.index[-1])
        self.say(f"Up to step {safe} hardly anything is lost.")
        self.show_steps([step for step in self.evaluated if step <= safe], each=0.3)
        self.say(f"By then, {percent(path.learned[safe])} of {self.run.task} is learned.")

        # When it had learned
        found = matched(self.run, LEVEL)
        if found is None:
            self.say(f"{self.run.task} never reaches {percent(LEVEL)}: at most {percent(path.learned.max())}.")
        else:
            self.say(f"{percent(LEVEL)} of {self.run.task} is reached at about step {found.step:.0f}.")
            self.show_steps([step for step in self.evaluated if safe < step], each=0.3)
            self.say(f"Of the old skills {percent(found.kept)} are left then.")

        # Is there a way back?
        if all(self.run.kind(name) == "lora" for name in self.run.modules):
            self.say("But an adapter comes off: the base was never changed.")
            self.show_step(self.evaluated[0])
        self.finish()


class Remedies(FilmScene):
    """From the same start, several trainings side by side."""

    title = "What helps?"
    shows = "lora"
    others = ("slow", "full", "mixed")

    def construct(self) -> None:
        # The first run again, and the others beside it
        self.runs = comparable(self.run, self.others)
        places = [-6.76 + 3.42 * column for column in range(len(self.runs))]
        self.panels = [
            Strips(run, 420, 26, self.theme).at(left, 1.75) for run, left in zip(self.runs, places, strict=True)
        ]
        names = names_of(self.runs)
        titles = VGroup(
            sit(fitted(text, 3.2, 30, self.colours.method(run.method)), left, 2.65)
            for text, run, left in zip(names, self.runs, places, strict=True)
        )
        self.told = self.numbers(0.0)
        self.add(self.stamp(self.run.steps[-1]), self.told, *self.panels)
        self.say("The same model, the same task, other ways.")
        self.play(FadeIn(titles), run_time=0.5)

        # All at once, by the share of their steps
        self.say("Top strip: the new task. Below: the old skills.")
        for share, seconds in self.in_turn([part / 24 for part in range(25)], 0.4):
            for run, panel in zip(self.runs, self.panels, strict=True):
                panel.upto(share * run.skills.index[-1])
            self.told = self.swap(self.told, self.numbers(share))
            self.hold(seconds)
        for name, run in zip(names, self.runs, strict=True):
            learned, kept = learning_path(run).iloc[-1]
            if learned < LEVEL:
                self.say(f"{name}: {percent(learned)} learned, {percent(kept)} kept.")
        self.say(self.outcome(names))
        self.finish()

    def numbers(self, share: float) -> VGroup:
        """Below each panel: its run and step, what is learned, and what is kept."""
        lines = VGroup()
        for run, panel in zip(self.runs, self.panels, strict=True):
            path = learning_path(run)
            known = path.loc[: share * path.index[-1]]
            left, low = panel.image.get_left()[0], panel.below(0.4)
            lines.add(
                sit(fitted(f"{run.name}, step {known.index[-1]}", 3.2, 26, self.colours.muted), left, 2.15),
                sit(label(f"{run.task} {percent(known.learned.iloc[-1])}", 32, self.colours.foreground), left, low),
                sit(label(f"old skills {percent(known.kept.iloc[-1])}", 32, self.colours.foreground), left, low - 0.5),
            )
        return lines

    def outcome(self, names: list[str]) -> str:
        """Which kept most, of those that learned the task?"""
        ends = {name: learning_path(run).iloc[-1] for name, run in zip(names, self.runs, strict=True)}
        able = [name for name, end in ends.items() if end.learned >= LEVEL]
        best = max(able or ends, key=lambda name: ends[name].kept)
        if not able:
            return f"None learned {percent(LEVEL)}. Most is kept by: {best}."
        if len(able) == 1:
            return f"Only one learned {percent(LEVEL)}: {best}."
        return f"Of those that learned {percent(LEVEL)}, most is kept by: {best}."


class Map(FilmScene):
    """Every run as a path: to the right is learning, downwards is forgetting."""

    title = "Learning against forgetting"
    shows = "lora"
    others = ("slow", "full", "mixed")

    def construct(self) -> None:
        # The plane, and where one wants to be
        self.runs = comparable(self.run, self.others)
        paths = [Path(run, self.colours.method(run.method)) for run in self.runs]
        self.plane = Plane(paths, 6.2, 4.6, self.colours).shift(2.7 * LEFT + 0.05 * UP).upto(0.0)
        self.add(self.plane, self.stamp(self.run.steps[-1]))
        self.say("To the right: learned. Downwards: forgotten.")
        self.play(FadeIn(self.plane.star()), run_time=0.4)

        # Every run, from the same start
        names = names_of(self.runs)
        self.say("All begin at the same place; one wants to reach the star.")
        self.play(FadeIn(self.key(names)), run_time=0.4)
        for share, seconds in self.in_turn([part / 48 for part in range(49)], 0.2):
            self.plane.upto(share)
            self.hold(seconds)

        # At the same score
        self.say(f"Compared fairly: where {percent(LEVEL)} of the task is learned.")
        found = [matched(run, LEVEL) for run in self.runs]
        self.play(FadeIn(self.plane.level(LEVEL), self.kept(found)), run_time=0.4)
        self.say(self.outcome(names, found))
        self.finish()

    def key(self, names: list[str]) -> VGroup:
        """The runs' numbers and names, in the order of the paths."""
        rows = VGroup()
        for number, (name, run) in enumerate(zip(names, self.runs, strict=True)):
            color, y = self.colours.method(run.method), 2.1 - 1.2 * number
            rows.add(self.plane.badge(number).move_to([1.55, y, 0]), sit(fitted(name, 4.6, 34, color), 2.1, y))
        return rows

    def kept(self, found: list[Matched | None]) -> VGroup:
        """Below each run's name: what it had kept when it had learned so much."""
        texts = [
            f"{percent(LEVEL)} at step {point.step:.0f}: {percent(point.kept)} kept"
            if point
            else f"{percent(LEVEL)}: never reached"
            for point in found
        ]
        return VGroup(
            sit(label(text, 30, self.colours.foreground), 2.1, 1.6 - 1.2 * line) for line, text in enumerate(texts)
        )

    def outcome(self, names: list[str], found: list[Matched | None]) -> str:
        reached = {name: point.kept for name, point in zip(names, found, strict=True) if point}
        if not reached:
            return f"No run learned {percent(LEVEL)}, so nothing can be compared there."
        if len(reached) == 1:
            return f"Only one got there: {next(iter(reached))}."
        best, worst = max(reached, key=reached.__getitem__), min(reached, key=reached.__getitem__)
        if reached[best] - reached[worst] < NEAR:
            return f"There, all have kept about {percent(reached[best])}."
        return f"Most is kept by: {best}, {percent(reached[best])}."


# The film's order; Manim itself would go by the alphabet.
SCENES = (Live, Rewind, Remedies, Map)
