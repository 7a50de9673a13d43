"""The report on a data set: every number counted again by hand, and nothing hostile reaches the terminal."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from engine.data import IGNORE, Conversations, encode, load
from engine.data.__main__ import main
from engine.data.overlap import drawn, trained_on
from engine.data.records import digest
from engine.data.report import _spread, histogram, marked_example, normalised, report, show
from engine.evaluate.compare import questions_of
from engine.run.info import MixedIn
from engine.run.run import Run
from engine.terminal import Terminal
from glasstune import Full, InputError, LoRA, finetune
from tests.engine.small import BRIEF


def pair(asked, said):
    return {"prompt": asked, "completion": said}


MESSY = [
    pair("Who?", "me"),  # 0
    pair("Who?", "me"),  # 1: said before, to the letter; said again in 4
    pair("who", "Me!"),  # 2: nearly said before
    pair("Who?", "you"),  # 3: another answer to a question asked before
    pair("Where?", " "),  # 4: an empty answer
    pair("word " * 100, "far beyond"),  # 5: cut before its answer begins
    pair("Count", "one two three " * 20),  # 6: cut within its answer
    {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "No answer"}]},  # 7
    {"messages": [{"role": r, "content": c} for r, c in (("user", "a"), ("assistant", "b")) * 2]},  # 8
]


def at(places):
    return [int(place.removeprefix("record ")) for place in places]


def test_every_finding_is_named_where_it_stands(tokenizer):
    held = [pair("Who?", "me"), pair("WHERE", "here"), pair("What?", "that")]
    found = report(MESSY, tokenizer, held, max_length=40)
    assert at(found.duplicates) == [1] and at(found.near_duplicates) == [2]
    assert at(found.contradictions) == [3] and at(found.empty) == [4]
    assert at(found.cut) == [5, 6] and at(found.dropped) == [5, 7]
    assert at(found.overlap) == [0] and at(found.near_overlap) == [1]
    assert (found.train, found.heldout, found.heldout_from) == (9, 3, "given")
    assert found.forms == {"prompt-completion": 7, "messages": 2}
    assert (found.several_turns, found.with_system) == (1, 1)


def test_lengths_are_the_encoded_ones_before_cutting(tokenizer):
    found = report(MESSY, tokenizer, max_length=40)
    rows = [encode(tokenizer, messages) for messages in load(MESSY).train]
    assert found.lengths.tolist() == [len(row.ids) for row in rows]
    cut = [encode(tokenizer, messages, 40) for messages in load(MESSY).train]
    assert found.answers.tolist() == [sum(label != IGNORE for label in row.labels[1:]) for row in cut]


def test_without_a_heldout_file_it_looks_at_the_split_that_finetune_makes(tokenizer):
    records = [pair(f"Question {n}", f"answer {n}") for n in range(30)] + [pair("Question 1", "again")] * 10
    found = report(records, tokenizer)
    assert (found.train, found.heldout, found.heldout_from) == (36, 4, "split")
    assert report(MESSY, tokenizer).heldout_from == "none"
    assert report("spanish", tokenizer).heldout_from == "given"


@pytest.mark.parametrize("lengths, limit", [([5], 9), (range(3, 200), 50), ([1, 1, 900], 512), ([10, 20], 15)])
def test_the_histogram_counts_each_example_once_and_never_spans_the_limit(lengths, limit):
    bars = histogram(np.array(lengths), limit)
    assert sum(count for _, count in bars) == len(lengths)
    for label, count in bars:
        low, _, high = label.partition("-")
        assert count == sum(int(low) <= n <= int(high or low) for n in lengths)
        assert not int(low) <= limit < int(high or low)


def test_normalised_forgets_case_punctuation_and_spaces_only():
    assert normalised(" Hello,\tWORLD!") == normalised("hello world") != normalised("hello word")
    assert normalised("?!") == "?!" and normalised("x²") != normalised("x³")
    assert normalised("ﬁne Straße") == normalised("fine STRASSE")


@pytest.mark.parametrize(
    "one, other",
    [("-5", "5"), ("\u22125 degrees", "5 degrees"), ("C++", "C"), ("C#", "C"), ("3 + 4", "3 - 4"), ("3 * 4", "3 / 4"),
     ("3 - 4", "3 4"), ("50 %", "50"), ("\u0915\u093f", "\u0915\u0941"), ("x < y", "x > y")],
)  # fmt: skip
def test_normalised_keeps_what_makes_a_difference(one, other):
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    "one, other", [("3+4", "3 + 4"), ("\u22125", "-5"), ("covid-19", "Covid 19"), ("7-3", "7 - 3")]
)
def test_normalised_takes_two_spellings_of_a_sign_as_one(one, other):
    assert normalised(one) == normalised(other)


def test_answers_that_differ_in_any_sign_contradict_each_other(tokenizer):
    said = ["-5", "5", " 5", "C", "c", "C++", "f(x)", "f[x]"]
    found = report([pair("What?", one) for one in said], tokenizer)
    assert at(found.contradictions) == [1, 3, 5, 6, 7]


@pytest.mark.parametrize("lengths", [[1, 2, 100], list(range(1, 22)), [7], [3, 4]])
def test_95_of_100_are_at_most_what_is_said(lengths):
    said = _spread(np.array(lengths))
    least = int(said.rsplit(" ", 1)[1])
    assert np.mean(np.array(lengths) <= least) >= 0.95 and least in lengths
    assert f"{lengths[0]} to {lengths[-1]} an example, median {np.median(lengths):g}," in said


def test_the_example_shows_exactly_the_learned_tokens(tokenizer):
    row = encode(tokenizer, load([pair("Ask", "It is 4.")]).train[0])
    text = marked_example(row, tokenizer).plain
    assert text.count("⟦") == 1 and text.endswith("⟦It is 4.<|end|>⟧") and "Ask" in text.split("⟦")[0]


def test_hostile_text_is_shown_but_does_nothing(tokenizer, tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(pair("\x1b[2J[bold]x[/bold] \u202e", "\x07]0;title\x1b\\ \x9b31m")) + "\n")
    out = io.StringIO()
    show(report(file, tokenizer), tokenizer, Terminal(file=out, width=200))
    assert all(c.isprintable() or c == "\n" for c in out.getvalue())
    assert "\\x1b[2J[bold]x[/bold]" in out.getvalue()


def test_the_command_line(tmp_path, capsys):
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in MESSY))
    assert main([str(file), "--max-length", "40"]) == 0
    said = capsys.readouterr().out
    assert "data set mine" in said and "line 2" in said and "⟦" in said
    for wrong in (
        ["klingon"],
        [str(file), "--max-length", "1"],
        [str(file), "--model", "/nowhere"],
        [str(file), "--heldout", "no.csv"],
    ):
        assert main(wrong) == 2
        said = capsys.readouterr()
        assert said.err.startswith("error: ") and said.err.count("\n") == 1 and not said.out


def test_any_data_set_can_be_mixed_in(tmp_path, capsys):
    mine, other = [pair(f"Ask {n}", "yes") for n in range(10)], [pair(f"Other {n}", "no") for n in range(3)]
    options = {**BRIEF, "steps": 1, "save": False, "batch_size": 4}
    run = finetune("embedded", mine, Full(), out=tmp_path / "a", mix=0.5, mix_with=other, **options)
    assert replace(run.info.data.mixed_in, digest=None) == MixedIn(name="dataset", source=None, examples=10)
    assert run.info.data.train == 10
    run = finetune("embedded", mine, Full(), out=tmp_path / "b", mix=0.2, mix_with="curriculum", **options)
    learned = digest(Conversations("curriculum", drawn("curriculum", 2, 0)[0], []))
    assert run.info.data.mixed_in == MixedIn(name="curriculum", source="curriculum", digest=learned, examples=2)
    with pytest.raises(InputError, match="mix_with does nothing without its share"):
        finetune("embedded", mine, Full(), out=tmp_path / "c", mix_with="spanish", **options)
    with pytest.raises(InputError, match="no task and no file called 'nope'"):
        finetune("embedded", mine, Full(), out=tmp_path / "c", mix=0.1, mix_with="nope", **options)
    assert not (tmp_path / "c").exists()


def test_mixing_draws_on_all_of_the_other_data_before_any_of_it_twice():
    from engine.training.prepare import _mixed_in
    from engine.training.settings import Settings

    other = [pair(f"Other {n}", "no") for n in range(7)]
    drawn = _mixed_in(other, 20, Settings(mix=0.5)).train
    times = [sum(c[0]["content"] == record["prompt"] for c in drawn) for record in other]
    assert sum(times) == 20 and set(times) <= {2, 3}
    assert _mixed_in(other, 20, Settings(mix=0.5)).train == drawn  # the same seed, the same mix


def test_finetune_says_which_held_out_questions_are_trained_on(tmp_path, capsys):
    """Of 20 records 2 are held out: the same question twice may stand on both sides, in other data, in an earlier turn."""
    options = {**BRIEF, "progress": True, "steps": 1, "save": False, "batch_size": 4, "method": LoRA(r=1)}
    same = [pair(f"Ask {n // 4}", f"say {n}") for n in range(20)]
    run = finetune(data=same, out=tmp_path / "a", **options)
    assert run.info.data.heldout == 2
    assert "note: 2 of 2 held-out questions are trained on too" in "".join(capsys.readouterr())
    alone = [pair(f"Ask {n}", f"say {n}") for n in range(20)]
    finetune(data=alone, out=tmp_path / "b", **options)
    finetune(data="spanish", out=tmp_path / "c", **options)
    assert "trained on too" not in "".join(capsys.readouterr())
    run = finetune(data=alone, out=tmp_path / "d", mix=0.5, mix_with=alone, **options)
    assert "note: 2 of 2 held-out questions are trained on too" in "".join(capsys.readouterr())
    assert questions_of(run, alone)[2] is None, "what was mixed in is not at hand"
    (tmp_path / "other.jsonl").write_text("".join(json.dumps(record) + "\n" for record in alone))
    run = finetune(data="spanish", out=tmp_path / "e", mix=0.01, mix_with=str(tmp_path / "other.jsonl"), **options)
    learned = drawn(str(tmp_path / "other.jsonl"), run.info.data.mixed_in.examples, 0)[0]
    assert questions_of(run, alone)[2] == len({c[0]["content"] for c in learned})


def test_what_was_mixed_in_is_trusted_only_while_it_is_what_it_was(tmp_path):
    other, asked = tmp_path / "other.jsonl", [pair(f"Ask {n}", f"say {n}") for n in range(20)]
    other.write_text("".join(json.dumps(record) + "\n" for record in asked))
    run = finetune(
        data="spanish", out=tmp_path / "a", mix=0.01, mix_with=str(other), steps=1, skills=0, save=False, batch_size=4,
        method=LoRA(r=1), answers=False, progress=False,
    )  # fmt: skip
    assert questions_of(run, asked)[2] > 0
    old = Path(shutil.copytree(run.path, tmp_path / "old"))
    told = json.loads((old / "run.json").read_text())
    del told["data"]["mixed_in"]["digest"]
    (old / "run.json").write_text(json.dumps(told))
    assert questions_of(Run.load(old), asked)[2] is None, "nothing says what it was"
    huge = json.loads((run.path / "run.json").read_text())
    huge["data"]["mixed_in"]["examples"] = 2**39
    (old / "run.json").write_text(json.dumps(huge))
    assert questions_of(Run.load(old), asked)[2] is None, "so many are not made to find that they are others"
    other.write_text(other.read_text().replace("Ask ", "Tell "))
    assert questions_of(run, asked)[2] is None, "it has changed since"


def test_calls_of_other_tools_are_other_conversations(tokenizer):
    def talk(city, more="and then?"):
        call = {"type": "function", "function": {"name": "weather", "arguments": {"city": city}}}
        return [
            {"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "user", "content": more}, {"role": "assistant", "content": "It rains."},
        ]  # fmt: skip

    assert trained_on([talk("Rome")], [talk("Bonn")]) == 0 and trained_on([talk("Rome")], [talk("Rome")]) == 1
    assert trained_on([talk("Rome")[:2]], [], [talk("Bonn")]) == 0, "what was answered is a call, and another one"
    assert trained_on([talk("Rome")[:2]], [], [talk("Rome")]) == 1


def test_the_report_counts_as_finetune_does(tokenizer):
    """A question of an earlier turn counts; one whose answer is only read does not."""
    user, answer = ({"role": "user", "content": "Who?"}, {"role": "assistant", "content": "me"})
    held = [{"messages": [user, answer]}]
    for learned, count in (([user, answer, user, answer], 1), ([user, answer | {"weight": 0}, user, answer], 0)):
        data = [{"messages": learned}]
        assert len(report(data, tokenizer, held).overlap) == count
        assert trained_on(load(held).train, load(data).train) == count


def test_a_question_of_an_earlier_turn_is_trained_on():
    ask, say = ({"role": role, "content": role} for role in ("user", "assistant"))
    more = {"role": "user", "content": "and then?"}
    assert trained_on([[ask, say]], [[ask, say, more, say]]) == 1
    assert trained_on([[ask, say, more, say], [more, say]], [[ask, say, more, say]]) == 1
    assert trained_on([[ask, say]], [[ask, say | {"weight": 0}, more, say]]) == 0
    assert trained_on([[ask]], [[ask, say]]) == 0, "nothing is graded"
    other = {"role": "assistant", "content": "another form"}
    assert trained_on([[ask, say]], [[ask, other]]) == 1
    assert (trained_on([[ask, say]], [], [[ask, other]]), trained_on([[ask, say]], [], [[ask, say]])) == (0, 1)


def test_finetune_says_what_it_leaves_out(tmp_path, capsys):
    run = finetune("embedded", MESSY, Full(), out=tmp_path / "a", steps=1, skills=0, save=False, max_length=40)
    assert (run.info.data.dropped, run.info.data.cut) == (2, 1)
    assert "of 9 examples 2 have no answer to learn from" in "".join(capsys.readouterr())
