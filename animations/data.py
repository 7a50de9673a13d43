"""The film of the data: a record becomes a conversation, tokens, a mask; its loss glows; clean and noisy data race.

python -m animations.render data          the whole film
manim render animations/data.py Glow      one scene, with stock Manim
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from manim import DOWN, LEFT, FadeIn, Text, VGroup
from transformers import PreTrainedTokenizerBase

from animations.studio.beside import check_alike
from animations.studio.cards import EndCard, Figure, TitleCard, learned_and_kept
from animations.studio.film import FilmScene, shown_run
from animations.studio.runs import training_data
from animations.studio.twofold import AskedTwice
from engine.data import IGNORE, Conversations, Encoded, encode_all, load, of_run, render, with_template
from engine.data.records import digest
from engine.data.tables import read_file
from engine.errors import InputError
from engine.evaluate import last_answer
from engine.evaluate.sides import tokenizer_of
from engine.evaluate.tokens import piece, token_losses
from engine.measure.shares import newcombe
from engine.messages import Message
from engine.run.run import Run
from visualize.mobjects.answers import RIGHT_MARK, WRONG_MARK, AnswerTable, answers_at, questions
from visualize.mobjects.bars import Bars, Row
from visualize.mobjects.chart import Axis, Chart, Series
from visualize.mobjects.text import fitted, label, sit
from visualize.mobjects.tokens import SurpriseScale, TokenBoxes
from visualize.naming import percent

EDGE, WIDE = -6.76, 13.5  # where lines begin, and how long they may be
ROWS, READ = 5, 512  # texts whose tokens glow, and how many tokens of each are read
TRIED = 100  # records that are looked at for one that was learned as a whole


def check(run: Run) -> None:
    """Raises InputError for a run whose training data is not at hand, is no conversations, or of which it is not known
    what of them was learned."""
    if run.info.data.source is None:
        raise InputError(f"run {run.name} does not say where its data is; the film data shows the records themselves")
    if run.info.settings.mask_prompts is None:
        raise InputError(f"run {run.name} does not say if prompts were masked; the film data shows what was learned")
    if all(is_text(conversation) for conversation in data_of(run).train):
        raise InputError(f"run {run.name} learned whole texts; the film data shows how a conversation becomes one")


def check_beside(runs: Mapping[str, Run]) -> None:
    """Raises InputError for two runs that are not what the film says: alike but for their data, of which the one is the
    other's with every other answer exchanged."""
    check_alike(runs, ("clean", "noisy"), {"data"}, "two trainings differ in their data alone")
    for name in {"clean", "noisy"} & runs.keys():
        if runs[name].info.data.digest != digest(training_data(name)):
            raise InputError(
                f"run {runs[name].name} was not trained on the film's {name} data, which its records are shown from; "
                f"give one that was (animations.studio.runs.training_data({name!r})), or none"
            )


data_of = cache(of_run.data_of)  # what the run was trained on, and what it held out


def is_text(conversation: list[Message]) -> bool:
    """Is it a text that is learned as it is, through no template?"""
    return bool(conversation) and conversation[0]["role"] == "text"


def encoded(run: Run, conversations: list[list[Message]]) -> list[Encoded]:
    """Conversations as the run's training took them: cut where it cut, masked where it masked."""
    settings = run.info.settings
    return encode_all(template_of(run), conversations, settings.max_length, settings.mask_prompts is not False)


@cache
def template_of(run: Run) -> PreTrainedTokenizerBase:
    return with_template(tokenizer_of(run))


def example(run: Run) -> list[Message]:
    """The record that the film follows: the first that has an input beside its instruction, or else the first; one that
    was learned as a whole, if there is any."""
    train = [conversation for conversation in data_of(run).train if not is_text(conversation)]
    with_input = [conversation for conversation in train if (record_of(conversation) or {}).get("input")]
    rest: list[Message] | None = None
    for number, conversation in enumerate((*with_input, *train)):
        with suppress(InputError):  # nothing of it is left to learn
            if not encoded(run, [conversation])[0].cut:
                return conversation
            rest = rest or conversation
        if rest and number >= TRIED:
            break
    return rest or train[0]


def record_of(conversation: list[Message]) -> Mapping[str, object] | None:
    """The record as it stands in its file; the conversation knows its place. None where that is in no file."""
    where = getattr(conversation, "where", "")
    stood = re.fullmatch(r"(.+), (?:line|row|record) \d+", where)
    return _records(stood[1]).get(where) if stood and Path(stood[1]).is_file() else None


