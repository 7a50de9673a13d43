"""Loss beside answers: pairs that part are found, all of them, and no others."""

import pandas as pd
import pytest

from engine.measure.disagreement import disagreements, evaluations, pairs
from glasstune import InputError, Run

# Step 2 has the lower loss and the worse answers; step 3 is better in both; step 4 ties with step 3 in answers.
TABLE = pd.DataFrame(
    [("sum", "a", 1, 2.0, 0.5), ("sum", "a", 2, 1.0, 0.3), ("sum", "a", 3, 0.9, 0.8), ("sum", "a", 4, 0.5, 0.8)],
    columns=["skill", "run", "step", "loss", "exact"],
)


def test_the_one_pair_that_parts_is_found():
    found = disagreements(TABLE)
    assert len(found) == 1
    row = found.iloc[0]
    assert (row.low_step, row.high_step, row.in_time) == (2, 1, True)
    assert row.lost == pytest.approx(0.2) and row.low_loss < row.high_loss


def test_ties_count_on_neither_side():
    assert len(pairs(TABLE)) == 5, "six pairs, of which one ties"
    assert pairs(TABLE).agrees.sum() == 4
    assert disagreements(TABLE, least_exact=0.21).empty and disagreements(TABLE, least_loss=1.0).empty


def test_an_earlier_lower_loss_is_not_progress():
    found = disagreements(TABLE.assign(step=[2, 1, 3, 4]))
    assert len(found) == 1 and not found.in_time.any()


def test_skills_are_not_mixed_and_runs_are():
    other = pd.DataFrame([("sort", "a", 1, 0.1, 0.0), ("sum", "b", 9, 3.0, 0.9)], columns=TABLE.columns)
    found = disagreements(pd.concat([TABLE, other], ignore_index=True))
    assert set(found.skill) == {"sum"} and list(found.high_run).count("b") == 4
    assert found.lost.is_monotonic_decreasing


def test_evaluations_are_the_runs(lora_run):
    table = evaluations(lora_run)
    assert len(table) == lora_run.skills.notna().sum().sum()
    for row in table.sample(20, random_state=0).itertuples():
        assert row.exact == lora_run.skills.loc[row.step, row.skill]
        assert row.loss == lora_run.skill_losses.loc[row.step, row.skill]
    assert set(evaluations([lora_run, lora_run], ["spanish"]).skill) == {"spanish"}


def test_what_was_not_graded_is_named(lora_run, monkeypatch):
    with pytest.raises(InputError, match="no skill called 'cooking' was graded; there are"):
        evaluations(lora_run, ["cooking"])
    monkeypatch.setattr(Run, "skills", property(lambda _: pd.DataFrame()))
    with pytest.raises(InputError, match="was not graded"):
        evaluations(lora_run)
