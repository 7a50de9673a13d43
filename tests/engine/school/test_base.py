"""The embedded model: genuine files, small enough to see, and as good as its card says."""

import itertools
import json
import math
import subprocess
import sys

import pytest

from engine.evaluate import encode_last_answer, generate_answers, score_answers
from engine.run.base import EMBEDDED_FOLDER
from engine.school.curriculum import SKILLS, grade, heldout_examples, mixture
from engine.school.tokenizer import encode_chats, vocabulary_pieces

CARD = json.loads((EMBEDDED_FOLDER / "card.json").read_text())


def test_transformers_loads_it_with_nothing_of_ours():
    code = (
        "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer; folder = sys.argv[1];"
        "m = AutoModelForCausalLM.from_pretrained(folder); t = AutoTokenizer.from_pretrained(folder);"
        "c = [{'role': 'user', 'content': 'Translate to French: Hello'}];"
        "x = t.apply_chat_template(c, add_generation_prompt=True, return_tensors='pt', return_dict=True);"
        "y = m.generate(**x, max_new_tokens=8, do_sample=False)[0, x['input_ids'].shape[1]:];"
        "print(type(m).__name__, m.num_parameters(), t.decode(y, skip_special_tokens=True).strip());"
        "assert not any(name.split('.')[0] == 'engine' for name in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(EMBEDDED_FOLDER)], capture_output=True, text=True, cwd=EMBEDDED_FOLDER
    )
    kind, weights, answer = out.stdout.split()
    assert (kind, answer) == ("LlamaForCausalLM", "Bonjour"), out.stderr
    assert int(weights) <= 1920 * 1080  # one pixel a weight fills at most one frame


def test_it_is_at_most_ten_megabytes():
    assert (EMBEDDED_FOLDER / "model.safetensors").stat().st_size <= 10_000_000


@pytest.mark.parametrize("name", [name for name, skill in SKILLS.items() if skill.closed])
def test_each_closed_skill_scores_what_the_card_says(base, tokenizer, name):
    rows = [encode_last_answer(tokenizer, example.messages) for example in heldout_examples(name, 60, seed=2)]
    _, exact, _ = score_answers(base, rows, tokenizer.pad_token_id)
    assert sum(exact) / len(exact) >= CARD["skills"][name]["exact"] - 0.1  # sixty examples, another seed


def test_scoring_in_one_pass_agrees_with_generating(base, tokenizer):
    for name in ("french", "sum", "sort", "format", "reading", "in_context", "summary"):
        examples = heldout_examples(name, 12, seed=3)
        _, exact, _ = score_answers(
            base, [encode_last_answer(tokenizer, e.messages) for e in examples], tokenizer.pad_token_id
        )
        said = generate_answers(base, tokenizer, [e.prompt for e in examples])
        assert exact == [grade(e.answer, reply) for e, reply in zip(examples, said, strict=True)]


def test_the_chat_template_marks_the_answers_and_pretraining_encodes_the_same(tokenizer):
    for _, example in itertools.islice(mixture(3, vocabulary_pieces(tokenizer)), 200):
        whole = tokenizer.apply_chat_template(example.messages, return_dict=True, return_assistant_tokens_mask=True)
        ((ids, mask),) = encode_chats(tokenizer, [(example.messages, 99)])
        assert (whole["input_ids"], whole["assistant_masks"]) == (ids, [int(marked) for marked in mask])


@pytest.mark.parametrize(
    "text", ["Hello", "Grüße, 世界! 🙂", '{"a": [1, 23]}', "  two  spaces\nand lines", "ﷺ e\u0301"]
)
def test_any_text_survives_the_tokenizer(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_curriculum_uses_every_token(tokenizer):
    """Untrained rows of the embedding are what adapters cannot steer (see the design)."""
    pieces, used = vocabulary_pieces(tokenizer), set()
    special = set(tokenizer.all_special_ids) - {tokenizer.eos_token_id}
    for start in range(40):
        drawn = itertools.islice(mixture(100 + start, pieces), 2000)
        for ids, mask in encode_chats(tokenizer, [(e.messages, e.train_turns) for _, e in drawn]):
            used.update(itertools.compress(ids, mask))
        if len(used) >= len(tokenizer) - len(special):
            break
    missing = set(range(len(tokenizer))) - used - special
    assert len(missing) <= 0.02 * len(tokenizer), tokenizer.convert_ids_to_tokens(sorted(missing))


def test_it_is_about_as_sure_as_it_is_right():
    assert CARD["calibration"]["error"] <= 0.1
    assert sum(one["count"] for one in CARD["calibration"]["bins"]) >= 1000


def test_half_of_adding_is_known_and_nothing_of_what_is_new():
    tasks = CARD["tasks"]
    assert 0.3 <= tasks["adding"]["exact"] <= 0.7
    assert all(one["exact"] <= 0.05 for name, one in tasks.items() if name != "adding")


def test_nothing_new_is_less_expected_than_chance():
    assert CARD["even_guess"] == pytest.approx(math.log(CARD["recipe"]["vocab_size"]))
    assert all(one["loss"] < CARD["even_guess"] for one in CARD["tasks"].values())


def test_one_task_can_be_prompted_so_that_prompting_is_no_straw_man():
    best = [max(one["told"], one["shown"]) for one in CARD["tasks"].values() if one["exact"] <= 0.05]
    assert any(0.2 <= share <= 0.8 for share in best)


def test_old_skills_fall_furthest_at_the_end_and_what_is_known_stays():
    """Not to nothing within thirty steps and half of the way back, as an uncalibrated base does."""
    exact = [point["exact"] for point in CARD["forgetting"]["lora"]]
    assert min(exact) == exact[-1] > 0.2
    assert all(point["choice"] > 0.9 for points in CARD["forgetting"].values() for point in points)