@cache
def _records(path: str) -> dict[str, Mapping[str, object]]:
    return dict(read_file(Path(path)))


def learned_of(row: Encoded) -> int:
    """How many tokens training learns: nothing predicts the first."""
    return sum(label != IGNORE for label in row.labels[1:])


@cache
def losses_of(run: Run) -> pd.DataFrame:
    """Each token's loss in some held-out conversations, at every captured step."""
    data = data_of(run)
    return token_losses(run, (data.heldout or data.train)[:ROWS], max_length=READ)


class DataScene(FilmScene):
    """What the scenes share: one record of the run's data, and its tokens."""

    def setup(self) -> None:
        super().setup()
        self.conversation = example(self.run)
        self.tokenizer = template_of(self.run)
        (self.encoded,) = encoded(self.run, [self.conversation])
        self.texts = [piece(self.tokenizer, token) for token in self.encoded.ids]
        self.learned = [index for index, label in enumerate(self.encoded.labels) if index and label != IGNORE]
        self.masked = [index for index in range(len(self.texts)) if index not in self.learned]

    def tokens(self, top: float) -> TokenBoxes:
        """The tokens in two lines at most; those that the template added in its colour."""
        boxes = TokenBoxes(self.texts, WIDE, self.theme, 36, lines=2, least=0.8, drop=1.4).at(EDGE, top)
        special = [index for index, token in enumerate(self.encoded.ids) if token in self.tokenizer.all_special_ids]
        return boxes.tint(self.colours.A, special)

    def line(self, text: str, y: float, color: str | None = None, size: int = 36) -> Text:
        return sit(fitted(text, WIDE, size, color or self.colours.foreground), EDGE, y)

    def head(self, text: str, y: float) -> Text:
        return sit(label(text, 32, self.colours.muted), EDGE, y)

    def template(self, y: float) -> VGroup:
        """The conversation through the chat template; what the template added has a colour of its own."""
        whole = render(self.tokenizer, self.conversation, tokenize=False)
        said = "|".join(re.escape(m["content"]) for m in self.conversation if m["content"])
        line, x = VGroup(), EDGE
        for index, part in enumerate(re.split(f"({said})", whole) if said else [whole]):
            if not part.strip():
                continue
            color = self.colours.foreground if index % 2 else self.colours.A
            text = fitted(part.replace("\n", "\N{RETURN SYMBOL}"), EDGE + WIDE - x, 34, color)
            line.add(sit(text, x, y))
            x = text.get_right()[0] + 0.07
            if x > EDGE + WIDE - 1:
                break
        return line


class Asked(AskedTwice):
    """One question, asked of two models while they learn: the one gets it right, and the other may not."""

    title = "Two models, one question"
    others = ("clean", "noisy")
    begins = (
        "One model, trained twice. Which one will know?",
        "This is one model, trained twice, and asked the same again and again while it learns. Which one will know?",
    )

    def pair(self) -> tuple[Run, Run]:
        clean, noisy = (shown_run(name) for name in self.others)
        return clean, noisy

    def ask(self, last: pd.Series) -> None:
        steps = self.pair()[0].steps[-1]
        self.say(
            f"{self.found(last)}, after {steps:,} steps. What was different?",
            f"{self.found(last)} on this question, the first of their test. Both had {steps:,} steps from the same "
            "start. Only what they learned from was different.",
        )

    def found(self, last: pd.Series) -> str:
        if last.right_a and last.right_b:
            return "Both are right"
        return "Only A is right" if last.right_a else "Only B is right" if last.right_b else "Both are wrong"


class Named(TitleCard):
    """The film's question, over what training changed."""

    title = "What does it learn from?"
    question = "What does it learn from?"
    name = "the film of the data"


class Record(DataScene):
    """A record is what user and assistant say; the model's template marks who speaks."""

    title = "From a record to a text"

    def construct(self) -> None:
        # As it stands in the file
        record = record_of(self.conversation)
        fields = [f'"{name}": "{value}"' for name, value in (record or {}).items()]
        where = [str(getattr(self.conversation, "where", ""))]  # of a data set that lies in no file of its own
        shown = VGroup(
            self.head("the record" if fields else "a record, by its place", 2.55),
            *(self.line(f, 1.95 - 0.5 * line) for line, f in enumerate((fields or where)[:3])),
        )
        self.add(self.stamp(), shown)
        self.attend(shown)
        self.say(f"One of {len(data_of(self.run).train):,} records that the model learns from.")

        # A conversation
        self.say("Its fields are what user and assistant say.")
        spoken = [f"{message['role']}:  {message['content']}" for message in self.conversation[:3]]
        self.play_in(
            self.head("a conversation", 0.2), *(self.line(s, -0.4 - 0.5 * line) for line, s in enumerate(spoken))
        )

        # The template
        self.say("The model's own template marks who speaks.")
        self.play_in(self.head("the text that the model reads", -1.75), self.template(-2.4))
        self.finish()


