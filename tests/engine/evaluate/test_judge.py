"""Human judgement: blind, shuffled, resumable to the last line, and counted right."""

import io
import json
import sys

import pytest

from engine.evaluate.judge import main
from engine.evaluate.judging import Judging, Pair, WinRate, in_terminal, judge
from engine.evaluate.metrics import wilson
from engine.terminal import Terminal
from glasstune import InputError

INFO = {"a": "one", "b": "two", "data": "mine", "seed": 0}


def begin(path, count=12, **info):
    return Judging.start(path, INFO | info, lambda: ([(f"question {n}", f"A{n}", f"B{n}") for n in range(count)], []))


def test_both_orders_occur_and_the_seed_decides(tmp_path):
    first, again, other = (begin(tmp_path / f"{n}.jsonl", 40, seed=seed) for n, seed in enumerate((0, 0, 1)))
    assert [p.prompt for p in first.pairs] == [p.prompt for p in again.pairs] != [p.prompt for p in other.pairs]
    assert [p.first for p in first.pairs] == [p.first for p in again.pairs] != [p.first for p in other.pairs]
    assert 8 < sum(p.first == "a" for p in first.pairs) < 32
    assert [p.prompt for p in first.pairs] != sorted((p.prompt for p in first.pairs), key=lambda t: int(t.split()[1]))


@pytest.mark.parametrize("first", "ab")
def test_the_place_chosen_is_given_to_who_stood_there(first):
    pair = Pair(0, "q", "A", "B", first)
    for place in (0, 1):
        assert pair.winner(place) == {"A": "a", "B": "b"}[pair.shown[place]]
    assert pair.winner(None) == "tie"


def test_it_goes_on_where_it_stopped_even_after_a_kill(tmp_path):
    path = tmp_path / "j.jsonl"
    judging = begin(path)
    for place in (0, None, 1):
        judging.judge(judging.pending[0], place)
    with path.open("a") as file:
        file.write('{"event": "judgement", "id": 7, "win')  # half a line
    again = Judging.start(path, INFO, lambda: pytest.fail("the answers are in the file"))
    assert again.winners == judging.winners and len(again.pending) == 9
    assert again.pending == judging.pending
    again.judge(again.pending[0], 0)
    assert len(Judging(path).winners) == 4


def test_another_judging_is_not_mixed_in(tmp_path):
    begin(tmp_path / "j.jsonl")
    with pytest.raises(InputError, match="holds a judging whose b is 'two', not 'three'"):
        begin(tmp_path / "j.jsonl", b="three")
    (tmp_path / "x.jsonl").write_text('{"something": 1}\n')
    with pytest.raises(InputError, match="holds no judging of two runs"):
        Judging(tmp_path / "x.jsonl")
    (tmp_path / "y.jsonl").write_text("{\n")
    with pytest.raises(InputError, match="line 1: not JSON"):
        Judging(tmp_path / "y.jsonl")
    with pytest.raises(InputError, match="cannot be written"):
        begin(tmp_path / "no" / "j.jsonl")


@pytest.mark.parametrize("text", ['{"mine": 1}', '{"mine": 1}\n{"and": 2}'])
def test_a_file_that_is_no_judging_stays_as_it_is(text, tmp_path):
    (tmp_path / "notes.json").write_text(text)
    with pytest.raises(InputError):
        begin(tmp_path / "notes.json")
    assert (tmp_path / "notes.json").read_text() == text


def test_a_run_that_was_made_anew_is_not_judged_by_its_old_answers(tmp_path):
    """The file outlives the run, whose folder and name are the same."""
    path = tmp_path / "j.jsonl"
    begin(path, **{"run of a": "first", "max_new_tokens": 20})
    with pytest.raises(InputError, match="whose run of a is 'first', not 'second'"):
        begin(path, **{"run of a": "second", "max_new_tokens": 20})
    with pytest.raises(InputError, match="whose max_new_tokens is 20, not 30"):
        begin(path, **{"run of a": "first", "max_new_tokens": 30})
    begin(tmp_path / "old.jsonl")  # written before these were: nothing of it is lost
    assert begin(tmp_path / "old.jsonl", **{"run of a": "first", "max_new_tokens": 20}).pairs


def test_the_same_words_twice_are_a_tie_that_nobody_is_asked_about(tmp_path):
    judging = Judging.start(tmp_path / "j.jsonl", INFO, lambda: ([("q", "x", "x"), ("r", "x", "y")], []))
    assert judging.result.ties == 1 and [p.prompt for p in judging.pending] == ["r"]


def test_win_rate_and_its_interval():
    rate = WinRate(wins=6, ties=2, losses=2, first=5)
    assert rate.rate == 0.7 and rate.interval == wilson(7, 10)
    assert "6 won, 2 tied, 2 lost; win rate 70%, 95 % interval 40% to 89%" in rate.sentence("x", "y")
    assert "not settled" in rate.sentence("x", "y")
    assert "so x is better here" in WinRate(30, 0, 2, 0).sentence("x", "y")
    assert "so y is better here" in WinRate(2, 0, 30, 0).sentence("x", "y")
    assert WinRate(0, 0, 0, 0).sentence("x", "y") == "nothing has been judged yet"
    assert WinRate(0, 5, 0, 0).rate == 0.5


