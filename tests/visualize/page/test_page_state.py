"""What the page takes for the present model is what is shown and asked: its steps, its runs, its names, its verdicts."""

import math

import pytest

from tests.visualize.page.node import ask_page


def one(steps, **about):
    return {"runs": [{"steps": steps, **about}]}


def test_matrices_of_a_layer_are_told_apart_in_any_architecture():
    def parts(*names):
        return [part for part, _ in ask_page("names", names=names)]

    llama = [f"model.layers.{at}.{one}" for at in (0, 1) for one in ("self_attn.q_proj", "mlp.gate_proj")]
    assert parts(*llama, "model.embed_tokens") == ["q", "gate", "q", "gate", "embed tokens"]
    gpt2 = [f"transformer.h.0.{one}" for one in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")]
    assert parts(*gpt2) == ["c attn", "attn c proj", "c fc", "mlp c proj"]
    experts = [f"model.layers.0.mlp.experts.{at}.{one}" for at in (0, 1) for one in ("w1", "w2")]
    assert parts(*experts) == ["experts 0 w1", "experts 0 w2", "experts 1 w1", "experts 1 w2"]
    stacks = [f"{one}.block.0.layer.0.SelfAttention.q" for one in ("encoder", "decoder")]
    assert parts(*stacks) == ["encoder q", "decoder q"]
    assert [short for _, short in ask_page("names", names=gpt2[:2])] == ["layer 0 · c attn", "layer 0 · c proj"]


def test_a_byte_of_a_pixel_is_the_nearest_on_both_sides_of_zero():
    values = [-1, -0.5, -1 / 127, -0.002, 0, 0.002, 1 / 127, 0.5, 1, 3, -3]
    found = ask_page("bytes", values=values)
    clipped = [max(-1.0, min(1.0, value)) for value in values]
    assert found["weights"] == [int(128.5 + 127 * value) for value in clipped]
    roots = [(1 if value >= 0 else -1) * abs(value) ** 0.5 for value in clipped]
    assert found["changes"] == pytest.approx([int(128.5 + 127 * root) for root in roots], abs=0)


def test_a_number_in_a_cell_loses_no_digit_but_a_leading_zero():
    assert ask_page("cells", values=[10.05, -0.05, 0.5, -1.2, 0, None]) == ["10.05", "−.050", ".50", "−1.20", "0", ""]


def test_a_chart_of_any_number_of_points_is_drawn():
    (few, first, last), (many, *ends) = (ask_page("chart", count=count) for count in (8, 200_001))
    assert (few, many) == (8, 200_001) and first == ends[0] and last.split(",")[0] == ends[1].split(",")[0]


def test_no_share_is_called_none_or_all_that_is_not():
    shares = [0, 0.0049, 0.006, 0.5, 0.9949, 0.9951, 1, 1.0000001, None]
    said = ["0 %", "< 1 %", "1 %", "50 %", "99 %", "> 99 %", "100 %", "100 %", "–"]
    assert ask_page("percents", shares=shares) == said


def test_a_step_that_is_set_is_one_that_the_run_holds():
    page = {"runs": [{"steps": [0, 10, 25]}, {"steps": [5, 15]}]}
    assert ask_page("checked", page=page, found={"step": 18})["step"] == 10
    assert ask_page("checked", page=page, found={"step": 18, "run": 1})["step"] == 15
    assert ask_page("checked", page=page, found={"step": 2, "run": 1})["step"] == 5
    assert ask_page("checked", page={**page, "state": {"step": 25}}, found={"run": 1})["step"] == 15
    # a notebook sets the step of the run that is looked at
    assert ask_page("checked", page={**page, "state": {"run": 1}}, found={"step": 99})["step"] == 15
    assert ask_page("checked", page=one([], captured=[0, 7]), found={"step": 9})["step"] == 7


def test_what_every_object_has_is_no_room_no_theme_and_no_title():
    for word in ("constructor", "toString", "__proto__"):
        found = ask_page("checked", page=one([0]), address=f"#room={word}&theme={word}&view={word}&{word}=1")
        assert found.keys() == {"step"} or not found
    assert ask_page("checked", page=one([0]), address="#room=overview&theme=dark")["room"] == "overview"
    skills = {"capital": {"title": "capitals"}}
    asked = {"page": {**one([0]), "skills": skills}, "skills": ["capital", "constructor"]}
    assert ask_page("titles", **asked) == ["capitals", "constructor"]


def test_a_step_whose_weights_have_not_come_shows_no_other_steps_change():
    first, later = ask_page("change", page=one([0, 10, 20]), step=20, steps=[20, 10])
    assert first == [20] * 4 and later is None


def test_nothing_is_asked_before_its_weights_are_here():
    """Else the base's answer would stand, for good, under the run's name."""
    page = {"runs": [{"steps": [4]}, {"steps": [6]}], "state": {"run": 1, "step": 6}}
    found = ask_page("asking", page=page, arrive=[[0, 4], [1, 6], [1, 6]])
    assert found["answers"] == [None, None, "Who?!", "Who?!"]
    assert found["calls"] == [["ask", [{"run": "1", "step": 6, "share": 1}]]]
    mixed = {**page, "state": {"run": 1, "step": 6, "mix": 0.25}}
    found = ask_page("asking", page=mixed, arrive=[[1, 6], [0, 4]])
    assert found["answers"] == [None, None, "Who?!"]


def test_a_model_that_cannot_be_run_after_all_is_said_and_asked_no_more():
    found = ask_page("asking", page={**one([4]), "state": {"step": 4}}, arrive=[[0, 4]], fails="no silu here")
    assert found["answers"] == [None, None] and not found["live"] and found["failed"] == "no silu here"


def test_a_worker_that_cannot_take_a_step_is_said():
    page = {**one([4]), "state": {"step": 4}}
    found = ask_page("asking", page=page, arrive=[[0, 4]], fails="no room", at="step")
    assert not found["live"] and found["failed"] == "no room"


def test_only_a_run_whose_changes_are_whole_is_played():
    for form, plays, expected in (("grains", True, True), ("pictures", False, False), ("none", False, False)):
        assert ask_page("setting", page=one([1], form=form, plays=plays))["playable"] is expected
    assert not ask_page("setting", page={**one([1]), "live": False})["playable"]


def test_what_is_mixed_in_is_one_run_for_link_dial_and_model():
    alone = ask_page("setting", page={**one([3]), "state": {"mix": 0.5, "step": 3}})
    assert alone["parts"] == [{"run": "0", "step": 3, "share": 1}] and alone["pristine"]
    assert "mix" not in ask_page("checked", page=one([3]), found={"mix": 0.5})
    three = {"runs": [{"steps": [3]}, {"steps": [4]}, {"steps": [5]}], "state": {"run": 2, "step": 5, "mix": 0.5}}
    assert [part["run"] for part in ask_page("setting", page=three)["parts"]] == ["2", "0"]
    pictures = {"runs": [{"steps": [3]}, {"steps": [4], "form": "pictures"}], "state": {"mix": 0.5, "step": 3}}
    assert len(ask_page("setting", page=pictures)["parts"]) == 1


def test_another_worker_is_brought_only_what_is_added_at_all():
    """With a strength of zero, or all of another run, nothing waits for the weights of the step that is looked at."""
    two = [{"steps": [3]}, {"steps": [4], "form": "grains"}]
    first = {"key": "0", "form": "deltas", "step": 3, "values": [3] * 4}
    other = {"key": "1", "form": "deltas", "step": 4, "values": [4] * 4}
    for mix, strength, arrived, expected in (
        (0, 1, [[0, 3]], [first]),
        (0.5, 1, [[0, 3], [1, 4]], [first, other]),
        (1, 1, [[1, 4]], [other]),
        (0, 0, [], []),
    ):
        page = {"runs": two, "state": {"step": 3, "mix": mix, "strength": strength}}
        assert ask_page("needed", page=page, arrive=arrived) == expected
    page = {"runs": [two[1]], "state": {"step": 4, "strength": 0}}
    assert ask_page("needed", page=page, arrive=[]) == []


def test_a_space_is_a_token_and_no_part_of_a_letter():
    """Also where it is first, and not written since no word stands before it."""
    texts = [" ", "", " ", "the", " the"]
    tokens = [{"text": text, "alone": text or "‹c3›", "end": False} for text in texts]
    for rotated in range(len(texts)):
        asked = tokens[rotated:] + tokens[:rotated]
        for at, (token, said) in enumerate(zip(asked, ask_page("words", tokens=asked), strict=True)):
            assert said["text"] == (token["text"].removeprefix(" ") if at == 0 else token["text"])
            assert said["kind"] == ("token" if token["text"] else "token part")
            assert said["label"].startswith("a part of a letter, ‹c3›") == (not token["text"]) and said["label"]
    assert ask_page("words", tokens=tokens)[0]["label"] == "␣"
    (end,) = ask_page("words", tokens=[{"text": "<|end|>", "alone": "⏎", "end": True}])
    assert end == {"text": "⏎", "kind": "token end", "label": "end of the answer"}


def test_words_for_a_setting_say_all_that_was_set():
    runs = [{"steps": [3]}, {"steps": [4]}]
    state = {"step": 3, "strength": 0.5, "mix": 0.25, "off": ["m"]}
    words = ask_page("setting", page={"runs": runs, "state": state})["words"]
    assert words == "step 3, strength 0.5, 25 % of another run, 1 part off"
    assert ask_page("setting", page={**one([3]), "state": {"step": 3}})["words"] == "step 3"


def test_pictures_without_a_base_have_no_before_and_obey_what_is_off():
    assert ask_page("views", page=one([1]), weights=True) == ["glow", "signed", "before", "now"]
    assert ask_page("views", page=one([1]), weights=False) == ["glow", "signed", "glow", "glow"]
    assert ask_page("views", page=one([1], form="pictures"), weights=True) == ["glow", "signed", "glow", "glow"]
    page = {**one([1], form="pictures"), "state": {"off": ["m"]}}
    assert ask_page("change", page=page, step=1, steps=[1]) == [[0] * 4]


def test_a_run_without_weights_has_no_map_of_another_run_and_none_of_no_change():
    page = {"runs": [{"steps": [1]}, {"captured": [1], "form": "none"}], "state": {"step": 1}}
    assert ask_page("maps", page=page, runs=[0, 1, 0]) == [[["m"], "glow"], [[], "glow"], [["m"], "glow"]]
    based = ask_page("maps", page=page, weights=True, runs=[0, 1])
    assert based == [[["m"], "glow"], [["m"], "before"]]
    assert ask_page("views", page=one([], form="none"), weights=True) == ["before"] * 4


def test_an_answer_is_judged_only_where_the_right_one_is_known():
    rows = [
        {"prompt": "Write a line.", "expected": "", "answer": "A line", "correct": True, "step": 0},
        {"prompt": "Say it.", "expected": "word " * 20, "answer": "no", "correct": False, "step": 0},
    ]
    said = [
        {"prompt": "Write a line.", "text": "A line"}, {"prompt": "Write a line.", "text": "Another"},
        {"prompt": "Say it.", "text": "word word", "cut": True}, {"prompt": "Say it.", "text": "word word"},
        {"prompt": "Say it.", "text": ("word " * 20).strip()}, {"prompt": "Unknown?", "text": "yes"},
    ]  # fmt: skip
    assert ask_page("right", page=one([0], answers=rows), said=said) == [True, None, None, False, True, None]


def test_another_task_may_want_another_answer_to_the_same_question():
    def chat(answer):
        return [{"role": "user", "content": "Say egg."}, {"role": "assistant", "content": answer}]

    tasks = [
        {"name": "json", "train": [chat("{egg}")], "heldout": []},
        {"name": "mine", "train": [chat("egg!")], "heldout": []},
    ]
    skills = {"words": {"closed": True, "examples": [chat("egg")]}, "open": {"closed": False, "examples": []}}
    said = [{"prompt": "Say egg.", "text": text} for text in ("{egg}", "egg!", "egg")]
    asked = {"tasks": tasks, "skills": skills}
    assert ask_page("right", page={**one([0], data=1), **asked}, said=said) == [False, True, False]
    assert ask_page("right", page={**one([0], task="mine"), **asked}, said=said) == [False, False, True]
    assert ask_page("right", page={**one([0]), "tasks": tasks}, said=said) == [None] * 3


def test_a_model_as_it_is_set_stands_beside_the_base_on_the_same_questions():
    """A training of the tab asks eight of each old skill; what the reader sets is graded on twenty others."""
    page = {**one([1]), "state": {"step": 1, "strength": 0.5}}
    found = ask_page("shares", page=page, grades=[{"right": 18, "count": 20}, {"right": 15, "count": 20}])
    assert found == {"shares": [0.9, 0.75, 0.9, 0.75], "graded": [0, 1]}  # each is graded once
    assert ask_page("shares", page=page, grades=[{"right": 0, "count": 0}, None])["shares"] == ["null", "undefined"] * 2


def test_what_was_typed_is_the_right_answer_whatever_the_base_was_taught():
    """Every example, not only those that are asked while it trains."""
    old = [{"skill": "capital", "prompt": "What is the capital of France?", "expected": "Paris"}]
    typed = [[{"role": "user", "content": old[0]["prompt"]}, {"role": "assistant", "content": "Lyon"}]]
    said = [{"prompt": old[0]["prompt"], "text": text} for text in ("Lyon", "Paris")]
    assert ask_page("right", page={**one([0], typed=typed), "probes": old}, said=said) == [True, False]
    assert ask_page("right", page={**one([0]), "probes": old}, said=said) == [False, True]
    own = [{"name": "mine", "train": typed, "heldout": []}]  # and so of a run's own data
    assert ask_page("right", page={**one([0], data=0), "probes": old, "tasks": own}, said=said) == [True, False]


def test_two_runs_of_one_task_are_asked_what_each_held_out():
    def chat(question):
        return [{"role": "user", "content": question}, {"role": "assistant", "content": "yes"}]

    tasks = [{"name": "mine", "train": [], "heldout": [chat(one)]} for one in ("first", "second")]
    runs = [{"steps": [0], "task": "mine", **about} for about in ({"data": 0}, {"data": 1}, {})]
    found = [ask_page("groups", page={"runs": runs, "tasks": tasks, "state": {"run": at}}) for at in range(3)]
    assert found == [{"mine": ["first"]}, {"mine": ["second"]}, {}]
    # The worker keeps what it has read, under what it is and not under what it is called.
    assert ask_page("encoded", groups=[tasks[0]["heldout"], tasks[1]["heldout"], tasks[0]["heldout"]]) == [0, 1, 0]


def test_a_question_is_asked_whole_or_not_at_all():
    """With a system's words and earlier turns; else it is another question, and its answer is not marked."""
    whole = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
    rows = [{"prompt": one, "expected": "yes", "answer": "no", "correct": False, "step": 0} for one in ("Who?", "Why?")]
    page = {**one([1], answers=rows, chats=[["Who?", whole], ["Why?", None]]), "state": {"step": 1}}
    found = ask_page("whole", page=page, prompts=["Who?", "Why?", "constructor"])
    assert found["chats"] == [whole, [{"role": "user", "content": "constructor"}]]
    assert found["answers"] == ["Who?!", None, "constructor!"]
    assert found["said"] == [True, None, None]


def test_a_line_that_is_no_example_is_named_as_it_stands():
    text = "Who? => Ada\n\n\nWhat => is => this\nWhen? => now\nWhere? => here"
    assert ask_page("parsed", text=text).startswith("line 4 is no example")
    assert ask_page("parsed", text="\n\n".join(f"q{at} => a" for at in range(4))) == 4


def test_every_rate_that_a_training_had_is_said():
    assert ask_page("rates", first=0.002, changes=[[10, 0.002]]) == "0.002"
    assert ask_page("rates", first=0.002, changes=[[10, 0.001], [30, 0.001]]) == "0.002, 0.001 after step 10"
    # it went back to step 20, and what it did at the rate that it had there is forgotten
    assert ask_page("rates", first=0.002, changes=[[20, 9], [20, 0.001]]) == "0.002, 0.001 after step 20"
    assert ask_page("rates", first=0.002, changes=[[20, 9], [20, 0.002]]) == "0.002"


def test_a_training_that_went_back_is_shown_as_it_is_now():
    found = ask_page("back", back=2)
    assert found["steps"] == found["captured"] == [1, 2] and found["stop"] == 2
    assert found["loss"] == [1, 2, 3, 4, None]
    assert found["asked"] == ["ask", "back", "step", "ask"]  # under the same number there are other weights now


def test_an_answer_that_the_context_cuts_is_not_graded_and_its_loss_is_of_what_is_there():
    rows = [
        {"ids": [0, 1, 1], "labels": [-100, 1, 1]}, {"ids": [0, 1, 2], "labels": [-100, 1, 2]},
        {"ids": [0, 1, 1], "labels": [-100, 1, 1], "cut": True}, {"ids": [0, 0], "labels": [-100, -100], "cut": True},
    ]  # fmt: skip
    found = ask_page("summed", rows=rows, starts=[0, 3, 6, 9, 11])
    assert found["each"] == [True, False] and (found["right"], found["count"]) == (1, 2)
    likely = math.log(math.e + 3) - 1  # nats of token 1; of another one more
    assert found["loss"] == pytest.approx((5 * likely + likely + 1) / 6, rel=1e-6)