class Tokens(DataScene):
    """The text is cut into tokens, each a number."""

    title = "From a text to tokens"

    def construct(self) -> None:
        # Cut into pieces
        text, boxes = self.template(1.9), self.tokens(-0.1)
        self.add(self.stamp(), self.head("the text", 2.5), text)
        self.say(f"It is cut into {len(self.texts)} tokens: pieces of words.")
        self.play(FadeIn(boxes, target_position=text), FadeIn(self.head("its tokens", 0.7)), run_time=1.0)

        # Numbers
        self.say(f"Each is one of {len(self.tokenizer):,} that the model knows.")
        self.play_in(boxes.below([str(token) for token in self.encoded.ids], 32, self.colours.muted))
        self.say(self.pieces())
        self.finish()

    def pieces(self) -> str:
        """Which word took most tokens, and which one took a single one."""
        words: dict[str, int] = {}
        for text, token in zip(self.texts, self.encoded.ids, strict=True):
            if token in self.tokenizer.all_special_ids:
                continue
            if words and not text.startswith(" ") and text.isalnum():
                word, count = words.popitem()
                words[word + text] = count + 1
            else:
                words[text.strip()] = 1
        longest = max(words, key=lambda word: words[word])
        single = next((word for word in words if words[word] == 1 and word.isalpha()), None)
        also = f", {quoted(single)} one" if single and words[longest] > 1 else ""
        return f"{quoted(longest)} takes {words[longest]} of them{also}."


class Mask(DataScene):
    """Only the answer's tokens are learned: the others are masked. Where the run was told to learn all, all are."""

    title = "Only the answer is learned"

    def header(self) -> Text:
        if self.run.info.settings.mask_prompts is False:
            self.title = "Every token is learned"
        return super().header()

    def construct(self) -> None:
        # Every token is predicted
        boxes = self.tokens(1.9)
        self.add(self.stamp(), boxes)
        self.say("A model predicts each token from those before it.")

        # The question is masked
        marks = [str(label).replace("-", "\N{MINUS SIGN}") for label in self.encoded.labels]
        self.say(self.masking())
        self.play(boxes.animate.tint(self.colours.muted, self.masked), run_time=0.5)
        self.play_in(boxes.below(marks, 32, self.colours.muted))

        # What is left, here and in all of the data
        self.say(self.left())
        self.play(boxes.animate.tint(self.colours.delta, self.learned), run_time=0.5)
        rows = encoded(self.run, data_of(self.run).train)
        learned, every = sum(map(learned_of, rows)), sum(len(row.ids) for row in rows)
        self.say(f"In all {len(rows):,} records: {learned:,} of {every:,} tokens, {percent(learned / every)}.")
        bars = [
            Row("all", every, f"{every:,}", self.colours.W),
            Row("learned", learned, f"{learned:,}", self.colours.delta),
        ]
        self.play_in(Bars("tokens of the training data", bars, every, 7.4, self.colours).at(EDGE, -0.9))
        self.finish()

    def masking(self) -> str:
        """What this run's training did with the question."""
        if self.run.info.settings.mask_prompts is False:
            return "This run masks no question: it is learned, too."
        return "The question is masked: its labels are \N{MINUS SIGN}100."

    def left(self) -> str:
        """What is learned of this record."""
        count, every = len(self.learned), len(self.encoded.ids)
        if self.run.info.settings.mask_prompts is False:
            return f"{count} of {every} tokens are learned; the first is predicted by nothing."
        if self.encoded.cut:
            return f"Only {count} tokens are learned: the answer, as far as {every} tokens reach."
        several = sum(message["role"] == "assistant" for message in self.conversation) > 1
        return (
            f"Only {count} tokens are learned: {'the answers and their ends' if several else 'the answer and its end'}."
        )


