"""Pretraining, on a tiny recipe: from one seed, resumable, and it writes a model with its card."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from engine.data import IGNORE
from engine.run.base import EMBEDDED_FOLDER
from engine.school import pretrain as school
from engine.school.muon import orthogonalized
from engine.school.pretrain import Batches, Recipe, Training, answer_loss, main, make_tokenizer, pretrain
from glasstune import InputError

TINY = Recipe(
    vocab_size=600,
    hidden_size=32,
    layers=1,
    heads=2,
    intermediate_size=48,
    steps=6,
    batch_tokens=400,
    warmup=2,
)


@pytest.fixture(scope="module")
def batches():
    return Batches(TINY, make_tokenizer(TINY, conversations=2000))


def test_a_batch_follows_from_recipe_and_step_alone(batches):
    again = Batches(TINY, batches.tokenizer)
    assert all(torch.equal(one, other) for one, other in zip(batches(3), again(3), strict=True))
    assert not torch.equal(batches(3)[0], batches(4)[0])


def test_packed_conversations_do_not_see_each_other(batches):
    """Each conversation's loss is what it is alone in a row."""
    tokens, positions, labels, weights = batches(0)
    assert (positions[:, 1:] == 0).sum() > 0, "some rows hold more than one conversation"
    model = Training(TINY, "cpu").model.double()
    together = answer_loss(model, (tokens, positions, labels, weights.double()))
    total, weight = 0.0, 0.0
    for row in range(len(tokens)):
        starts = [at for at in range(tokens.shape[1]) if positions[row, at] == 0 and tokens[row, at]]
        for begin, end in zip(starts, [*starts[1:], tokens.shape[1]], strict=True):
            part = tuple(value[row : row + 1, begin:end] for value in (tokens, positions, labels, weights.double()))
            if (part[2] != IGNORE).any():
                share = float(part[3].sum())
                total += answer_loss(model, part).item() * share
                weight += share
    assert total / weight == pytest.approx(together.item(), rel=1e-6)


def test_an_interrupted_run_ends_as_an_undisturbed_one(batches, tmp_path):
    whole = Training(TINY, "cpu")
    for step in range(TINY.steps):
        whole.advance(batches(step))
    first, second = Training(TINY, "cpu"), Training(TINY, "cpu")
    for step in range(3):
        first.advance(batches(step))
    first.save(tmp_path / "checkpoint.safetensors", 7.0)
    first.step = 0  # the file alone says at which step to go on
    assert second.restore(tmp_path / "checkpoint.safetensors") == 7.0 and second.step == 3
    for step in range(3, TINY.steps):
        second.advance(batches(step))
    pairs = zip(whole.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_it_learns(batches):
    training = Training(TINY, "cpu")
    losses = [training.advance(batches(0)) for _ in range(TINY.steps)]
    assert losses[-1] < losses[0]


def test_the_rate_rises_stays_and_falls_to_zero():
    recipe = Recipe(steps=1000, warmup=100, decay_from=0.4)
    rates = [recipe.rate(step) for step in range(1001)]
    assert rates[0] == 0.01 and rates[99] == rates[400] == 1 and rates[1000] == 0
    assert rates[700] == pytest.approx(0.5)


def test_muons_step_is_nearly_orthogonal():
    update = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalized(update))
    assert values.min() > 0.5 and values.max() < 1.4
    flipped = orthogonalized(update.mT).mT
    torch.testing.assert_close(flipped, orthogonalized(update))


def test_it_writes_a_model_and_its_card_and_refuses_anothers_checkpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("engine.school.card.EXAMPLES", 4)
    monkeypatch.setattr("engine.school.card.CURVE_STEPS", (0, 1))
    out = pretrain(TINY, tmp_path / "base", tmp_path / "work", checkpoint_every=4, progress=False)
    card = json.loads((out / "card.json").read_text())
    assert card["parameters"] == AutoModelForCausalLM.from_pretrained(out).num_parameters()
    assert card["recipe"]["steps"] == TINY.steps and set(card["skills"]["sum"]) >= {"exact", "loss", "perplexity"}
    assert f"{card['parameters']:,} weights" in (out / "README.md").read_text()
    saved = load_file(tmp_path / "work" / "checkpoint.safetensors")
    assert torch.equal(saved["model.model.norm.weight"], load_file(out / "model.safetensors")["model.norm.weight"])
    with pytest.raises(InputError, match="a checkpoint of another recipe"):
        pretrain(Recipe(steps=1), tmp_path / "other", tmp_path / "work", progress=False)
    capsys.readouterr()
    assert main(["--steps", "1", "--out", str(tmp_path / "other"), "--work", str(tmp_path / "work")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "other").exists()


def test_half_a_model_is_never_left(tmp_path, monkeypatch):
    def stops(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(school, "make_tokenizer", lambda recipe: make_tokenizer(recipe, conversations=2000))
    monkeypatch.setattr(school, "write_card", stops)
    with pytest.raises(KeyboardInterrupt):
        pretrain(TINY, tmp_path / "base", tmp_path / "work", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    monkeypatch.setattr(school, "write_card", lambda out, *_: (out / "README.md").write_text("made"))
    monkeypatch.setattr(Training, "advance", stops)  # all steps are done
    assert (pretrain(TINY, tmp_path / "base", tmp_path / "work", progress=False) / "README.md").read_text() == "made"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--out", "made", "--steps", "0"], "0 steps teach nothing"),
        (["--out", "made", "--steps", "-5"], "-5 steps teach nothing"),
        (["--out", "mine"], "mine is there already"),
        (["--out", str(EMBEDDED_FOLDER)], "or --embedded to replace it"),
        (["--embedded", "--steps", "0"], "0 steps"),
    ],
)
def test_nothing_is_replaced_unless_asked(given, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(school, "make_tokenizer", None)  # said before the work
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.safetensors").write_text("mine")
    assert main(given) == 2 and said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_embedded_model_is_not_where_a_model_goes_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = []
    monkeypatch.setattr(school, "pretrain", lambda recipe, out, work, *, embedded: places.append((out, embedded)))
    main(["--steps", "50"])
    main(["--steps", "50", "--embedded"])
    assert places == [(Path("runs/base"), False), (EMBEDDED_FOLDER, True)]
