"""The ledger is what its trials say: nothing in it is typed by hand, and its claims are the code's."""

import ast
import json
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from glasstune import InputError
from lessons.claims import ledger
from lessons.claims.__main__ import main
from lessons.claims.claim import SEEDS, Claim
from lessons.claims.history import HISTORY
from lessons.claims.intervals import mean_effect
from lessons.claims.ledger import CLAIMS, as_json, from_json, keep_rows, kept_rows, rows_of, table, told
from lessons.claims.page import markdown, pictures_folder
from lessons.claims.plot import plot, save
from lessons.claims.store import SHIPPED, Store
from lessons.claims.trials import Trial
from lessons.claims.verdict import EXACT, HOLDS, OPEN, VERDICTS, Says
from lessons.commands.claims import PAGE
from lessons.teaching.sentences import ledger as shown_in_a_lesson


@dataclass(frozen=True)
class Toss(Trial):
    """A stand-in for a training: a number that its seed gives."""

    middle: float = 0.0

    def run(self):
        return {"value": self.middle + float(np.random.default_rng(self.seed).normal())}


def difference(r, middle):
    high, low = r.each(Toss(middle=middle), Toss())
    return mean_effect([a["value"] - b["value"] + a["value"] / 100 for a, b in zip(high, low, strict=True)])


def toy(**conditions):
    return Claim(
        "specialist", "More is more.", "high minus low", "points", Says("more", 2, "two are two"),
        {name: (lambda r, middle=middle: difference(r, middle)) for name, middle in conditions.items()},
        design="Toss.", wrong="Luck.", student="Toss more.",
    )  # fmt: skip


def store_of(path, *middles, seeds=SEEDS):
    store = Store(path)
    for middle in (0, *middles):
        for seed in range(seeds):
            store.put(Toss(seed, middle), Toss(seed, middle).run())
    return store


@pytest.fixture
def rows():
    return kept_rows()


def test_every_theme_of_the_course_has_claims_with_whole_cards():
    assert len({claim.sentence for claim in CLAIMS.values()}) == len(CLAIMS) >= 40 - 5
    for claim in CLAIMS.values():
        texts = (claim.sentence, claim.effect, claim.design, claim.wrong, claim.student, claim.says.why)
        assert all(texts) and claim.conditions, claim.id
        assert claim.source or not claim.quote


def test_a_row_is_computed_from_its_trials(tmp_path):
    (row,) = rows_of(store_of(tmp_path / "t.jsonl", 10), {"specialist": toy(toss=10)})
    assert row.verdict == HOLDS and row.here and row.trials == 2 * SEEDS and row.other_code == 0
    expected = [
        10 + (10 + float(np.random.default_rng(seed).normal())) / 100 for seed in range(SEEDS)
    ]  # the same luck on both sides
    assert row.conditions["toss"].effect.mean == pytest.approx(np.mean(expected), abs=1e-4)


def test_a_missing_arm_is_named_and_never_leaves_that_it_holds(tmp_path):
    store = store_of(tmp_path / "t.jsonl", 10)
    (row,) = rows_of(store, {"specialist": toy(toss=10, other=20)})
    assert list(row.conditions) == ["toss"] and row.missing == ["other"]
    assert (row.verdict, row.on) == (OPEN, "yes: toss; missing: other")
    assert rows_of(Store(tmp_path / "none.jsonl"), {"specialist": toy(toss=10)}) == []
    assert rows_of(store_of(tmp_path / "few.jsonl", 10, seeds=SEEDS - 1), {"specialist": toy(toss=10)}) == []


def test_rows_of_another_base_say_so(tmp_path, monkeypatch):
    store = store_of(tmp_path / "t.jsonl", 10)
    monkeypatch.setattr(ledger, "embedded_digest", lambda: "another")
    (row,) = rows_of(store, {"specialist": toy(toss=10)})
    assert not row.here
    monkeypatch.setattr("lessons.claims.page.embedded_digest", lambda: "another")
    assert "1 of 1 rows are of another base model** than the one that ships (`another`)" in " ".join(
        markdown([row]).split()
    )
    keep_rows([row], tmp_path / "claims.json")
    assert "on another base model" in table(path=tmp_path / "claims.json")["verdict"][0]


def test_a_row_is_kept_and_read_back(tmp_path):
    path = tmp_path / "claims.json"
    (row,) = rows_of(store_of(tmp_path / "t.jsonl", 10), {"specialist": toy(toss=10)})
    keep_rows([row], path)
    assert as_json(kept_rows("specialist", path=path)[0]) == as_json(row)
    with pytest.raises(InputError, match=r"not tried yet; run: python -m lessons.claims format"):
        kept_rows("format", path=path)
    with pytest.raises(InputError, match=r"no claim called .x.; there are: specialist"):
        kept_rows("x", path=path)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match="is broken"):
        kept_rows(path=tmp_path / "broken.json")


def test_what_json_cannot_say_comes_back():
    endless = mean_effect([1.0])
    row = ledger.Row("x", "", "", "", "", 1, {"a": ledger.Condition(endless, "undecided")}, [], OPEN, "", [], 1, 0)
    assert from_json(json.loads(json.dumps(as_json(row)))).conditions["a"].effect == endless
    assert told(mean_effect([np.nan, 1])) and told(mean_effect([np.nan, np.nan])) == "not reached"


