"""A small lesson that trains nothing, with every kind of question."""

LESSON = """\
# %% [markdown]
# # Small
# A lesson that trains nothing.

# %% tags=["hide-input"]
from lessons.teaching.walk import begin

begin(__name__, lesson="small")

# %% tags=["hide-input"]
import numpy as np

from lessons.teaching.stage import current, exercise, exercise_code, predict, show

measured = 1000 + current().seed

# %%
larger = predict("which is larger?", {"the one": "REASON-ONE.", "the other": "REASON-OTHER."}, exact=True)

# %%
larger.reveal("the other")

# %%
half = measured / 2
exercise("What is it, measured?", answer=measured, hint="HINT-NUMBER", tolerance=1e-6, why="WHY-NUMBER")
exercise("Which?", "B", "HINT-CHOICE", choices=["A", "B"])
show(f"half is {half}")


# %%
def try_double(function):
    assert np.allclose(function(np.arange(3.0)), [0, 2, 4]), "TEST-MESSAGE"


written = exercise_code(
    "write double(x)", try_double, solution="def double(x):\\n    return 2 * x  # SOLUTION", hint="HINT-CODE"
)


# %% tags=["answer"]
def double(x): ...


written.check(double)

# %%
if measured < 0:
    exercise("Never asked?", answer=7, hint="none")
"""
