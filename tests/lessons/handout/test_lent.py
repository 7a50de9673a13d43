"""Code that is tried elsewhere finds there what of the lesson is nobody's answer, and nothing else."""

import math
from collections import Counter
from statistics import mean

import numpy as np
import pandas as pd

from engine.language.speaking import tr
from lessons.handout.lent import lent
from lessons.handout.sandbox import Sandbox

LESSON = {
    "math": math, "np": np, "pd": pd, "norm": np.linalg.norm, "exp": np.exp, "Counter": Counter, "average": mean,
    "IGNORE": -100, "RATES": (1.5, [2]), "TASK": "spanish", "NOTHING": None,
    "measured": 3.0, "W": np.ones(3), "HOLDS": [object()], "tr": tr, "unnamed": math,
}  # fmt: skip
LENT = {"math", "np", "pd", "norm", "exp", "Counter", "average", "IGNORE", "RATES", "TASK", "NOTHING"}


def test_modules_what_comes_from_them_and_constants_are_there():
    names = [name for name in LESSON if name != "unnamed"]
    code = f"def used(): return {', '.join(names)}"
    assert set(lent(code, LESSON)) == LENT
    code = (
        "def f(x):\n    return [math.log2(x), norm([3, 4]), float(exp(0)), Counter('aab')['a'], average([1, 3]),\n"
        "            IGNORE, RATES, TASK, NOTHING, int(pd.Series([1, 2]).sum()), int(np.sum([1, 2]))]"
    )
    with Sandbox(code, "f", lent(code, LESSON)) as there:
        assert there.call(8) == [3.0, 5.0, 1.0, 2, 2, -100, (1.5, [2]), "spanish", None, 3, 3]


def test_a_variable_of_the_code_itself_needs_nothing():
    assert lent("def f(np, IGNORE):\n    return np + IGNORE", LESSON) == {}