class Glow(DataScene):
    """The loss is a sum over tokens: each one's share glows, and fades as it is learned."""

    title = "The loss, token by token"

    def construct(self) -> None:
        # Before training
        self.losses = losses_of(self.run)
        first, last = self.run.steps[0], self.run.steps[-1]
        learned = self.losses[self.losses.learned]
        if learned.empty:
            raise InputError(f"run {self.run.name} held out no answer that begins within {READ} tokens")
        self.limit = float(learned[learned.step == first].loss.max())
        self.losses_of = {key: table.loss.to_numpy() for key, table in learned.groupby(["step", "row"])}
        self.mean = learned.groupby("step").loss.mean()
        beginning = learned[learned.step == first].groupby("row")  # a row whose answer begins too late has none
        self.boxes = {row: self.text(row, line, table) for line, (row, table) in enumerate(beginning)}
        self.stamped = self.stamp(first)
        self.add(self.stamped, SurpriseScale(self.limit, 4.6, self.theme).at(-2.6, -2.55))
        self.show_step(first)
        self.say(f"Before training, right answers surprise: {self.mean[first]:.1f} nats a token.")

        # Training
        self.say("Training takes the surprise out, token by token.")
        for step in self.replay(seconds=12):
            self.show_step(step)

        # What is left
        left = learned[learned.step == last]
        hardest = left.loc[left.loss.idxmax()]
        self.say(
            f"Step {last:,}: {self.mean[last]:.2f} nats a token, "
            f"at most {hardest.loss:.2f}, at {quoted(hardest.text.strip())}."
        )
        self.finish()

    def text(self, row: int, line: int, table: pd.DataFrame) -> TokenBoxes:
        """A question, and its right answer's tokens in boxes."""
        data, y = data_of(self.run), 2.35 - 0.95 * line
        asked, _ = last_answer((data.heldout or data.train)[row]) or ([], "")
        question = asked[-1]["content"] if asked else "(no question)"
        self.add(sit(fitted(question, 5.5, 32, self.colours.muted), EDGE, y))
        boxes = TokenBoxes(list(table.text), 7.7, self.theme).at(-0.95, y)
        self.add(boxes)
        return boxes

    def show_step(self, step: int) -> None:
        for row, boxes in self.boxes.items():
            boxes.glow(self.losses_of[step, row], self.limit)
        self.stamped = self.swap(self.stamped, self.stamp(step))


class Noise(FilmScene):
    """Noise that is known: answers that belong to other questions."""

    title = "Few, or many and noisy?"
    others = ("clean", "noisy")

    def construct(self) -> None:
        # Two sets of data
        clean, noisy = training_data("clean"), training_data("noisy")
        self.truth = {asked_of(c): c[-1]["content"] for c in load(clean.name).train}
        self.first = self.typical(noisy, len(clean.train))
        first = self.records(clean, "clean", EDGE)
        names = " and ".join(self.short(shown_run(name).name, 2.2) for name in self.others)
        self.add(self.corner(f"run {names}"), first)
        self.attend(first)
        self.say(f"{len(clean.train)} records, {percent(self.right(clean))} of the answers right.")

        # The noise is stated
        self.say(f"{len(noisy.train)} records, {percent(self.right(noisy))} right: the others were exchanged.")
        self.play_in(self.records(noisy, "noisy", 0.35))
        self.say("The same model, rate, and steps. Which will answer better?")
        self.finish()

    def right(self, data: Conversations) -> float:
        return float(np.mean([self.truth[asked_of(c)] == c[-1]["content"] for c in data.train]))

    def typical(self, data: Conversations, most: int) -> int:
        """Where four records stand, among so many, that are right as often as all are."""
        right = [self.truth[asked_of(c)] == c[-1]["content"] for c in data.train]
        return min(range(most - 3), key=lambda first: abs(np.mean(right[first : first + 4]) - np.mean(right)))

    def records(self, data: Conversations, name: str, left: float) -> VGroup:
        """Some records of a data set, each answer marked right or wrong."""
        shown = VGroup(
            sit(label(f"{name}: {len(data.train)} records", 36, self.colours.foreground, bold=True), left, 2.45)
        )
        for line, conversation in enumerate(data.train[self.first : self.first + 4]):
            y, answer = 1.65 - 1.1 * line, conversation[-1]["content"]
            good = self.truth[asked_of(conversation)] == answer
            shown.add(sit(fitted(asked_of(conversation), 6.3, 32, self.colours.muted), left, y))
            text = f"{RIGHT_MARK if good else WRONG_MARK} {answer}"
            shown.add(sit(fitted(text, 6.3, 36, self.colours.right if good else self.colours.wrong), left, y - 0.45))
        return shown