def ask(judging, typed, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    out = io.StringIO()
    in_terminal(judging, Terminal(file=out, width=100))
    return out.getvalue()


def test_in_the_terminal(tmp_path, monkeypatch):
    judging = begin(tmp_path / "j.jsonl", 3)
    said = ask(judging, "nonsense\n\n1\nT\nq\n", monkeypatch)
    places = [None if judging.winners.get(p.id) == "tie" else p.shown[0] for p in judging.pairs[:2]]
    assert judging.winners[0] == judging.pairs[0].first and judging.winners[1] == "tie" and places[1] is None
    assert "1 of 3" in said and "1 are left" in said and "one against two" in said
    assert "one" not in said.split("one against two")[0]  # blind until the end
    said = ask(Judging(tmp_path / "j.jsonl"), "2\n", monkeypatch)
    assert "3 of 3" in said and "left" not in said
    assert "1 tied" in said and " of 2\n" in said
    assert "Judgements lie in" in ask(Judging(tmp_path / "j.jsonl"), "", monkeypatch)


def test_the_end_of_input_keeps_what_was_judged(tmp_path, monkeypatch):
    judging = begin(tmp_path / "j.jsonl", 3)
    assert "2 are left" in ask(judging, "1\n", monkeypatch)
    assert len(Judging(tmp_path / "j.jsonl").winners) == 1


def test_hostile_answers_do_nothing_to_the_terminal_or_the_page(tmp_path, monkeypatch):
    bad = "\x1b[2J<script>alert(1)</script>[red]\u202e"
    judging = Judging.start(tmp_path / "j.jsonl", INFO, lambda: ([(bad, bad + "1", bad + "2")], []))
    said = ask(judging, "q\n", monkeypatch)
    assert all(c.isprintable() or c == "\n" for c in said) and "[red]" in said
    pytest.importorskip("ipywidgets")
    from engine.evaluate.widget import widget

    title, answers, *_ = widget(judging).children
    for shown in (title.value, *(child.value for child in answers.children)):
        assert "<script>" not in shown and "&lt;script&gt;" in shown and "\x1b" not in shown


def test_the_widget_judges_like_the_terminal(tmp_path):
    pytest.importorskip("ipywidgets")
    from engine.evaluate.widget import widget

    judging = begin(tmp_path / "j.jsonl", 3)
    first = [pair.first for pair in judging.pairs]
    box = widget(judging)
    title, answers, buttons, result = box.children
    one, tie, two = buttons.children
    assert [judging.pairs[0].shown[n] in answers.children[n].value for n in (0, 1)] == [True, True]
    assert answers.layout.display is None
    one.click()
    assert "question" in title.value and result.value == ""
    tie.click()
    two.click()
    assert [judging.winners[n] for n in range(3)] == [first[0], "tie", "ab"[first[2] == "a"]]
    assert {answers.layout.display, buttons.layout.display} == {"none"} and "win rate" in result.value
    one.click()
    assert len(Judging(tmp_path / "j.jsonl").winners) == 3


def test_the_widget_without_ipywidgets(tmp_path, monkeypatch):
    from engine.evaluate.widget import widget

    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(InputError, match="the widget needs ipywidgets"):
        widget(begin(tmp_path / "j.jsonl", 1))


def test_the_data_has_to_be_what_it_was(lora_run, tmp_path):
    """Another file may have the same name, and a file other questions."""
    data, out = tmp_path / "mine.jsonl", tmp_path / "j.jsonl"

    def written(*words):
        data.write_text("".join(json.dumps({"prompt": f"Say {word}", "completion": word}) + "\n" for word in words))

    def judged():
        return judge(lora_run.path, "base", data=data, count=2, out=out, max_new_tokens=1)

    written("one", "two")
    asked = judged().pairs
    before = out.read_text()
    assert judged().pairs == asked
    written("three", "four")
    with pytest.raises(InputError, match="of other questions than mine holds now; give the data as it was"):
        judged()
    assert out.read_text() == before
    start, *rest = before.splitlines(keepends=True)
    old = {name: value for name, value in json.loads(start).items() if name != "questions"}
    out.write_text(json.dumps(old) + "\n" + "".join(rest))  # from before they were written down
    assert judged().pairs == asked


def test_real_runs(lora_run, full_run, tmp_path, monkeypatch, capsys):
    judging = judge(lora_run.path, full_run.path, count=5, out=tmp_path / "j.jsonl", max_new_tokens=8)
    assert len(judging.pairs) == 5 and (judging.a, judging.b) == ("lora", "full")
    assert [json.loads(line)["event"] for line in (tmp_path / "j.jsonl").read_text().splitlines()][:6] == ["start"] + [
        "pair"
    ] * 5
    assert (judging.info["run of a"], judging.info["run of b"]) == (lora_run.id, full_run.id)
    assert (judging.info["count"], judging.info["max_new_tokens"], judging.info["notes"]) == (5, 8, [])
    short = judge(lora_run.path, "base", count=3, out=tmp_path / "short.jsonl", max_new_tokens=1)
    assert short.info["notes"][0] == "3 of 3 answers of lora are cut at 1 tokens (max_new_tokens)"
    monkeypatch.setattr(sys, "stdin", io.StringIO("q\n"))
    assert (
        main(
            [str(lora_run.path), "base", "--count", "3", "--out", str(tmp_path / "base.jsonl"), "--max-new-tokens", "8"]
        )
        == 0
    )
    assert "Judgements lie in" in capsys.readouterr().out
    for wrong, said in (
        (["nowhere", "base"], "holds no run"),
        ([str(lora_run.path), str(lora_run.path)], "are the same run"),
        ([str(lora_run.path), "base", "--data", "klingon"], "no task and no file"),
        ([str(lora_run.path), "base", "--seed", "9", "--out", str(tmp_path / "base.jsonl")], "whose seed is 0, not 9"),
    ):
        assert main(wrong) == 2
        printed = capsys.readouterr().err
        assert said in printed and printed.count("\n") == 1
    with pytest.raises(SystemExit):
        main([str(lora_run.path), "base", "--count", "0"])
    assert "argument --count: 0 is less than 1" in capsys.readouterr().err
