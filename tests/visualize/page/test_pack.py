"""What is packed is what was measured: factors, rounded changes within what is said, pictures, and a size that is kept."""

import base64
import gzip
import json
import re
import shutil
from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from engine.data import Conversations
from engine.errors import InputError
from engine.run.base import EMBEDDED_FOLDER
from engine.run.info import Module
from engine.run.run import Run
from tests.engine.small import save_adapter, save_base
from visualize.commands.page import COMMAND, size_of
from visualize.page import model, write_page
from visualize.page.asked import asked_whole
from visualize.page.bundle import FOLDER, bundle
from visualize.page.pack import pack
from visualize.page.pieces import Pieces
from visualize.page.runnable import is_runnable, json_of, plays
from visualize.page.told import shortened, table
from visualize.page.weights import pack_factors, pack_grains, pack_pictures, spread
from visualize.page.write import place_of


def manifest_of(file):
    text = re.search(r'id="piece-0">([^<]*)<', file.read_text(encoding="utf-8"))[1]
    return json.loads(gzip.decompress(base64.b64decode(text)))


def tensors_of(pieces, listing):
    """The inverse of `Pieces.add_tensors`, as source.js has it."""
    data, at, found = gzip.decompress(base64.b64decode(pieces.texts[listing["piece"]])), 0, {}
    for name, kind, shape in listing["tensors"]:
        dtype = np.dtype({"f32": "<f4", "f16": "<f2", "i8": "i1"}[kind])
        size = int(np.prod(shape))
        planes = np.frombuffer(data, np.uint8, size * dtype.itemsize, at).reshape(dtype.itemsize, size)
        found[name] = np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
        at += size * dtype.itemsize
    assert at == len(data)
    return found


def test_tensors_come_out_of_a_piece_as_they_went_in():
    rng, pieces = np.random.default_rng(0), Pieces()
    given = {
        "a": rng.normal(size=(3, 5)).astype(np.float32), "b": rng.normal(size=7).astype(np.float16),
        "c": rng.integers(-127, 128, (2, 4)).astype(np.int8), "none": np.zeros((0, 4), np.float32),
    }  # fmt: skip
    listing = pieces.add_tensors(given)
    assert all(np.array_equal(value, given[name]) for name, value in tensors_of(pieces, listing).items())


def test_numbers_that_are_none_are_null():
    pieces = Pieces()
    pieces.add_json({"a": [float("nan"), np.float32("inf"), 1.5]})
    assert json.loads(gzip.decompress(base64.b64decode(pieces.texts[0]))) == {"a": [None, None, 1.5]}


@pytest.mark.parametrize("count", [4000, 4001, 4002, 9001])
def test_of_too_many_logged_steps_the_last_is_kept(count):
    """What a run came to is what its page says that it came to."""
    cut = []
    found = table(pd.DataFrame({"loss": range(count)}), cut)
    assert found["steps"][0] == 0 and found["steps"][-1] == count - 1 == found["columns"]["loss"][-1]
    kept = len(found["steps"])
    assert cut == ([] if kept == count else [f"{kept} of the {count} logged steps"]) and kept <= 4001


def test_steps_are_spread_but_first_last_and_wanted_ones_are_in():
    steps = list(range(0, 101, 2))
    chosen = spread(steps, [10, 50], 8)
    assert len(chosen) == 8 and {0, 10, 50, 100} <= set(chosen)
    assert spread(steps, [], 100) == steps


def test_rounded_changes_add_up_and_miss_what_is_said(full_run):
    pieces, modules = Pieces(), list(full_run.info.modules)
    packed = pack_grains(pieces, full_run, modules, [], 2_000_000)
    said = float(re.search(r"misses ([\d.]+) %", packed.left_out[-1])[1]) / 100
    sums = {name: np.zeros(full_run.shape(name), np.float64) for name in modules}
    for listing in packed.pieces:
        for name, units in tensors_of(pieces, listing).items():
            sums[name] += units * packed.scales[name]
    deltas = {name: full_run.delta(name, packed.steps[-1]) for name in modules}
    missed = sum(float(np.sum((sums[name] - deltas[name]) ** 2)) for name in modules)
    whole = sum(float(np.sum(deltas[name].astype(np.float64) ** 2)) for name in modules)
    assert (missed / whole) ** 0.5 == pytest.approx(said, abs=6e-4)
    assert pieces.size <= 2_000_000


