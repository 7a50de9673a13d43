"""How good are answers, compared with the right ones? Exact match, classes, shared words, a required format.

A metric takes what was said and what was right, as texts, and gives one number. Those that judge each answer by
itself are averaged, and shares come with Wilson's interval. A function of one's own is a metric too:

    score(answers, references, ["exact", "token_f1", json_with("name", "age"), my_function])
"""

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, NamedTuple, TypeAlias

from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from engine.errors import InputError
from engine.measure.shares import wilson
from engine.reading import parse_json
from engine.school.curriculum import grade

Each: TypeAlias = Callable[[str, str], float]  # (what was said, what was right) -> a number
Whole: TypeAlias = Callable[[Sequence[str], Sequence[str]], float]


class Score(NamedTuple):
    """One number, and for a share of answers its 95 % interval (else low and high are None)."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Metric:
    """One way to grade answers. each: grades one answer; whole: all of them together (one of the two is given).

    about: one line to show. share: each answer is right or not. classes: it needs answers that are classes.
    """

    name: str
    about: str
    each: Each | None = None
    whole: Whole | None = None
    share: bool = False
    classes: bool = False


# --- each answer by itself -----------------------------------------------------------------------------

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_words(text: str) -> list[str]:
    """The words that SQuAD compares: lower case, without punctuation and English articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def token_f1(answer: str, reference: str) -> float:
    """How many words do the two share? 2PR / (P + R) over bags of words, as SQuAD does (Rajpurkar et al. 2016)."""
    said, right = squad_words(answer), squad_words(reference)
    if not said or not right:
        return float(said == right)  # as SQuAD 2.0: no words are right only where none were asked for
    shared = (Counter(said) & Counter(right)).total()
    return 2 * shared / (len(said) + len(right))


def _json_object(text: str) -> Any:
    try:
        return parse_json(text, strict=True)
    except ValueError:
        return None


def json_with(*keys: str) -> Metric:
    """Share of answers that are one JSON object with (at least) these keys, and nothing around it."""

    def fits(answer: str, _: str) -> bool:
        value = _json_object(answer)
        return isinstance(value, dict) and all(key in value for key in keys)

    named = ", ".join(keys)
    about = f"share that is a JSON object{' with ' * bool(keys)}{named}"
    return Metric(f"json ({named})" if keys else "json", about, fits, share=True)


def matching(pattern: str) -> Metric:
    """Share of answers that a regular expression matches from end to end. Raises InputError if it is none."""
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise InputError(f"{pattern!r} is no regular expression: {error}") from None

    def fits(answer: str, _: str) -> bool:
        return compiled.fullmatch(answer.strip()) is not None

    return Metric(f"format /{pattern}/", "share that the pattern matches", fits, share=True)


# --- answers that are classes --------------------------------------------------------------------------


def _class(text: str) -> str:
    return text.strip().casefold()


def _macro(at: int) -> Whole:
    """Precision, recall or F1 of each class that occurs among the right answers, and their plain mean."""

    def whole(answers: Sequence[str], references: Sequence[str]) -> float:
        said, right = [_class(a) for a in answers], [_class(r) for r in references]
        scores = precision_recall_fscore_support(
            right, said, labels=sorted(set(right)), average="macro", zero_division=0.0
        )
        return float(scores[at])

    return whole


def _accuracy(answers: Sequence[str], references: Sequence[str]) -> float:
    return float(accuracy_score([_class(r) for r in references], [_class(a) for a in answers]))


def _check_classes(name: str, references: Sequence[str]) -> None:
    classes = {_class(reference) for reference in references}
    # Few: each comes twice, and a larger set may have more of them, but not in proportion (252 words are no classes).
    few = min(len(references) / 2, 2 * math.sqrt(len(references)))
    if len(classes) < 2 or len(classes) > few:
        raise InputError(
            f"metric {name!r} does not apply: it is for a few classes that come again and again, but the "
            f"{len(references)} right answers are {len(classes)} different one{'s' * (len(classes) != 1)}; "
            "use exact or token_f1"
        )


METRICS = {
    metric.name: metric
    for metric in (
        Metric("exact", "share that is right to the letter", lambda a, r: grade(r, a), share=True),
        Metric(
            "exact_words",
            "share that is right but for case, punctuation and articles (SQuAD)",
            lambda a, r: squad_words(a) == squad_words(r),
            share=True,
        ),
        Metric("token_f1", "shared words, mean over the answers (SQuAD)", token_f1),
        json_with(),
        Metric("accuracy", "share of right classes", whole=_accuracy, share=True, classes=True),
        Metric("precision", "mean over the classes (macro)", whole=_macro(0), classes=True),
        Metric("recall", "mean over the classes (macro)", whole=_macro(1), classes=True),
        Metric("f1", "mean over the classes (macro)", whole=_macro(2), classes=True),
    )
}

AnyMetric: TypeAlias = str | Metric | Each


def get_metric(metric: AnyMetric) -> Metric:
    """A metric by its name, one made by `json_with` or `matching`, a function, or "package.module:function".

    A function takes an answer and the right one and gives a number (or True and False), which is averaged.
    Raises InputError for anything else.
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str) and ":" in metric:
        try:
            metric = resolve_name(metric)
        except (ImportError, AttributeError, ValueError) as error:
            raise InputError(f"no function {metric!r}: {error}") from None
    if callable(metric):
        return Metric(getattr(metric, "__name__", "own"), "your function, mean over the answers", metric)
    if metric not in METRICS:
        raise InputError(f"no metric called {metric!r}; there are {', '.join(METRICS)}, or module:function")
    return METRICS[metric]


def check_applies(metrics: Iterable[AnyMetric], references: Sequence[str]) -> list[Metric]:
    """The metrics, after a look at the right answers: before an hour of generating, not after. Raises InputError."""
    if not references:
        raise InputError("there is nothing to grade: no conversation has an answer")
    found = [get_metric(metric) for metric in metrics]
    for metric in found:
        if metric.classes:
            _check_classes(metric.name, references)
    return found


def score(
    answers: Sequence[str], references: Sequence[str], metrics: Iterable[AnyMetric] = ("exact", "token_f1")
) -> dict[str, Score]:
    """How good are the answers? Each metric's number by its name. Raises InputError for one that does not apply."""
    if len(answers) != len(references):
        raise InputError(f"there are {len(answers)} answers but {len(references)} right ones")
    return {metric.name: _score(metric, answers, references) for metric in check_applies(metrics, references)}


def _score(metric: Metric, answers: Sequence[str], references: Sequence[str]) -> Score:
    if metric.each is None:
        assert metric.whole is not None
        value = metric.whole(answers, references)
    else:
        grades = [_grade(metric, at, *both) for at, both in enumerate(zip(answers, references, strict=True))]
        value = math.fsum(grades) / len(grades)
    return Score(value, *(wilson(value * len(answers), len(answers)) if metric.share else ()))


def _grade(metric: Metric, at: int, answer: str, reference: str) -> float:
    assert metric.each is not None
    try:
        return float(metric.each(answer, reference))
    except Exception as error:  # a user's own function may raise anything; the cause stays attached
        raise InputError(
            f"metric {metric.name!r} gives no number for answer {at + 1}: {type(error).__name__}: {error}"
        ) from error
