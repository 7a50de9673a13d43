"""Text from data, prompts and answers is shown, never obeyed: in the terminal, in HTML, in pictures and in films.

Hypothesis looks for texts that break it, beside a list of the worst that we know.
"""

import html
import io
import re
import unicodedata

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data import encode, load
from engine.errors import printable
from engine.models import load_tokenizer
from engine.run.form import check_record, is_text
from engine.run.info import Data, Method, Model, RunInfo
from engine.terminal import Terminal
from glasstune import InputError, Run
from lessons.teaching.showing import show, table
from lessons.teaching.stage import Session, configure, current
from visualize import plots
from visualize.plots.of_run.answers import shorten
from visualize.theme import theme

WORST = [
    "", " ", "\x1b[2J\x1b[1;1H", "\x1b]0;owned\x07", "\x1b]8;;http://x\x1b\\\\click", "a\rb", "\u202egnp.exe",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</td></table>", "&lt;b&gt;", "'\"><svg onload=1>",
    "[bold]x[/]", "[/]", "$\\frac{1}{$", "$x$", "#set page(", "\\input{/etc/passwd}", "`x`", "{{x}}", "%s %d {0}",
    "👩‍👩‍👧‍👦", "e\u0301\u0301\u0301", "שלום עולם", "مرحبا", "漢字" * 40, "w" * 500, "\ufeffx", "\U000e0041", "\ud800",
    "a\nb\n\n00:00 --> 99:99", "\0", "NaN", "-" * 50,
]  # fmt: skip
ANY = st.text(st.characters(), max_size=80) | st.sampled_from(WORST)
WHOLE = ANY.filter(is_text)  # half a character is refused, by pandas too
TRIES = settings(max_examples=60, deadline=None, derandomize=True)
STEERS = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def steers(text: str) -> bool:
    return any(unicodedata.category(character) in STEERS for character in text if character != "\n")


@TRIES
@given(ANY)
def test_a_sentence_to_the_user_is_one_line_that_steers_nothing(text):
    said = str(InputError(f"no {text} here"))
    assert not steers(said) and "\n" not in said
    assert printable(printable(text)) == printable(text)


@TRIES
@given(WHOLE, WHOLE)
def test_a_lesson_prints_it_as_it_is(name, text):
    before, out = current(), io.StringIO()
    configure(Session(console=Terminal(file=out, width=200)))
    try:
        show(text, pd.DataFrame({name: [text]}, index=[text]))
    finally:
        configure(before)
    assert not steers(out.getvalue())
    if text.strip() and text.isprintable() and text.isascii() and len(text) < 60:
        assert text.strip() in out.getvalue(), "square brackets are text, not markup"
    assert table(pd.DataFrame({name: [text]})).row_count == 1


@TRIES
@given(ANY)
def test_a_notebook_shows_a_runs_words_as_text(text):
    class Named(Run):
        def __init__(self):
            method = Method(options={text or "x": text})
            self.info = RunInfo(method=method, model=Model(name=text), data=Data(name=text), status=text)
            self.steps = []

        name = text

    page = Named()._repr_html_()
    assert set(re.findall(r"</?(\w+)", page)) <= {"table", "caption", "tr", "th", "td"}
    assert html.escape(text) in page


@settings(max_examples=25, deadline=None, derandomize=True)
@given(WHOLE, WHOLE)
def test_a_plot_draws_it_as_text(prompt, answer):
    class Said(Run):
        def __init__(self):
            self.info = RunInfo(method=Method(name="lora"), data=Data(name=prompt))
            self.answers = pd.DataFrame(
                [{"step": at, "skill": "a", "prompt": prompt, "expected": answer, "answer": answer, "correct": bool(at)}
                 for at in (0, 5)]
            )  # fmt: skip

    with theme("dark"):
        ax = plots.plot_answers(Said())
    shown = [text.get_text() for text in ax.texts]
    assert any(shorten(answer, 17) in text for text in shown)
    assert not any(steers(text) for text in shown) and not any(text.get_parse_math() for text in ax.texts)
    plt.close(ax.get_figure())


def test_half_a_character_in_an_answer_is_refused():
    answer = {"step": 1, "skill": "a", "prompt": "b", "expected": "c", "answer": "\ud800", "correct": False}
    whole = {**answer, "answer": "whole"}
    assert (
        check_record(whole, "answers.jsonl") == "" and check_record(answer, "answers.jsonl") == "its answer is no text"
    )


@TRIES
@given(ANY, ANY)
def test_data_of_any_words_keeps_them(question, answer):
    records = [{"prompt": question, "completion": answer}] * 3
    try:
        loaded = load(records)
    except InputError as error:
        assert not question.strip() or not answer.strip() or "surrogate" in str(error) or "\ud800" in question + answer
        return
    assert loaded.train[0][-1]["content"].strip() == answer.strip()


@pytest.mark.parametrize("text", WORST)
def test_every_text_can_be_tokenized_or_is_refused_in_a_sentence(text):
    tokenizer = load_tokenizer("embedded")
    try:
        row = encode(tokenizer, [{"role": "user", "content": text}, {"role": "assistant", "content": text}])
    except InputError as error:
        assert not steers(str(error))
        return
    assert len(row.ids) == len(row.labels)