def test_the_committed_ledger_is_the_codes(rows):
    for row in rows:
        claim = CLAIMS[row.id]
        assert (row.sentence, row.effect, row.unit) == (claim.sentence, claim.effect, claim.unit)
        assert {*row.conditions, *row.missing} == set(claim.conditions) and row.verdict in VERDICTS
        assert row.verdict not in (HOLDS, EXACT) or not row.missing


def test_the_committed_ledger_is_what_its_trials_say(rows):
    again = {row.id: as_json(row) for row in rows_of(Store(SHIPPED))}
    assert again.keys() == {row.id for row in rows}
    for row in rows:
        now, kept = again[row.id], as_json(row)
        for name, one in now["conditions"].items():
            for field in ("mean", "low", "high"):
                wanted = kept["conditions"][name]["effect"][field]
                assert one["effect"][field] == (wanted if wanted is None else pytest.approx(wanted, rel=1e-3, abs=1e-4))
        assert now["verdict"] == kept["verdict"]


def test_the_page_and_the_table_show_the_committed_rows(rows):
    page = PAGE.read_text(encoding="utf-8")
    without_code = [line for line in markdown(rows).splitlines() if "run by code" not in line]
    assert [line for line in page.splitlines() if "run by code" not in line] == without_code
    assert {path.stem for path in pictures_folder(PAGE).glob("*.png")} == {row.id for row in rows}
    shown = table()
    assert len(shown) == sum(len(row.conditions) + len(row.missing) for row in rows)
    assert all(claim.sentence in page for claim in CLAIMS.values())


def test_the_page_says_how_many_intervals_it_shows(rows):
    many = sum(one.effect.limit != "exact" for row in rows for one in row.conditions.values())
    assert f"This page shows {many} intervals" in PAGE.read_text(encoding="utf-8")


def test_every_claim_of_the_first_ledger_is_accounted_for():
    assert len(HISTORY) == len({past.id for past in HISTORY}) == 44
    for past in HISTORY:
        assert (past.id in CLAIMS) == (past.fate != "withdrawn") and past.why


def test_the_picture_shows_the_rows_numbers(tmp_path, rows):
    figure = plot(rows[0].id)
    (ax,) = figure.axes
    drawn = [line.get_xdata()[0] for line in ax.lines if line.get_marker() in ("o", "X", "D")]
    means = [condition.effect.mean for condition in rows[0].conditions.values()]  # one not reached is no number
    np.testing.assert_array_equal(drawn, means)
    plt.close(figure)
    for name in (rows[1].id, "wedding"):  # another claim's, and what is no picture of ours
        (tmp_path / f"{name}.png").touch()
    save(rows[:1], tmp_path)
    assert {path.stem for path in tmp_path.glob("*.png")} == {rows[0].id, "wedding"}
    assert {path.stem for path in pictures_folder(PAGE).glob("*.png")} == {row.id for row in kept_rows()}


def test_a_lesson_shows_what_is_tried_and_names_what_is_not(rows):
    tried = rows[0].id
    shown = str(shown_in_a_lesson(tried))
    assert rows[0].told in shown and rows[0].how in shown
    if untried := [name for name in CLAIMS if name not in {row.id for row in rows}]:
        assert f"Not yet tried: {untried[0]}" in str(shown_in_a_lesson(tried, untried[0]))


def test_lessons_call_claims_that_there_are():
    called = [
        name.value
        for lesson in Path(PAGE).parents[1].glob("lessons/*.py")
        for node in ast.walk(ast.parse(lesson.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ledger"
        for name in node.args
        if isinstance(name, ast.Constant)
    ]
    assert len(called) > 30 and set(called) <= CLAIMS.keys()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cooking"], "no claim called 'cooking'"),
        (["one-per-cent", "--store", "/dev/null/x", "--out", "/dev/null/y.json"], "cannot be written"),
        (["--jobs", "0"], "no whole number from 1 on"),
        (["one-per-cent", "--no-run", "--out", "notes.txt"], "notes.txt should end in .json"),
    ],
)
def test_mistakes_get_one_line(arguments, said, capsys):
    try:
        code = main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    captured = capsys.readouterr().err
    assert code == 2 and said in captured and "Traceback" not in captured


@pytest.mark.parametrize("name, text", [("x.json", '{"mine": 1}'), ("x.json", "no JSON"), ("x.md", "# My notes")])
def test_nothing_else_is_written_over(name, text, tmp_path, capsys):
    (tmp_path / name).write_text(text)
    assert main(["one-per-cent", "--no-run", "--out", str(tmp_path / "x.json")]) == 2
    assert f"{name} is not what this writes, and stays as it is" in capsys.readouterr().err
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [(name, text)]


def test_the_list_names_every_claim(capsys):
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    for claim in CLAIMS.values():  # as it is read, which loads nothing, so as it is loaded
        assert f"{claim.id} (" in printed and " ".join(claim.sentence.split()) in " ".join(printed.split())


def test_trials_that_were_asked_other_questions_count_as_missing(tmp_path):
    def fourth_answer(r):
        (row,) = r.need([Toss()])
        return mean_effect([row["answers"][3]])

    claim = replace(toy(), conditions={"a": fourth_answer})
    store = Store(tmp_path / "t.jsonl")
    store.put(Toss(), {"answers": [1, 2, 3]})
    with pytest.raises(IndexError):  # today's code and today's trial: a fault
        rows_of(store, {claim.id: claim})
    store.found[Toss()] = store.found[Toss()]._replace(code="before")
    assert rows_of(store, {claim.id: claim}) == []
