"""How does a notebook ask without giving the answer away? What asks, and checks, is packed: no text of it stands there.

It is not a secret, only out of sight: whoever unpacks it reads it, as whoever opens the lesson's file does.
"""

import base64
import zlib
from typing import Any

from engine.language.speaking import tr
from lessons.teaching.asking import Exercise, Prediction
from lessons.teaching.coding import CodeExercise
from lessons.teaching.session import current
from lessons.teaching.showing import show


class NotAsked:
    """Stands for a question that was not asked, as where a model's old skills were not graded. Every answer is fine."""

    answer = ...
    solved = True

    def _ipython_display_(self) -> None:
        """Nothing."""

    def is_right(self, given: Any) -> bool:
        return True

    def check(self, given: Any) -> None:
        show(tr("This was not asked here, so there is nothing to answer."))


def pack(source: str) -> str:
    """Lines of code as one word."""
    return base64.urlsafe_b64encode(zlib.compress(source.encode(), 9)).decode()


def unpack(packed: str) -> str:
    return zlib.decompress(base64.urlsafe_b64decode(packed)).decode()


def ask(packed: str, *, below: bool = False) -> Exercise | CodeExercise | Prediction | NotAsked:
    """Run in the notebook what was packed, and give what it asked: the last, if several.

    below: an exercise is answered in the cells below, not in a form.
    """
    from IPython import get_ipython

    session = current()
    before = len(session.questions)
    session.answered_below = below
    try:
        names: dict[str, Any] = get_ipython().user_ns
        exec(compile(unpack(packed), "<a question>", "exec"), names)
    finally:
        session.answered_below = False
    asked = session.questions[before:]
    return asked[-1] if asked else NotAsked()
