"""Where is a lesson being given? In a terminal, in Jupyter or to nobody: what it may do, and where its runs go."""

import itertools
import os
import zlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from rich.console import Console

from engine.errors import InputError
from engine.language.speaking import tr
from engine.run.base import EMBEDDED
from engine.terminal import Terminal, say
from lessons.teaching.terminals import Abilities

_SMALL = 30  # lines
Forms = Literal["live", "text", "data"]
# The environment's names for what a lesson is about.
NAMED = {"model": "LESSON_MODEL", "data": "LESSON_DATA", "student": "GLASSTUNE_STUDENT"}


def _forms() -> Forms:
    """How forms are shown in a notebook, as the environment variable GLASSTUNE_FORMS says: `live`; as `text`, while
    nobody is there to touch them; or as `data` of which a page draws them."""
    given = os.environ.get("GLASSTUNE_FORMS", "live")
    return next((form for form in get_args(Forms) if form == given), "live")


def _named(what: str) -> str:
    return os.environ.get(NAMED[what], "")


def seed_of(student: str) -> int:
    """A student's own seed, from the name: the same however it is spaced and capitalised; 0 for nobody."""
    name = " ".join(student.split()).casefold()
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) % 100_000 if name else 0


@dataclass
class Session:
    """One giving of a lesson.

    model, data: what the environment variables LESSON_MODEL and LESSON_DATA, or `--model` and `--data`, name in place
    of the lesson's own; empty if nothing.
    student: whose numbers these are (GLASSTUNE_STUDENT); `seed` is theirs, and a lesson's main training takes it.
    questions: all that was asked so far, in order, as `asking` and `coding` have them.
    answered_below: in a notebook, exercises are answered in the cell below instead of in a form.
    """

    lesson: str = "lesson"
    out: Path = Path("runs")
    console: Console = field(default_factory=Terminal)
    quick: bool = False
    film: bool = False
    interactive: bool = False
    model: str = field(default_factory=partial(_named, "model"))
    data: str = field(default_factory=partial(_named, "data"))
    student: str = field(default_factory=partial(_named, "student"))
    given_seed: int | None = None  # in place of the student's
    forms: Forms = field(default_factory=_forms)
    questions: list[Any] = field(default_factory=list)
    answered_below: bool = False
    abilities: Abilities = field(default_factory=Abilities)  # what the terminal can draw
    asked: Any = None  # the exercise whose answer is code, until its cell comes
    pictures: list[Path] = field(default_factory=list)
    _folder: Path | None = None
    _trained: int | None = None  # the seed that was trained with
    _anew: bool = True  # since the lesson began, was nothing trained yet?
    _early: set[str] = field(default_factory=set)  # questions that were measured before anything was trained

    @property
    def seed(self) -> int:
        """What a lesson trains with: the student's, and the same until the lesson begins again."""
        if self._anew or self._trained is None:
            self._trained, self._anew = self.given, False
        return self._trained

    @property
    def given(self) -> int:
        """What the next training from the lesson's beginning takes."""
        return seed_of(self.student) if self.given_seed is None else self.given_seed

    def measured_with(self, question: str) -> int | None:
        """The seed of what was measured for a question by now, and so of its answers, whatever the student is called
        later; None if it hangs on no seed.

        That the lesson began again does not say that all was measured again: its first cell may have been run alone.
        But what was measured before all training once is so each time.
        """
        if self._trained is None:
            self._early.add(question)
        return None if self._anew and question in self._early else self._trained

    @property
    def own(self) -> bool:
        """Is it about a model or data of one's own, not the course's?"""
        return self.model not in ("", EMBEDDED) or bool(self.data)

    def sign(self, student: str) -> None:
        """Say whose numbers these are; and of those that were measured since the lesson began, that they are not."""
        self.student = student
        if not self._anew and self._trained != seed_of(student):
            say(tr("What was measured before this name stood here is of another seed: run the notebook from the top."))

    def begin(self, lesson: str) -> None:
        """The first cell of a lesson, run for the first time or again."""
        self.lesson, self._anew = lesson, True

    @property
    def small(self) -> bool:
        """Does the terminal hold either a cell's prose or its code and what that showed, but not both?"""
        return self.console.height <= _SMALL

    @property
    def folder(self) -> Path:
        """This lesson's own folder: the first `<out>/<lesson>-N` that does not exist, so nothing is overwritten."""
        if self._folder is None:
            numbered = (self.out / f"{self.lesson}-{n}" for n in itertools.count(1))
            self._folder = next(path for path in numbered if not path.exists())
            try:
                self._folder.mkdir(parents=True)
            except OSError as error:
                raise InputError(f"{self.out} cannot be written ({error.strerror}); give another folder") from None
        return self._folder

    @property
    def began(self) -> bool:
        """Has anything been written to `folder` yet?"""
        return self._folder is not None


_session = Session(quick=bool(os.environ.get("GLASSTUNE_QUICK")), out=Path(os.environ.get("GLASSTUNE_RUNS", "runs")))


def configure(session: Session) -> None:
    """Set the session for this process; the walker does, before a lesson's first cell runs."""
    global _session
    _session = session


def current() -> Session:
    return _session
