"""What is to be typed is shown whole, however narrow the terminal is."""

import io

from engine.terminal import Terminal
from lessons.teaching.prose import Prose

NAME = "gradient_accumulation_steps"


def test_a_name_too_long_for_its_column_is_broken_and_not_cut():
    to = io.StringIO()
    Terminal(file=to, width=16).print(Prose(f"| called |\n|---|\n| `{NAME}` |\n"))
    assert NAME in "".join(to.getvalue().split())
