"""The ledger is what its trials say: nothing in it is typed by hand, and its claims are the code's."""

import json
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from glasstune import InputError
from lessons import claims
from lessons.claims.__main__ import main
from lessons.claims.claim import Claim, Results
from lessons.claims.ledger import KEPT, as_json, from_json, keep_rows, kept_rows, markdown, row_of, table
from lessons.claims.readings import kept_when_learned
from lessons.claims.store import read_archive
from lessons.claims.trials import Trial
from lessons.claims.verdict import Says, answer, interval
from lessons.commands.claims import PAGE

ROWS = kept_rows()


@dataclass(frozen=True)
class Toss(Trial):
    """A stand-in for a training: a number that its seed gives."""

    middle: float = 0.0

    def run(self):
        return {"value": self.middle + float(np.random.default_rng(self.seed).normal())}


def toy(**settings):
    high, low = Toss(middle=10), Toss()
    return Claim(
        "specialist", "More is more.", "high minus low", "points", Says(matters=1), (high, low),
        lambda r: {"toss": [a["value"] - b["value"] for a, b in zip(r(high), r(low), strict=True)]}, **settings,
    )  # fmt: skip


def results(claim, seeds):
    every = [trial.with_seed(seed) for seed in seeds for trial in claim.trials]
    return Results({trial: trial.run() for trial in every}, seeds)


def test_every_theme_of_the_course_has_claims_with_sentences_of_their_own():
    assert len({claim.sentence for claim in claims.CLAIMS.values()}) == len(claims.CLAIMS) >= 40
    assert all(claim.trials and claim.effect for claim in claims.CLAIMS.values())


def test_a_row_is_the_mean_of_its_seeds():
    row = row_of(toy(), results(toy(), range(5)))
    assert row.conditions["toss"].values == pytest.approx([10.0] * 5)  # the same luck on both sides
    assert (row.verdict, row.seeds) == ("holds", 5) and row.command.endswith("specialist --seeds 5")


def test_a_condition_that_a_seed_does_not_reach_is_named_and_not_counted():
    claim = toy()
    short = replace(claim, values=lambda r: {**claim.values(r), "never": [None, *[1.0] * (len(r.seeds) - 1)]})
    row = row_of(short, results(claim, range(3)))
    assert list(row.conditions) == ["toss"] and row.missing == {"never": "reached with 2 of 3 seeds"}
    with pytest.raises(InputError, match="no seed"):
        row_of(claim, Results({}, []))


def test_a_row_is_kept_and_read_back(tmp_path):
    path = tmp_path / "claims.json"
    row = row_of(toy(), results(toy(), [0]))  # one seed: its interval has no ends
    keep_rows([row], path)
    (back,) = kept_rows(path=path)
    assert back.conditions["toss"].effect.low == -np.inf and back.verdict == "undecided"
    other = row_of(toy(), results(toy(), range(4)))
    assert keep_rows([other], path)[0].seeds == 4
    with pytest.raises(InputError, match=r"not measured yet; run: python -m lessons.claims format"):
        kept_rows("format", path=path)
    with pytest.raises(InputError, match=r"no claim called .x.; there are: specialist"):
        kept_rows("x", path=path)
    path.write_text("{")
    with pytest.raises(InputError, match="is broken"):
        kept_rows(path=path)


def test_the_committed_ledger_is_the_codes():
    for row in ROWS:
        claim = claims.CLAIMS[row.id]
        assert (row.sentence, row.effect, row.unit) == (claim.sentence, claim.effect, claim.unit)
        for condition in row.conditions.values():
            assert condition.answer == answer(condition.effect, claim.says)


def test_the_committed_ledger_is_what_its_trials_say():
    found = read_archive(KEPT)
    for row in ROWS:
        claim = claims.CLAIMS[row.id]
        again = row_of(claim, Results(found, range(max(1, row.seeds))))
        assert as_json(again) == as_json(row)
        for condition in again.conditions.values():
            assert not row.seeds or interval(condition.values).mean == pytest.approx(condition.effect.mean)


def test_the_page_and_the_table_show_the_committed_rows():
    assert PAGE.read_text(encoding="utf-8") == markdown(ROWS)
    shown = table()
    assert len(shown) == sum(len(row.conditions) for row in ROWS)
    assert [text for text in shown["verdict"] if text] == [row.verdict for row in ROWS]
    assert all(row.command in PAGE.read_text(encoding="utf-8") for row in ROWS)


def test_the_picture_shows_the_rows_numbers():
    figure = claims.plot(ROWS[0].id)
    (ax,) = figure.axes
    drawn = [line.get_xdata()[0] for line in ax.lines if line.get_marker() in ("o", "X", "D")]
    assert drawn == [condition.effect.mean for condition in ROWS[0].conditions.values()]
    plt.close(figure)


def test_json_keeps_every_field():
    for row in ROWS:
        assert as_json(from_json(json.loads(json.dumps(as_json(row))))) == as_json(row)


def test_methods_are_compared_where_the_new_task_is_learned_equally_well():
    run = {"new": [0.0, 0.6, 1.0], "old": [0.9, 0.7, 0.5]}
    assert kept_when_learned(run) == pytest.approx(60)  # half way between the two grades
    assert kept_when_learned({**run, "new": [0.0, 0.1, 0.79]}) is None
    assert kept_when_learned({**run, "new": [0.9, 0.1, 0.79]}) == pytest.approx(90)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cooking"], "no claim called 'cooking'"),
        (["specialist", "--store", "/dev/null/x"], "cannot be written"),
        (["--seeds", "0"], "no whole number from 1 on"),
    ],
)
def test_mistakes_get_one_line(arguments, said, capsys):
    try:
        code = main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    captured = capsys.readouterr().err
    assert code == 2 and said in captured and "Traceback" not in captured


def test_the_list_names_every_claim(capsys):
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    for claim in claims.CLAIMS.values():  # as it is read, which loads nothing, so as it is loaded
        assert f"{claim.id} (" in printed and " ".join(claim.sentence.split()) in " ".join(printed.split())
