"""Does the film say what the ledger's words mean?"""

from typing import get_args

import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations.forgetting import MEANT
from lessons.claims.verdict import Answer


def test_every_answer_of_the_ledger_that_is_neither_yes_nor_no_is_explained():
    assert set(MEANT) == set(get_args(Answer)) - {"yes", "no"}