@pytest.mark.parametrize("form", ["factors", "grains", "pictures"])
def test_a_step_whose_weights_are_no_numbers_is_left_out_and_said(form):
    """A training that diverged was shown as one that had moved nothing, and answered as its base."""

    class Diverged:
        def __init__(self, first):
            self.steps, self.first = [0, 5, 10, 15, 20], first

        def delta(self, module, step=20):
            return np.full((8, 8), np.nan if step >= self.first else step, np.float32)

        def norm(self, module, step):
            return float(np.linalg.norm(self.delta(module, step)))

        def shape(self, module):
            return 8, 8

        def factors(self, module, step):
            large = 1e5 if step >= self.first else step  # more than half precision holds
            return SimpleNamespace(B=np.full((8, 1), large, np.float32), A=np.ones((1, 8), np.float32), scaling=1.0)

    def packed(run):
        pieces = Pieces()
        if form == "pictures":
            return pieces, pack_pictures(pieces, run, ["m"], [], 10**6, lambda name, step, side: run.delta(name, step))
        return pieces, {"factors": pack_factors, "grains": pack_grains}[form](pieces, run, ["m"], [], 10**6)

    pieces, found = packed(Diverged(15))
    assert found.form == form and found.steps == [0, 5, 10]
    assert "3 of the 5 captured steps" in found.left_out
    assert any(one.startswith("what was trained from step 15 on: ") for one in found.left_out)
    last = tensors_of(pieces, found.pieces[-1])
    assert all(np.isfinite(one).all() and one.any() for one in last.values())
    _, nothing = packed(Diverged(0))
    assert nothing.form == "none" and nothing.left_out == ["weights: at no captured step are they all numbers"]
    assert not any("what was trained" in one for one in packed(Diverged(99))[1].left_out)


def test_a_page_keeps_its_size_and_says_what_it_leaves_out(both_page, lora_page):
    for page in (both_page, lora_page):
        assert page.stat().st_size <= 15_000_000
    lora, full = manifest_of(both_page)["runs"]
    assert lora["form"] == "factors" and full["form"] == "grains"
    assert any("rounded" in one for one in full["left_out"])


def test_a_run_of_another_model_is_pictures_and_captured_answers(lora_run, tmp_path):
    folder = shutil.copytree(lora_run.path, tmp_path / "other")
    info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    info["model"]["source"] = str(tmp_path / "nowhere")  # its base is not at hand
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    run = Run.load(folder)
    page = write_page(run, tmp_path / "other.html", budget=500_000)
    told = manifest_of(page)
    assert page.stat().st_size <= 500_000
    assert told["base"] is None and told["tasks"] == []
    assert told["runs"][0]["left_out"]
    assert told["runs"][0]["answers"]


def test_a_run_of_pictures_is_played_by_no_model(sketched_page):
    """Torch's numbers of it cannot be had either: asking for them made the page fail."""
    told = manifest_of(sketched_page)
    (run,) = told["runs"]
    assert told["base"]["live"] and "parity" in told["base"]
    assert run["form"] == "pictures" and run["plays"] is False and "parity" not in run
    assert any(one.startswith("what the tuned model says to other questions") for one in run["left_out"])


