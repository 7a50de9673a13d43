"""The film of four bits: what its shapes stand for is what quantisation gives, and it refuses what it cannot show."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from manim import Text
from msgspec.structs import replace

from animations import qlora
from animations.studio.film import watched_module
from engine.measure.quantize import levels, quantize, quantize_scales
from engine.planning.sizes import SHAPES, memory_table
from glasstune import InputError
from visualize.mobjects.bits import Bits, bfloat16, bits_of
from visualize.mobjects.block import BlockPlot
from visualize.mobjects.histogram import Histogram


@pytest.fixture
def found(qlora_run):
    module = watched_module(qlora_run)
    weight = qlora_run.weight(module)
    return weight, quantize(weight, "nf4", 64, double=True)


@pytest.mark.parametrize("scene", [qlora.Block, qlora.Levels])
def test_a_block_shows_its_weights_scaled_or_snapped(scene, walked, found):
    weight, four = found
    blocks = weight.reshape(-1, 64)
    for beat in walked(scene).beats:
        for plot, drawn in beat.drawn:
            if isinstance(plot, BlockPlot):
                at = walked(scene).scene.number
                scale = np.abs(blocks[at]).max()
                codes = four.codes.reshape(-1, 64)[at]
                known = [blocks[at], blocks[at] / scale, levels("nf4")[codes]]
                assert any(np.allclose(drawn, truth, atol=1e-3) for truth in known)


@pytest.mark.parametrize("scene", [qlora.Weights, qlora.Levels])
def test_histograms_count_every_weight(scene, walked, found):
    shown = [pair for beat in walked(scene).beats for pair in beat.drawn if isinstance(pair[0], Histogram)]
    assert shown
    for histogram, drawn in shown:
        np.testing.assert_allclose(drawn, histogram.counts, atol=1.0)
        assert histogram.counts.sum() == found[0].size


def test_bits_are_those_that_are_stored():
    numbers = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    import torch

    expected = torch.from_numpy(numbers).to(torch.bfloat16).view(torch.int16).numpy().astype(np.uint16)
    np.testing.assert_array_equal(bfloat16(numbers), expected)
    weights = 1 << np.arange(32, dtype=np.uint64)[::-1]
    np.testing.assert_array_equal(weights @ bits_of(numbers), numbers.view(np.uint32))
    np.testing.assert_array_equal(bits_of(np.array([5, 8]), 4).T, [[0, 1, 0, 1], [1, 0, 0, 0]])


def test_the_bits_of_the_scale_are_what_is_kept_of_it(walked, found):
    scene = walked(qlora.Storage).scene
    kept, back = quantize_scales(quantize(found[0], "nf4", 64).scales)
    np.testing.assert_array_equal(back, found[1].scales)
    shown = [part.bits for mobject in scene.mobjects for part in mobject.get_family() if isinstance(part, Bits)]
    np.testing.assert_array_equal(shown[0], bits_of(found[1].codes.reshape(-1, 64)[scene.number], 4))
    np.testing.assert_array_equal(shown[1], bits_of(kept[[scene.number]], 8).T)


def test_what_fits_is_said_as_computed(walked):
    from engine.planning.sizes import GPUS, largest_that_fits

    scene, table = walked(qlora.Memory).scene, memory_table()
    said = [caption.text for caption in scene.captions]
    written = [part.original_text for one in scene.mobjects for part in one.get_family() if isinstance(part, Text)]
    assert "computed: 1 x 512 tokens, bfloat16, AdamW, gradient checkpointing" in written
    size = largest_that_fits(table, "qlora", GPUS["RTX 4090"])
    assert said[-1].endswith(f"QLoRA {size}.")
    assert f"{table.loc[(list(SHAPES)[-1], 'full'), 'total']:,.0f} GiB" in said[1]


def test_skills_and_scores_are_said_as_the_runs_hold_them(walked, film_runs):
    said = [caption.text for caption in walked(qlora.Cost).scene.captions]
    exact, four = (film_runs[name].skills.iloc[0].drop("spanish").mean() for name in ("lora", "qlora"))
    assert said[1] == f"The base's skills: {100 * exact:.1f} % right in 32 bits, {100 * four:.1f} % in four."
    assert len(said) == 2, "runs of different lengths are not compared"


@pytest.mark.parametrize(
    "settings, said",
    [({"dtype": "float32"}, "32 bits"), ({"dtype": "bfloat16-autocast"}, "32 bits"), ({"dtype": "bfloat16"}, "16 bits"),
     ({}, ""), (None, "")],
)  # fmt: skip
def test_the_bits_of_the_other_base_are_those_it_was_trained_in_or_not_said(settings, said):
    run = SimpleNamespace(info=SimpleNamespace(raw={"settings": settings}))
    assert qlora.bits_of_base(run) == said


def test_of_the_factors_no_bits_are_said(walked):
    said = [caption.text for caption in walked(qlora.Training).scene.captions]
    assert said[0] == "W in 4 bits, frozen; A and B learn.", "a user's own adapters may be float32"


def test_another_method_is_refused(lora_run):
    with pytest.raises(InputError, match="is lora; the film qlora shows a QLoRA run"):
        qlora.check(lora_run)


@pytest.mark.parametrize("told", [{"quant_type": None}, {"double_quant": None}, {"quant_type": "int8"}])
def test_bits_that_nobody_recorded_are_not_drawn(told, qlora_run):
    run = type(qlora_run).load(qlora_run.path)
    run.info = replace(run.info, method=replace(run.info.method, options={**run.info.method.options, **told}))
    with pytest.raises(InputError, match="does not say in which four bits"):
        qlora.check(run)


def test_the_card_at_the_end_says_the_bits_of_the_scenes(walked):
    scene, said = walked(qlora.Storage).scene, [caption.text for caption in walked(qlora.Storage).scene.captions]
    assert walked(qlora.End).figures[0].number == f"{scene.four.bits:.2f} bits" and f"{scene.four.bits:.2f}" in said[-1]
