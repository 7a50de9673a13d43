"""A training in a terminal: drawn where it can be, lines in a file, and nothing of it steers the terminal."""

import io
import math
from types import SimpleNamespace

import pytest

from engine.measure.layers import by_layer, layers_of
from engine.terminal import Terminal
from engine.training import view as views
from engine.training.finetune import finetune


def trained(view, losses):
    state = SimpleNamespace(max_steps=len(losses), global_step=0)
    args = SimpleNamespace(logging_steps=1)
    view.on_train_begin(args, state, None)
    for step, loss in enumerate(losses, 1):
        state.global_step = step
        view.on_step_end(args, state, None)
        view.on_log(args, state, None, logs={"loss": loss, "learning_rate": 1e-3})
    view.on_train_end(args, state, None)


def screen(recorder, losses, width=100):
    file = io.StringIO()
    made = views.Screen("lora on spanish", Terminal(file=file, force_terminal=True, width=width), lambda: recorder)
    trained(made, losses)
    shown = Terminal(file=io.StringIO(), width=width, record=True)
    shown.print(made.drawn())
    return shown.export_text(), file.getvalue()


def test_loss_norms_of_layers_and_latest_answers_are_on_the_screen():
    norms = {"model.layers.0.a": 3.0, "model.layers.0.b": 4.0, "model.layers.1.a": 1.0, "model.embed_tokens": 0.5}
    answers = [
        {"prompt": "cat?", "answer": "gato", "expected": "gato", "correct": True, "skill": "spanish"},
        {"prompt": "dog? \x1b[2J", "answer": "gato", "expected": "perro", "correct": False, "skill": "spanish"},
    ]
    text, drawn = screen(SimpleNamespace(norms=norms, answers=answers, answered=20), [2.0, 1.0, 0.5])
    assert "step 3 of 3" in text and "0.500" in text and "learning rate 0.001" in text
    lines = {line.split()[0] + " " + line.split()[1]: line for line in text.splitlines() if len(line.split()) > 1}
    assert lines["layer 0"].endswith("5") or "5" in lines["layer 0"].split()
    assert lines["layer 0"].count("█") == 5 * lines["layer 1"].count("█") + 2
    assert "at step 20 it says" in text and "✓ cat? → gato" in " ".join(text.split())
    assert "\x1b[2J" not in drawn and "\\x1b[2J" in text


def test_many_layers_are_one_line_and_the_one_that_moved_furthest_is_named():
    norms = {f"model.layers.{layer}.a": layer + 1.0 for layer in range(30)}
    text, _ = screen(SimpleNamespace(norms=norms, answers=[], answered=0), [1.0])
    assert "layer 29 moved furthest: 30" in text and len(text.splitlines()) < 6


def test_a_loss_that_is_no_number_is_shown_as_such():
    assert views.blocks([1.0, math.nan, 0.5]) == "█?▄"
    assert views.bar(math.inf, 1.0) == "?" and views.bar(0.0, 0.0) == ""
    text, _ = screen(None, [1.0, math.nan])
    assert "nan" in text


def test_layers_are_summed_as_frobenius_norms_are_and_stand_in_their_order():
    found = by_layer({"h.10.x": 1.0, "h.2.x": 3.0, "h.2.y": 4.0, "lm_head": 2.0})
    assert found == {"layer 2": 5.0, "layer 10": 1.0, "lm_head": 2.0}
    assert list(found) == ["layer 2", "layer 10", "lm_head"]


def test_two_stacks_of_layers_are_not_added_to_each_other():
    norms = {"encoder.block.0.layer.0.q": 3.0, "encoder.block.0.layer.1.wi": 4.0, "decoder.block.0.layer.0.q": 2.0,
             "encoder.norm": 1.0, "decoder.norm": 6.0}  # fmt: skip
    found = by_layer(norms)
    assert found == {"encoder layer 0": 5.0, "decoder layer 0": 2.0, "encoder.norm": 1.0, "decoder.norm": 6.0}


@pytest.mark.parametrize(
    "stacks, towers",
    [
        (["model.layers"], [""]),
        (["model.vision_tower.encoder.layers", "model.language_model.layers"], ["vision_tower", "language_model"]),
        (["visual.blocks", "model.layers"], ["visual", "model"]),
        (["model.layers", "model.visual.layers"], ["", "visual"]),
        (["m.a.x.h", "m.a.y.h", "m.b.h"], ["a.x", "a.y", "b"]),
    ],
)
def test_a_stack_of_layers_is_named_only_as_far_as_it_must_be(stacks, towers):
    modules = [f"{stack}.{number}.q" for stack in stacks for number in (10, 2)]
    expected = [(tower, number) for tower in towers for number in (2, 10)]
    assert list(layers_of(modules).values()) == expected


def test_a_file_gets_a_few_plain_lines(capsys):
    trained(views.Lines("lora on x"), [1.0] * 200)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "lora on x: step 1 of 200, loss 1.000" and said[-1] == "lora on x: step 200 of 200, loss 1.000"
    assert len(said) == 11 and not any("\r" in line or "\x1b" in line for line in said)


def test_the_terminal_is_given_back_when_training_fails(tmp_path, monkeypatch):
    closed = []

    class Broken(views.View):
        def on_step_end(self, *args, **kwargs):
            raise RuntimeError("the disk of something else is full")

        def close(self):
            closed.append(True)

    monkeypatch.setattr("engine.training.finetune.view", lambda title, recorder: Broken(title))
    with pytest.raises(RuntimeError, match="something else"):
        finetune("embedded", "spanish", "lora", out=tmp_path / "run", steps=2, skills=0, answers=False)
    assert closed