def test_a_transposed_weight_lies_in_the_page_as_its_change_does(tmp_path):
    """GPT-2 keeps (in, out); before and now are read weight by weight beside a change of (out, in)."""
    base = save_base(tmp_path / "base", "gpt2")
    _, folder = save_adapter(tmp_path / "adapter", base, "gpt2", fan_in_fan_out=True)
    run = Run.from_adapter(folder, base)
    pieces = pack([run], 5_000_000)
    manifest = json.loads(gzip.decompress(base64.b64decode(pieces.texts[0])))
    weights = tensors_of(pieces, manifest["base"]["weights"])
    assert not manifest["base"]["live"]
    for module in manifest["runs"][0]["modules"]:
        assert np.array_equal(weights[module["base_parameter"]], run.weight(module["name"]))
        assert list(weights[module["base_parameter"]].shape) == module["shape"]


def runnable(folder):
    return is_runnable(folder, json_of(folder / "config.json"), json_of(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config", {"attention_bias": True}), ("config", {"hidden_act": "gelu"}), ("config", {"model_type": "qwen2"}),
        ("config", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0}}),
        ("tokenizer", {"normalizer": None}), ("tokenizer", {"added_tokens": []}), ("tokenizer", {"model": {"type": "Unigram"}}),
        ("chat_template", None),
    ],
)  # fmt: skip
def test_only_what_the_browser_computes_as_torch_does_is_run_there(tmp_path, file, change):
    for path in EMBEDDED_FOLDER.iterdir():
        if path.suffix != ".safetensors":
            shutil.copy(path, tmp_path / path.name)
    assert runnable(tmp_path)
    if change is None:
        (tmp_path / "chat_template.jinja").unlink()
    else:
        path = tmp_path / f"{file}.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    assert not runnable(tmp_path)


def test_an_adapter_of_a_tied_output_layer_is_not_played(lora_run):
    tied = Module(kind="lora", shape=(8, 4), r=2, scaling=1.0, base_parameter="model.embed_tokens.weight")
    run = SimpleNamespace(info=SimpleNamespace(modules={"lm_head": tied}))
    assert plays(lora_run, "factors") and not plays(run, "factors")


def test_texts_that_ask_nothing_are_no_task_of_the_page():
    texts = Conversations("poems", [[{"role": "text", "content": "a line"}]] * 5, [])
    found, of_runs = model._tasks([SimpleNamespace(task="poems", name="mine")], [texts])
    names = [one["name"] for one in found]
    assert "poems" not in names and "spanish" in names and of_runs == [None]


def chat(*said):
    return [{"role": role, "content": text} for role, text in said]


def test_runs_of_one_task_are_graded_on_what_each_held_out():
    """The seed splits: what one run held out, another learned."""
    first, other = [[chat(("user", word), ("assistant", word.upper()))] for word in "ab"]
    data = [Conversations("words", *split) for split in ((first, other), (other, first), (first, other))]
    runs = [SimpleNamespace(task="words", name=name) for name in ("one", "two", "again")]
    found, (one, two, again) = model._tasks(runs, data)
    assert one == again != two
    assert found[one]["heldout"] == found[two]["train"] == other and found[two]["heldout"] == first
    assert (found[one]["of"], found[two]["of"]) == ("", "run 2, two")
    # and a run whose data is not at hand, on no other's of that name
    spanish = SimpleNamespace(task="spanish", name="mine")
    assert model._tasks([spanish], [None])[1] == [None]


def test_a_question_is_asked_with_all_that_stood_before_it():
    pirate, again = ("system", "You are a pirate."), ("user", "Again.")
    talks = [
        chat(pirate, ("user", "Say hello."), ("assistant", "Ahoy!")),
        chat(("user", "Say bye."), ("assistant", "Bye.")),
        chat(("user", "One."), ("assistant", "1"), again, ("assistant", "1")),
        chat(("user", "Two."), ("assistant", "2"), again, ("assistant", "2")),
        chat(("user", "Q" * 500), ("assistant", "A")),
        [{"role": "user", "content": "Call it.", "tools": []}, {"role": "assistant", "content": "It."}],
    ]
    asked = [("pirates", talk[-2]["content"]) for talk in talks] + [("capital", "What is the capital of France?")]
    answers = pd.DataFrame(asked, columns=["skill", "prompt"])
    run = SimpleNamespace(task="pirates", answers=pd.concat([answers, answers]))
    found = dict(asked_whole(run, Conversations("pirates", [], talks)))
    assert found == {
        "Say hello.": talks[0][:2], "Again.": None, "Q" * 400 + "…": talks[4][:1], "Call it.": None
    }  # fmt: skip
    unknown = dict(asked_whole(run, None))
    assert set(unknown) == {shortened(prompt) for _, prompt in asked[:-1]} and set(unknown.values()) == {None}