class Race(FilmScene):
    """Two real runs from the same start, as long as each other: what each one's data made of it."""

    title = "The race"
    others = ("clean", "noisy")

    def construct(self) -> None:
        # The same start
        self.runs = {name: shown_run(name) for name in self.others}
        self.task, self.last = self.runs["clean"].task or "", self.runs["clean"].steps[-1]
        self.tints = dict(zip(self.others, self.colours.rates[1:], strict=True))
        self.asked = questions(self.runs["clean"].answers, self.task, 2, 0)
        graded, held = self.runs["clean"].graded, self.runs["clean"].questions
        self.asked_in_all = int(graded[self.task].iloc[-1]) if self.task in graded else held
        self.chart, self.shown = self.scores(), list[Text | AnswerTable]()
        self.add(self.chart, *self.heads())
        self.show_step(0)
        self.say("Both begin as the same model, and are asked the same.")

        # The race
        self.say(f"Both learn for {self.last} steps of {self.runs['clean'].info.settings.batch_size} records.")
        self.run = self.runs["clean"]  # whose steps are replayed
        for step in self.replay(seconds=14):
            self.show_step(step)

        # Who won, and by more than chance?
        clean, noisy = (float(run.skills[self.task].iloc[-1]) for run in self.runs.values())
        self.say(f"Held-out answers right: clean {percent(clean)}, noisy {percent(noisy)}.")
        self.say(self.verdict(clean, noisy))
        self.finish()

    def verdict(self, clean: float, noisy: float) -> str:
        """Who won, if the questions can tell: the interval of the difference is without nought."""
        asked = self.asked_in_all
        low, high = newcombe(round(clean * asked), asked, round(noisy * asked), asked)
        share = self.runs["clean"].examples / self.runs["noisy"].examples
        said = f"Clean minus noisy: {100 * low:+.0f} to {100 * high:+.0f} points"
        if low > 0:
            return f"{said}. Here {percent(share)} of the records, but clean, won."
        return f"{said}. {'Here more data won, noise and all' if high < 0 else 'No clear winner here'}."

    def scores(self) -> Chart:
        """Held-out score of both runs over steps; the line's style repeats what its colour says."""
        series = [
            Series.of(run, "skills", self.task, color=self.tints[name], dash="solid" if name == "clean" else "dashed")
            for name, run in self.runs.items()
        ]
        x = Axis("step", 0, self.last, {0: "0", self.last: str(self.last)})
        y = Axis("held-out answers right", 0, 1, {0: "0 %", 0.5: "50 %", 1: "100 %"})
        return Chart(series, 5.2, 3.6, x, y, self.colours).shift(LEFT * 2.85 + DOWN * 0.1)

    def heads(self) -> list[Text]:
        return [
            sit(label(f"trained on {name} data", 34, self.tints[name], bold=True), 0.6, 2.45 - 2.75 * line)
            for line, name in enumerate(self.runs)
        ]

    def show_step(self, step: int) -> None:
        self.remove(*self.shown)
        self.chart.upto(step)
        tables = [AnswerTable(answers_at(run.answers, step, self.asked), 6.1, self.colours).at(0.6, 1.85 - 2.75 * line)
                  for line, run in enumerate(self.runs.values())]  # fmt: skip
        names = " and ".join(self.short(run.name, 2.2) for run in self.runs.values())
        self.shown = [self.corner(f"run {names}, step {step}"), *tables]
        self.add(*self.shown)


def asked_of(conversation: list[Message]) -> str:
    both = last_answer(conversation)
    return both[0][-1]["content"] if both else ""


def quoted(text: str) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{text}\N{RIGHT DOUBLE QUOTATION MARK}"


class End(EndCard):
    """What the film showed, in numbers."""

    others = ("clean", "noisy")
    asks = "and with which settings?"
    follows = "tuning"

    def figures(self) -> list[Figure]:
        clean, noisy = (shown_run(name) for name in self.others)
        figures = []
        for name, run in (("clean", clean), ("noisy", noisy)):
            if run.task in run.skills:
                figures.append(Figure(percent(run.skills[run.task].iloc[-1]), f"right after {name} data"))
        return [*learned_and_kept(self.run)[:1], *figures]


# The film's order; Manim itself would go by the alphabet.
SCENES = (Asked, Named, Record, Tokens, Mask, Glow, Noise, Race, End)
