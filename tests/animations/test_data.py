"""The film of the data: boxes glow with measured losses, the mask is what training learns, the race says who won."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from msgspec.structs import replace

from animations import data
from animations.studio.preview import walk
from animations.studio.runs import RECIPES, training_data
from engine.data import IGNORE, encode, load
from engine.models import load_tokenizer
from engine.run.info import Data
from glasstune import InputError
from visualize.mobjects.tokens import TokenBoxes
from visualize.naming import percent
from visualize.theme import glow_rgba


def boxes_of(beat):
    return [(part, shown) for part, shown in beat.drawn if isinstance(part, TokenBoxes)]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_boxes_glow_with_the_losses_that_were_measured_at_the_stamps_step(theme, walked, lora_run):
    measured = data.losses_of(lora_run)
    measured = measured[measured.learned]
    for beat in walked(data.Glow, theme).beats:
        (stamp,) = [word.text for word in beat.words if word.text.startswith("run ")]
        step = int(re.search(r"step (\d+)", stamp)[1])
        shown = boxes_of(beat)
        assert len(shown) == data.ROWS
        for row, (boxes, values) in enumerate(shown):
            truth = measured[(measured.step == step) & (measured.row == row)].loss.to_numpy()
            np.testing.assert_array_equal(values[:, 0], truth[: len(values)])
            colours = glow_rgba(values[:, 0].astype(np.float32), boxes.limit, theme)[:, :3]
            np.testing.assert_allclose(values[:, 1:], colours, atol=1)


def test_the_mask_is_what_training_learns(walked):
    scene = walked(data.Mask).scene
    row = encode(load_tokenizer(), scene.conversation)
    assert scene.learned == [at for at, label in enumerate(row.labels) if label >= 0]
    rows = [encode(load_tokenizer(), conversation) for conversation in load("spanish").train]
    learned, every = sum(one.trained for one in rows), sum(len(one.ids) for one in rows)
    assert f"{learned:,} of {every:,} tokens" in scene.captions[-1].text


def test_a_record_is_shown_as_it_stands_in_its_file(walked):
    record = data.record_of(walked(data.Record).scene.conversation)
    assert record and record["input"], "the first that has an input"
    words = [word.text for word in walked(data.Record).beats[-1].words]
    assert all(f'"{field}": "{value}"' in words for field, value in record.items())


def test_the_race_says_what_the_runs_scored(walked, film_runs):
    said = [caption.text for caption in walked(data.Race).scene.captions]
    clean, noisy = (film_runs[name].skills["spanish"].iloc[-1] for name in ("clean", "noisy"))
    assert f"clean {percent(clean)}, noisy {percent(noisy)}" in said[-2]


@pytest.mark.parametrize("clean, noisy, said", [(0.9, 0.4, "but clean, won"), (0.4, 0.9, "more data won"),
                                                (0.5, 0.52, "No clear winner")])  # fmt: skip
def test_the_race_has_a_winner_only_if_the_questions_can_tell(clean, noisy, said, walked, monkeypatch):
    scene = walked(data.Race).scene
    monkeypatch.setattr(scene, "asked_in_all", 100)
    assert said in scene.verdict(clean, noisy)


def test_clean_and_noisy_data_are_what_the_film_says():
    clean, noisy, whole = training_data("clean"), training_data("noisy"), training_data("lora")
    truth = {data.asked_of(c): c[-1]["content"] for c in whole.train}
    wrong = [truth[data.asked_of(c)] != c[-1]["content"] for c in noisy.train]
    assert len(clean.train) == len(whole.train) // 4 and all(c in whole.train for c in clean.train)
    assert len(noisy.train) == len(whole.train) and sum(wrong) == len(wrong) // 2
    assert clean.heldout == noisy.heldout == whole.heldout, "both are asked the same"
    assert RECIPES["clean"].settings == RECIPES["noisy"].settings


def test_a_run_without_its_data_is_refused(pirate_run):
    run = type(pirate_run).load(pirate_run.path)
    run.info = replace(run.info, data=Data(name="mine"))
    with pytest.raises(InputError, match="does not say where its data is"):
        data.check(run)


def told(run, **settings):
    """The same run, as if its training had been told otherwise."""
    other = type(run).load(run.path)
    other.info = replace(other.info, settings=replace(other.info.settings, **settings))
    return other


@pytest.mark.parametrize("settings, title, masking, left", [
    ({}, "Only the answer is learned", "question is masked", "the answer and its end"),
    ({"mask_prompts": False}, "Every token is learned", "masks no question", "tokens are learned; the first"),
    ({"max_length": 0}, "Only the answer is learned", "question is masked", "tokens reach"),
])  # fmt: skip
def test_the_mask_is_the_one_that_the_run_was_trained_with(settings, title, masking, left, lora_run, monkeypatch):
    if "max_length" in settings:  # shorter than any record is, as a whole
        settings = {"max_length": min(len(row.ids) for row in data.encoded(lora_run, data.data_of(lora_run).train)) - 1}
    run = told(lora_run, **settings)
    monkeypatch.setattr("animations.studio.film.shown_run", lambda name: run)
    scene = walk(data.Mask, lambda _: None, width=240, height=136)
    said = " ".join(caption.text for caption in scene.captions)
    assert scene.title == title and masking in said and left in said
    rows = data.encoded(run, data.data_of(run).train)
    assert all(len(row.ids) <= run.info.settings.max_length for row in rows)
    learned = sum(len(row.ids) - 1 for row in rows) if "mask_prompts" in settings else sum(r.trained for r in rows)
    assert f"{learned:,} of {sum(len(row.ids) for row in rows):,} tokens" in said
    if "mask_prompts" in settings:
        assert IGNORE not in scene.encoded.labels and scene.masked == [0]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_a_record_is_found_in_whatever_file_it_stands(suffix, tmp_path):
    records = [{"instruction": f"Say {word}.", "output": word} for word in ("one", "two")]
    file = tmp_path / f"mine.{suffix}"
    lines = "".join(f"{json.dumps(one)}\n" for one in records)
    table = "instruction,output\nSay one.,one\nSay two.,two\n"
    file.write_text({"jsonl": lines, "json": json.dumps(records), "csv": table}[suffix])
    found = [data.record_of(conversation) for conversation in load(file).train]
    assert [dict(one) for one in found] == records
    assert data.record_of([{"role": "user", "content": "from nowhere"}]) is None


def test_a_run_of_whole_texts_or_of_an_unknown_mask_is_refused(lora_run, monkeypatch):
    with pytest.raises(InputError, match="does not say if prompts were masked"):
        data.check(told(lora_run, mask_prompts=None))
    texts = type(data.data_of(lora_run))("mine", [[{"role": "text", "content": "Once."}]], [])
    monkeypatch.setattr(data, "data_of", lambda run: texts)
    with pytest.raises(InputError, match="learned whole texts"):
        data.check(lora_run)


def test_a_question_too_long_to_be_read_leaves_no_gap(lora_run, monkeypatch):
    """Of it nothing is learned within the tokens that are read, so it has no row of boxes."""
    known = data.losses_of(lora_run)
    cut = known.assign(learned=known.learned & (known.row != 0))
    monkeypatch.setattr(data, "losses_of", lambda run: cut)
    monkeypatch.setattr("animations.studio.film.shown_run", lambda name: lora_run)
    scene = walk(data.Glow, lambda _: None, width=240, height=136)
    assert list(scene.boxes) == list(range(1, data.ROWS))
    first = scene.boxes[1]
    np.testing.assert_allclose(first.losses, scene.losses_of[scene.run.steps[-1], 1][: len(first.losses)])