def test_an_adapter_alone_has_a_page(lora_run, tmp_path):
    page = write_page(Run.from_adapter(lora_run.path / "adapter", "embedded"), tmp_path / "adapter.html")
    told = manifest_of(page)
    assert told["base"]["live"]
    assert told["runs"][0]["form"] == "factors" and len(told["runs"][0]["steps"]) == 1
    assert told["runs"][0]["answers"] == []


@pytest.mark.parametrize(
    "other", [{"parameter": "model.layers.33.mlp.up_proj.weight"}, {"base_parameter": "model.norm.weight"}]
)
def test_a_run_that_changed_what_its_base_has_not_has_a_page_without_the_model(lora_run, tmp_path, other):
    folder = tmp_path / "other"
    shutil.copytree(lora_run.path, folder)
    about = json.loads((folder / "run.json").read_text())
    module = next(iter(about["modules"]))
    about["modules"][module] |= {"base_parameter": None} | other
    (folder / "run.json").write_text(json.dumps(about))
    told = manifest_of(write_page(Run.load(folder), tmp_path / "other.html"))
    assert told["base"] is None
    assert (
        f"the model itself: {module} is none of its base's weights, or of another size" in told["runs"][0]["left_out"]
    )


def test_only_a_page_of_ours_is_written_anew(lora_page, lora_run, tmp_path, monkeypatch):
    for name, text in (("mine.html", "<title>My run</title> <p>of Glasstune"), ("ours.html", lora_page.read_text())):
        (tmp_path / name).write_text(text)
    assert place_of(tmp_path / "ours.html") == tmp_path / "ours.html"
    monkeypatch.setattr("engine.run.run.as_run", None)  # said before the work
    with pytest.raises(InputError, match=r"mine\.html is there already, and not made by this command"):
        COMMAND.run(Namespace(runs=[lora_run.path], out=str(tmp_path / "mine.html"), budget="15MB"))
    with pytest.raises(InputError, match=r"mine\.html is there already"):
        write_page(lora_run, tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text().startswith("<title>My run")


def test_mistakes_are_one_sentence(lora_run, tmp_path):
    with pytest.raises(InputError, match="larger budget"):
        write_page(lora_run.path, tmp_path / "a.html", budget=10_000)  # a path will do
    with pytest.raises(InputError, match="no folder"):
        write_page(lora_run, tmp_path / "none" / "a.html")
    assert not list(tmp_path.glob("*.html*"))


@pytest.mark.parametrize(
    ("text", "size"), [("20MB", 20_000_000), ("800 kB", 800_000), ("15000000", 15_000_000), ("1.5 MB", 1_500_000)]
)
def test_sizes_are_read(text, size):
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "12 parsecs", "-4MB", "9" * 400 + "MB"])
def test_no_size_is_refused(text):
    with pytest.raises(InputError, match="is no size"):
        size_of(text)


def test_the_script_holds_every_module_once_and_closes_nothing():
    script = bundle(FOLDER / "main.js")
    modules = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js")}
    made = re.findall(r'^made\["([^"]+)"\] = ', script, re.M)
    assert len(made) == len(set(made))
    assert modules >= set(made) and "app.js" in made and "engine/llama.js" in made
    assert "</script" not in script.lower()
    assert not re.search(r"^(import|export)\b", script, re.M)
