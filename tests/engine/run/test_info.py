"""run.json as types: every version reads the same, nothing is lost, and what is wrong is one sentence with its place."""

import json
import shutil

import pytest
from msgspec.structs import replace

from engine.errors import InputError
from engine.run.apart import told_apart
from engine.run.info import VERSION, Adapter, Method, MixedIn, Module, RunInfo, read_info
from engine.run.run import Run, as_run

WHOLE = {"kind": "delta", "shape": [3, 2], "parameter": "x.weight", "base_parameter": "x.weight", "transposed": True}
THIN = {"kind": "lora", "shape": [3, 2], "r": 2, "scaling": 2.0, "base_parameter": "y.weight", "transposed": False}
FIRST = {  # as the first version wrote it
    "format": "glasstune-run", "version": 1, "method": {"name": "lora", "r": 2, "alpha": 4},
    "model": {"name": "embedded", "source": "embedded", "architecture": "L", "parameters": 10, "trainable": 4},
    "modules": {"y": THIN}, "data": {"name": "spanish", "source": "spanish", "train": 5, "heldout": 2},
    "settings": {"seed": 3, "learning_rate": 0.1, "batch_size": 8, "accumulation": 2}, "status": "finished", "steps": 9,
}  # fmt: skip
SECOND = FIRST | {
    "version": 2, "id": "f00", "seconds": {"total": 1.5, "capture": 0.5}, "resumed": [4], "checkpoint": None,
    "capture": {"every": "auto", "budget": 100, "sketch": None}, "evaluated": {"skills": 2, "at": 12, "answers": False},
    "modules": {
        "x": WHOLE,
        "y": THIN | {"kind": "dora", "magnitude": True, "from_start": True},
        "z": THIN | {"adapters": {"a": {"r": 1, "scaling": 0.5}, "b": {"r": 1, "scaling": 2.0}}, "sketch": [8, 256]},
    },
    "data": FIRST["data"] | {"digest": "0" * 16, "mixed_in": {"name": "curriculum", "source": None, "examples": 2}},
    "host": {"threads": 2}, "later": {"unknown": [1]},
}  # fmt: skip


def written(folder, info):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


def test_the_first_version_reads_as_ever(tmp_path):
    info = Run.load(written(tmp_path, FIRST)).info
    assert (info.version, info.id, info.evaluated, info.notes, info.modules["y"].sketch) == (1, None, None, (), None)
    assert info.method == Method(name="lora", options={"r": 2, "alpha": 4})
    assert info.modules["y"].scaling == 2.0 and info.modules["y"].shape == (3, 2)
    assert (info.data.train, info.data.digest, info.settings.seed, info.steps) == (5, None, 3, 9)


def test_the_second_reads_whole_and_is_written_again_as_it_was(tmp_path):
    run = Run.load(written(tmp_path, SECOND))
    info = run.info
    assert info.raw == SECOND and info.raw["later"] == {"unknown": [1]}, "what is not known is kept"
    assert {name: about.to_json() for name, about in info.modules.items()} == SECOND["modules"]
    assert info.data.mixed_in == MixedIn(name="curriculum", examples=2)
    assert info.modules["z"].adapters == {"a": Adapter(0.5, 1), "b": Adapter(2.0, 1)}
    assert (run.examples, run.questions, run.learning_rate, run.examples_a_step) == (5, 2, 0.1, 16)
    assert run.id == "f00" and info.evaluated.answers is False and info.capture.budget == 100


def test_facts_are_frozen():
    with pytest.raises(AttributeError):
        RunInfo().steps = 3


def test_what_somebody_else_added_to_his_settings_does_not_matter(tmp_path):
    info = Run.load(written(tmp_path, FIRST | {"settings": {"learning_rate": "2e-4", "seed": 1}})).info
    assert info.settings.learning_rate is None and info.settings.seed == 1


def test_a_newer_format_is_called_newer_whatever_it_holds(tmp_path):
    newer = {"format": "glasstune-run", "version": VERSION + 1, "modules": [], "steps": "many"}
    with pytest.raises(InputError, match=f"format version {VERSION + 1}, but this Glasstune reads up to {VERSION}"):
        Run.load(written(tmp_path, newer))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": "many"}, "steps: expected `int.*got `str`"),
        ({"modules": {"a.b": THIN | {"shape": [1, "x"]}}}, r"modules\['a.b'\].shape\[1\]: expected `int`, got `str`"),
        ({"modules": {"a": THIN | {"kind": "loha"}}}, r"modules\['a'\].kind: invalid enum value 'loha'"),
        ({"modules": {"a": {"kind": "lora", "shape": [1, 2]}}}, r"modules\['a'\]: it lacks its scaling"),
        ({"modules": {"a": {"kind": "delta", "shape": [1, 2]}}}, "it lacks its parameter"),
        ({"modules": {"a": WHOLE | {"rows": [1, 3]}}}, "its rows are more than the 3 there are"),
        ({"modules": {"a": THIN | {"scaling": float("nan")}}}, "its scaling is no number"),
        ({"modules": {"a": THIN | {"adapters": {"b": {"scaling": float("inf")}}}}}, "scaling is no number"),
        ({"modules": {"a": THIN | {"shape": [2**41, 1]}}}, "shape"),
        ({"modules": []}, "modules: expected an object"),
        ({"method": "lora"}, "method: expected an object"),
        ({"model": {"parameters": True}}, "model.parameters: expected `int.*got `bool`"),
        ({"seconds": {"total": float("nan")}}, "its total is no number"),
        ({"command": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_place(tmp_path, change, said):
    with pytest.raises(InputError, match=said) as error:
        Run.load(written(tmp_path, FIRST | change))
    assert str(error.value).startswith(f"{tmp_path / 'run.json'}") and "\n" not in str(error.value)


def test_json_nested_beyond_all_reason_is_one_sentence(tmp_path):
    deep = "[" * 200_000
    for name in ("run.json", "adapter_config.json"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text('{"r": ' + deep)
        with pytest.raises(InputError, match=f"{name} cannot be read as JSON"):
            Run.open(folder)


def test_nothing_that_fits_says_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(
        InputError, match=r"no run \(run.json\), no adapter \(adapter_config.json\), no Trainer's output"
    ):
        Run.open(tmp_path)


def test_two_runs_of_one_folder_name_are_two(tmp_path):
    one, two = (Run.load(written(tmp_path / side / "out", FIRST)) for side in "ab")
    assert one.name == two.name and one.id != two.id
    assert told_apart([one, two]) == ["a/out", "b/out"]
    other = Run.load(written(tmp_path / "b" / "other", FIRST))
    assert told_apart([two, other]) == ["out", "other"], "only as much of the path as it takes"


def test_a_stored_id_stays_where_the_folder_moves(tmp_path):
    run = Run.load(written(tmp_path / "here", SECOND))
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert as_run(tmp_path / "there").id == run.id and as_run(run) is run


def test_a_fact_that_is_missing_is_named(tmp_path):
    run = Run.load(written(tmp_path, {"format": "glasstune-run", "version": 2}))
    for fact, said in (
        ("base", "which base model"),
        ("examples", "how many examples"),
        ("learning_rate", "learning rate"),
    ):
        with pytest.raises(InputError, match=f"does not say .*{said}"):
            getattr(run, fact)


def test_a_modules_entry_is_what_it_was_read_from():
    for entry in (WHOLE, THIN):
        assert read_info(FIRST | {"modules": {"m": entry}}, "run.json").modules["m"].to_json() == entry
    assert "fits" not in replace(Module(**{**THIN, "shape": (3, 2)}), fits="").to_json()
