"""What does a lesson ask, and how is an answer checked? `predict` before looking, `exercise` afterwards."""

import html
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.language.speaking import spoken, tr
from engine.notebook import in_notebook
from engine.reading import whole_number
from lessons.teaching import progress
from lessons.teaching.session import current
from lessons.teaching.showing import display_as, plain, show, show_data, show_form

TRIES = 3


@dataclass
class Prediction:
    """A guess made before looking. `reveal` says what was measured, why, and how the guess compares.

    choices: each with what speaks for or against it, in a sentence. exact: a fact that the shortest training shows as
    well; all else is not judged by the quick preset, which trains too little. In a notebook the guess may also come
    later, and change: once something was measured, the form says how it compares.
    """

    question: str
    choices: Mapping[str, str]
    exact: bool = False
    guess: str | None = None
    measured: str | None = None
    undecided: str = ""
    seed: int | None = None  # of what was measured, as `Session.measured_with` says

    def reveal(self, measured: str | int) -> None:
        """Say what was measured: one of the choices, or its number among them, from 0."""
        if isinstance(measured, int):
            measured = list(self.choices)[measured]
        if measured not in self.choices:
            raise ValueError(f"{measured!r} was measured, but is none of the choices {list(self.choices)}")
        self.measured, self.undecided = measured, ""
        self._say()

    def withhold(self, because: str) -> None:
        """Say why nothing that was measured decides it: a tie, the edge of what was tried, nothing learned."""
        self.measured, self.undecided = None, because
        self._say()

    def _say(self) -> None:
        self.seed = current().measured_with(self.question)
        if current().forms != "data":
            show(self.verdict())
            return
        judged = self.exact or not current().quick
        show_data(
            "reveal", self.verdict(), number=number_of(self), measured=self.measured, undecided=self.undecided,
            why=self.choices[self.measured] if self.measured and judged else "", judged=judged,
        )  # fmt: skip

    def verdict(self) -> str:
        """What was measured and why, and what is said to the guess, which is kept among the student's own."""
        if self.undecided:
            return tr("Not decided: {why}", why=self.undecided)
        assert self.measured is not None, "a verdict follows what was measured"
        if current().quick and not self.exact:
            return tr(
                "Measured: {measured} (but the quick preset trains too little to judge a prediction by it)",
                measured=self.measured,
            )
        reason, measured = self.choices[self.measured], tr("Measured: {measured}", measured=self.measured)
        why = f"\n{tr('Why: {why}', why=reason)}" if reason else ""
        if self.guess is None:
            return f"{measured}{why}"
        right = self.guess == self.measured
        keep("predictions", self.question, self.guess, right, self.seed)
        if right:
            return f"{measured} - {tr('as you predicted.')}{why}"
        of_guess = self.choices[self.guess]
        on_guess = f"\n{tr('On your guess: {why}', why=of_guess)}" if of_guess else ""
        return f"{measured} - {tr('you predicted: {guess}.', guess=self.guess)}{why}{on_guess}"


def predict(question: str, choices: Mapping[str, str] | Sequence[str], *, exact: bool = False) -> Prediction:
    """Ask for a prediction, one of `choices`, before anything is shown.

    choices: {choice: why it is so, or is not}; said with what was measured, of that choice and of the one guessed.
    exact: see `Prediction`. Give each a name of its own: in a notebook one may come back to an earlier question.
    """
    reasons = choices if isinstance(choices, Mapping) else dict.fromkeys(choices, "")
    prediction = Prediction(question, reasons, exact)
    current().questions.append(prediction)
    asks = tr("Predict: {question}", question=question)
    if in_notebook() and current().forms == "data":
        text = f"{asks}\n{_numbered(list(reasons))}"
        show_data("predict", text, number=number_of(prediction), question=question, choices=list(reasons),
                  reasons=list(reasons.values()))  # fmt: skip
        return prediction
    show(asks)
    if in_notebook():
        _choose_in_notebook(prediction)
        return prediction
    show(_numbered(list(reasons)))
    while current().interactive and prediction.guess is None:
        typed = current().console.input(tr("Your prediction (number, or Enter to skip): ")).strip()
        if not typed:
            break
        prediction.guess = chosen(typed, list(reasons))
        if prediction.guess is None:
            show(tr("Please type a number from 1 to {last}.", last=len(reasons)))
    return prediction


