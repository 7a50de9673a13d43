"""A folder of adapters: one row each, and overlaps that are those of the paper, computed pair by pair."""

import json

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from safetensors.numpy import save_file

from engine.inspect.many import distances, find_adapters, placed, read_many
from engine.measure.subspaces import subspace_overlap
from glasstune import InputError, Run
from visualize.commands.compare import COMMAND
from visualize.plots import plot_adapters

MODULES = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj", "model.layers.1.mlp.up_proj"]


def write(folder, seed, rank=4, modules=MODULES, noise=0.0, zero=False, out=48):
    """An adapter whose B is drawn from `seed`, plus noise: those of one seed write alike, those of two do not."""
    folder.mkdir(parents=True)
    draw, own, tensors = np.random.default_rng(seed), np.random.default_rng(abs(hash(folder.name)) % 2**32), {}
    for module in modules:
        b = draw.standard_normal((out, rank), np.float32) + noise * own.standard_normal((out, rank), np.float32)
        tensors[f"base_model.model.{module}.lora_B.weight"] = b * np.float32(not zero)
        tensors[f"base_model.model.{module}.lora_A.weight"] = own.standard_normal((rank, 32), np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    about = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "base_model_name_or_path": "nobody/nothing"}
    (folder / "adapter_config.json").write_text(json.dumps(about | {"target_modules": ["q_proj"]}))
    return folder


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "all" / "a1", 1)
    write(tmp_path / "all" / "a2", 1, noise=0.3)
    write(tmp_path / "all" / "deep" / "b", 2, rank=6)
    write(tmp_path / "all" / "none", 3, zero=True)
    broken = write(tmp_path / "all" / "broken", 4)
    (broken / "adapter_model.safetensors").write_bytes(b"no")
    return tmp_path / "all"


def test_every_adapter_below_is_a_row_and_a_broken_one_stops_nothing(folder):
    many = read_many(folder, progress=False)
    assert sorted(many.table.index) == ["a1", "a2", "deep/b", "none"] and list(many.unread) == ["broken"]
    row = many.table.loc["deep/b"]
    run = Run.from_adapter(folder / "deep" / "b")
    assert (row["method"], row["rank"], row["modules"], row["targets"]) == ("lora", 6, 3, "q_proj")
    assert row["norm"] == pytest.approx(np.sqrt(sum(np.sum(run.delta(name) ** 2) for name in run.modules)), rel=1e-5)
    assert many.table.loc["none", "verdict"] == "fault" and "B is still zero" in many.table.loc["none", "says"]


def test_overlaps_are_those_of_each_pair_beside_chance(folder):
    many = read_many(folder, progress=False)
    names = list(many.table.index)
    runs = [Run.from_adapter(folder / name) for name in names]
    assert many.modules == MODULES
    for i, first in enumerate(runs):
        for j, second in enumerate(runs):
            if "none" in (names[i], names[j]):
                assert np.isnan(many.overlap[i, j])
                continue
            each = [subspace_overlap(first, second, module, side="out") for module in MODULES]
            assert many.overlap[i, j] == pytest.approx(np.mean([one.phi for one in each]), abs=1e-4)
            assert many.chance[i, j] == pytest.approx(np.mean([one.chance for one in each]))
    assert many.table.loc["a1", "nearest"] == "a2" and many.table.loc["none", "nearest"] == ""
    assert many.table.loc["a1", "overlap"] > 0.8


def test_shares_of_several_at_once_are_put_together_in_order(folder):
    for number in range(5):
        write(folder / f"more{number}", 10 + number)
    alone = read_many(folder, progress=False)
    with parallel_config("threading"):
        several = read_many(folder, jobs=3, progress=False)
    pd.testing.assert_frame_equal(several.table, alone.table)
    np.testing.assert_array_equal(several.overlap, alone.overlap)
    assert several.unread == alone.unread and several.modules == alone.modules


def test_strangers_overlap_as_chance_has_it(tmp_path):
    for seed in range(12):
        write(tmp_path / f"s{seed}", seed)
    many = read_many(tmp_path, modules=2, progress=False)
    apart = many.overlap[~np.eye(12, dtype=bool)]
    assert len(many.modules) == 2 and apart.mean() == pytest.approx(4 / 48, abs=0.02)
    assert np.allclose(many.chance, 4 / 48)


def test_the_map_keeps_distances(folder):
    many = read_many(folder, progress=False)
    found = placed(many)
    apart = distances(many)
    at = found[["x", "y"]].to_numpy()
    names = list(found.index)
    near, far = (names.index(name) for name in ("a2", "deep/b"))
    first = names.index("a1")
    assert np.linalg.norm(at[first] - at[near]) < np.linalg.norm(at[first] - at[far])
    assert apart[first, far] == pytest.approx(1, abs=0.1) and 0 < found["shown"].iloc[0] <= 1
    drawn = plot_adapters(found)
    marks = np.concatenate([each.get_offsets() for each in drawn.collections])
    assert sorted(map(tuple, marks.round(6))) == sorted(map(tuple, at.round(6)))


def test_adapters_that_share_nothing_and_one_alone(tmp_path):
    write(tmp_path / "both" / "q", 1, modules=MODULES[:1])
    write(tmp_path / "both" / "v", 1, modules=MODULES[1:2])
    many = read_many(tmp_path / "both", progress=False)
    assert not many.modules and np.isnan(many.overlap).all() and len(placed(many)) == 2
    alone = read_many(tmp_path / "both" / "q", progress=False)
    assert list(alone.table.index) == ["."] and placed(alone)[["x", "y"]].to_numpy().tolist() == [[0, 0]]


def test_the_command(folder, tmp_path, capsys):
    main = COMMAND.main("compare")
    assert main([str(folder), "--csv", str(tmp_path / "t.csv"), "--map", str(tmp_path / "m.png")]) == 0
    shown = capsys.readouterr().out
    assert "4 adapters" in shown and "not read: broken" in shown and "1 fault, 0 doubt, 3 fine" in shown
    assert (tmp_path / "t.csv").read_text().count("\n") == 5 and (tmp_path / "m.png").stat().st_size > 10_000
    write(tmp_path / "other" / "=1+1", 1)
    assert main([str(tmp_path / "other"), "--csv", str(tmp_path / "o.csv")]) == 0
    assert (tmp_path / "o.csv").read_text().splitlines()[1].startswith("'=1+1,"), "no spreadsheet computes a name"
    (tmp_path / "mine.png").write_text("mine")
    for option, name in (("--csv", "t.csv"), ("--map", "mine.png")):
        before = (tmp_path / name).read_bytes()
        assert main([str(folder), option, str(tmp_path / name)]) == 2 and (tmp_path / name).read_bytes() == before
        assert f"{name} already exists" in capsys.readouterr().err
    assert main([str(tmp_path / "nothing")]) == 2
    with pytest.raises(InputError, match="holds no adapters"):
        find_adapters(tmp_path / "nothing")
