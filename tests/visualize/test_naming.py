"""A matrix has one name, whoever draws it; a colour scale one limit, whoever fills it."""

import numpy as np
import pytest

from visualize.naming import in_forward_order, kinds_of, layer_of, percent, proper, short, titled
from visualize.theme import limit_of, rgb_of


@pytest.mark.parametrize(
    "name, layer, said",
    [
        ("model.layers.12.mlp.up_proj", 12, "layer 12 up_proj"),
        ("transformer.h.0.mlp.c_fc", 0, "layer 0 mlp.c_fc"),
        ("h.0.c_fc", 0, "layer 0 c_fc"),
        ("model.norm", None, "norm"),
        ("lm_head", None, "lm_head"),
    ],
)
def test_layers_are_read_from_names(name, layer, said):
    assert layer_of(name) == layer
    assert short(name) == said


def test_kinds_are_as_short_as_can_be_told_apart():
    names = ["transformer.h.0.attn.c_attn", "transformer.h.0.attn.c_proj", "transformer.h.1.mlp.c_proj", "lm_head"]
    assert list(kinds_of(names).values()) == ["c_attn", "attn.c_proj", "mlp.c_proj", "lm_head"]


def test_kinds_stand_as_a_layer_uses_them_whatever_order_the_file_has():
    assert in_forward_order(["down_proj", "k_proj", "q_proj"]) == ["q_proj", "k_proj", "down_proj"]
    assert in_forward_order(["mlp.c_proj", "c_attn"]) == ["mlp.c_proj", "c_attn"], "those that are not known stay"


def test_a_colour_is_its_three_bytes():
    assert rgb_of("#0a80ff") == (10, 128, 255)


def test_one_weight_does_not_hide_all_others_and_nothing_is_no_zero():
    values = np.ones(10_000, np.float32)
    values[0] = 1e6
    assert limit_of(-values) == 1.0
    values[1] = np.nan
    assert limit_of(values) == 1.0
    few = np.zeros(10_000, np.float32)
    few[3] = -2.0
    assert limit_of(few) == 2.0, "fewer than a thousandth moved: they are seen all the same"
    assert 0 < limit_of(np.zeros(4)) < 1e-9 and 0 < limit_of(np.full(4, np.nan)) < 1e-9


def test_names_of_languages_and_formats_are_written_as_in_a_sentence():
    assert proper("spanish, full, to the letter") == "Spanish, full, to the letter"
    assert proper("noisy spanish; json; pirate") == "noisy Spanish; JSON; pirate"
    assert proper("spanishness") == "spanishness"
    assert [titled(one) for one in ("pirate", "json", "noisy spanish", "")] == ["Pirate", "JSON", "Noisy Spanish", ""]


def test_shares_are_written_in_one_way():
    assert [percent(0.05), percent(0.0512, 1), percent(1.0)] == ["5 %", "5.1 %", "100 %"]
    assert [percent(one) for one in (0.0, 0.004, 0.006, 0.994, 0.996, 1.0)] == [
        "0 %", "< 1 %", "1 %", "99 %", "> 99 %", "100 %",
    ]  # fmt: skip
    assert [percent(one, 1) for one in (0.0004, 0.9996, 0.996)] == ["< 0.1 %", "> 99.9 %", "99.6 %"]
    assert percent(1.004) == "100 %"
