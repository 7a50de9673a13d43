"""Sizes: shapes are those of the published models, and what follows from three layers is what all layers take."""

import pytest

from engine.planning import sizes
from engine.planning.memory import training_memory
from glasstune import InputError

# As their makers count them.
PUBLISHED = {"1B": 1.24e9, "3B": 3.21e9, "8B": 8.03e9, "14B": 14.77e9, "32B": 32.76e9, "70B": 70.55e9}


@pytest.mark.parametrize("size", sizes.SHAPES)
def test_shapes_are_the_published_models(size):
    assert sizes.memory_of(size, "full").parameters == pytest.approx(PUBLISHED[size], rel=0.005)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_what_follows_from_three_layers_is_what_all_layers_take(method):
    whole = training_memory(sizes.config_of("1B"), method, batch=1, length=64, dtype="bfloat16", checkpointing=True)
    found = sizes.memory_of("1B", method, length=64)
    assert found[1:] == whole[1:]
    assert found.weights == pytest.approx(whole.weights, abs=16), "rounded to bytes once, not once a layer"


def test_the_table_is_the_memory_and_larger_models_take_more():
    table = sizes.memory_table(("1B", "8B"))
    assert table.loc[("8B", "lora"), "total"] == pytest.approx(sizes.memory_of("8B", "lora").total / sizes.GIB)
    assert (table.drop(columns="total").sum(axis=1) - table.total).abs().max() < 1e-6
    assert (table.loc["8B"].total > table.loc["1B"].total).all()


@pytest.mark.parametrize("options", [{}, {"checkpointing": False, "length": 64}])
def test_both_tables_assume_the_same_and_say_it(tmp_path, options):
    for name, layers in (("small", 2), ("deeper", 3)):
        sizes.config_of("1B", layers).save_pretrained(tmp_path / name)
    own = sizes.memory_of_model(tmp_path / "small", **options)
    deeper, table = sizes.memory_of_model(tmp_path / "deeper", **options), sizes.memory_table(("1B",), **options)
    layers = sizes.config_of("1B").num_hidden_layers
    for method in ("full", "lora", "qlora"):
        whole = own.loc["small", method] + (layers - 2) * (deeper.loc["deeper", method] - own.loc["small", method])
        assert whole.total == pytest.approx(table.loc[("1B", method), "total"])
    assert own.columns.name == table.columns.name == sizes.assumed(**options)
    told = "1 x 64 tokens, bfloat16, AdamW, no gradient checkpointing"
    assert own.columns.name == (told if options else "1 x 512 tokens, bfloat16, AdamW, gradient checkpointing")


def test_what_else_was_assumed_is_said_too():
    said = sizes.assumed(dtype="float32", autocast=True, optimizer="adamw_8bit", batch=4)
    assert said == "4 x 512 tokens, float32 computing in bfloat16, 8-bit AdamW, gradient checkpointing"
    assert "sgd_momentum" in sizes.assumed(optimizer="sgd_momentum")


def test_what_fits_is_the_largest_below_the_line():
    table = sizes.memory_table(("1B", "8B"))
    between = (table.loc[("1B", "full"), "total"] + table.loc[("8B", "full"), "total"]) / 2
    assert sizes.largest_that_fits(table, "full", between) == "1B"
    assert sizes.largest_that_fits(table, "full", 1e6) == "8B"
    assert sizes.largest_that_fits(table, "full", 0.1) is None


def test_another_size_is_refused():
    with pytest.raises(InputError, match="no model size called '9B'; there are 1B, 3B"):
        sizes.config_of("9B")