def chosen(typed: str, choices: Sequence[str]) -> str | None:
    """The choice whose number, or whose words, were typed; None if it is none of them."""
    number = whole_number(typed)
    if number is not None and 1 <= number <= len(choices):
        return choices[number - 1]
    return next((choice for choice in choices if choice.casefold() == typed.strip().casefold()), None)


def _numbered(choices: Sequence[str]) -> str:
    return "\n".join(f"  {number}. {choice}" for number, choice in enumerate(choices, 1))


def number_of(asked: object) -> int:
    """A question's number among all that were asked, from 1."""
    return 1 + next(place for place, one in enumerate(current().questions) if one is asked)


def keep(kind: progress.Kind, question: str, given: str, right: bool, seed: int | None, code: str = "") -> None:
    """Note an answer among the student's own, with what else tells how it came about.

    seed: of what was measured for the question; None if that hangs on none, so that it is whoever's answers.
    """
    session = current()
    progress.note(
        session.lesson,
        kind,
        question,
        given=given,
        right=right,
        code=code,
        seed=session.given if seed is None else seed,
        quick=session.quick,
        own=session.own,
        language=spoken(),
    )


def _choose_in_notebook(prediction: Prediction) -> None:
    text = _numbered(list(prediction.choices))
    how = f"{text}\n{tr('To choose, run this cell.')}"
    if current().forms == "text":
        display_as({}, how)
        return
    try:
        import ipywidgets
    except ImportError:
        show(text)
        return
    buttons = ipywidgets.RadioButtons(options=list(prediction.choices), value=None, layout={"width": "max-content"})
    said = ipywidgets.HTML()

    def choose(change: dict[str, Any]) -> None:
        prediction.guess = change["new"]
        if prediction.measured is not None or prediction.undecided:
            said.value = html.escape(prediction.verdict()).replace("\n", "<br>")

    buttons.observe(choose, names="value")
    show_form(ipywidgets.VBox([buttons, said]), how)


def numbers(typed: str) -> list[float]:
    """The numbers that these characters may mean; none if they are no number.

    "1,5" is one and a half in half of the world, and "1,500" may be either; so both readings count.
    """
    typed = typed.replace("%", "").replace("\N{MINUS SIGN}", "-").strip()
    forms = [typed, typed.replace(",", ".")] if typed.count(",") == 1 else [typed]
    if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?", typed):
        forms.append(typed.replace(",", ""))
    found = []
    for form in forms:
        with suppress(ValueError):
            found.append(float(form))
    return found


@dataclass(frozen=True)
class Exercise:
    """A question whose answer was measured or computed. `check(answer)` tells whether yours is right, and then why."""

    question: str
    answer: float | str
    hint: str
    tolerance: float = 0.01
    choices: Sequence[str] = ()
    why: str = ""
    seed: int | None = None  # of what was measured, as `Session.measured_with` says

    def _ipython_display_(self) -> None:
        """Nothing: a notebook would print the answer, as the value of the cell that asks."""

    def is_right(self, given: Any) -> bool:
        """Text is compared without case; numbers within `tolerance`, relative, in any way of writing them."""
        if self.choices:
            return chosen(str(given).strip(), self.choices) == self.answer
        if isinstance(self.answer, str):
            return str(given).strip().casefold() == self.answer.casefold()
        margin = self.tolerance * max(1e-12, abs(self.answer))
        return any(abs(number - self.answer) <= margin for number in numbers(str(given)))

    def verdict(self, given: str | float) -> str:
        """What is said to an answer; it is kept among the student's own."""
        right = self.is_right(given)
        keep("exercises", self.question, str(given), right, self.seed)
        return f"{tr('Right.')} {self.why}".strip() if right else tr("Not yet. Hint: {hint}", hint=self.hint)

    def check(self, given: Any) -> bool:
        """Say so. What is no answer yet counts as no try."""
        if given is ...:
            show(tr("Write your answer in place of the dots, run that cell, and then this one."))
            return False
        if isinstance(given, tuple | list):  # 0,39 and -0,39 and 1,000 are (0, 39), (0, 39) and (1, 0): nobody can tell
            show(tr("Python took this for several numbers: write 0.39 for 0,39, and 1000 for 1,000."))
            return False
        show(self.verdict(given))
        return self.is_right(given)


def exercise(
    question: str, answer: float | str, hint: str, tolerance: float = 0.01, choices: Sequence[str] = (), why: str = ""
) -> Exercise:
    """Ask, check, give a hint after a wrong answer and the answer after three. In a notebook: `.check(...)` below.

    choices: the answers to choose from, `answer` among them; else it is a number, or a word. why: said with the answer.
    """
    if choices and answer not in choices:
        raise ValueError(f"the answer {answer!r} is none of the choices {list(choices)}")
    asked = Exercise(question, answer, hint, tolerance, choices, why, current().measured_with(question))
    current().questions.append(asked)
    if in_notebook() and current().forms == "data":
        _as_data(asked)
        return asked
    show(tr("Exercise: {question}", question=question))
    if in_notebook():
        _form_in_notebook(asked)
        return asked
    if choices:
        show(_numbered(choices))
    for _ in range(TRIES if current().interactive else 0):
        typed = current().console.input(tr("Your answer (Enter to skip): ")).strip()
        if typed and asked.check(typed):
            return asked
        if not typed:
            break
    show(tr("The answer: {answer}", answer=plain(answer)), *([why] if why else []))
    return asked


def _as_data(asked: Exercise) -> None:
    asks = tr("Exercise: {question}", question=asked.question)
    text = "\n".join([asks, *([_numbered(asked.choices)] if asked.choices else [])])
    answer = float(asked.answer) if isinstance(asked.answer, int | float | np.number) else asked.answer
    show_data(
        "exercise", text, number=number_of(asked), question=asked.question, answer=answer, shown=plain(asked.answer),
        hint=asked.hint, tolerance=asked.tolerance, choices=list(asked.choices), why=asked.why,
    )  # fmt: skip


def _form_in_notebook(asked: Exercise) -> None:
    above = f"{_numbered(asked.choices)}\n" if asked.choices else ""
    how = above + tr("To answer, run this cell.")
    if current().answered_below:
        if asked.choices:
            display_as({}, _numbered(asked.choices))
        return
    if current().forms == "text":
        display_as({}, how)
        return
    try:
        import ipywidgets
    except ImportError:
        show(above + tr("To answer, write .check(your answer) on what this cell returned."))
        return
    button, said = ipywidgets.Button(description=tr("check")), ipywidgets.HTML()
    if asked.choices:
        box = ipywidgets.RadioButtons(options=list(asked.choices), value=None, layout={"width": "max-content"})
        form = ipywidgets.VBox([box, button])
    else:
        box = ipywidgets.Text(placeholder=tr("your answer"), continuous_update=False)
        form = ipywidgets.HBox([box, button])
    checked = ""

    def check(_: Any) -> None:
        """Once for each answer: a click on the button leaves the field, too, and must not count as a second try."""
        nonlocal checked
        if box.value and box.value != checked:
            checked = box.value
            said.value = html.escape(asked.verdict(box.value))

    def changed(change: Any) -> None:
        """Enter checks what was typed; what was said to another answer goes."""
        nonlocal checked
        said.value, checked = "", ""
        if not asked.choices:
            check(change)

    box.observe(changed, names="value")
    button.on_click(check)
    show_form(ipywidgets.VBox([form, said]), how)
