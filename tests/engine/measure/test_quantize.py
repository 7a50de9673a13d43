"""Four bits, in numpy: the same levels, codes and numbers as bitsandbytes, and the published sizes."""

import numpy as np
import pytest
import torch
from bitsandbytes import functional

from engine.measure.quantize import KINDS, double_bits, levels, nearest, quantization_error, quantize, scale_levels
from glasstune import InputError

RANDOM = np.random.default_rng(0)
GAUSS = RANDOM.standard_normal((48, 80)).astype(np.float32) * 0.02


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_levels_are_those_of_bitsandbytes(kind):
    theirs = functional.get_4bit_type(kind, device="cpu").numpy()
    np.testing.assert_allclose(levels(kind), np.sort(theirs), atol=2e-7)


def test_int4_is_the_whole_numbers():
    np.testing.assert_allclose(7 * levels("int4"), sorted([*range(-7, 8), 0]), atol=1e-6)


def test_scale_levels_are_those_of_bitsandbytes():
    np.testing.assert_allclose(scale_levels(), functional.create_dynamic_map().numpy(), atol=1e-7)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("block_size", [64, 128, 512])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("shape", [(48, 80), (7, 11), (130, 256)])
def test_values_are_those_of_bitsandbytes(kind, block_size, double, shape):
    weight = np.random.default_rng(1).standard_normal(shape).astype(np.float32) * 0.05
    packed, state = functional.quantize_4bit(
        torch.from_numpy(weight), blocksize=block_size, quant_type=kind, compress_statistics=double
    )
    codes = np.stack([packed.numpy().ravel() >> 4, packed.numpy().ravel() & 15], axis=1).ravel()[: weight.size]
    ours = quantize(weight, kind, block_size, double)
    theirs = functional.get_4bit_type(kind, device="cpu").numpy()[codes]
    np.testing.assert_allclose(levels(kind)[ours.codes], theirs, atol=2e-7)
    scales = state.absmax
    if double:
        scales = functional.dequantize_blockwise(scales, state.state2) + state.offset
    # A scale on the edge between two of the 256 levels may fall on either side, by rounding.
    np.testing.assert_allclose(ours.scales, scales.numpy(), rtol=1e-3 if double else 0)
    if shape[1] % block_size == 0:  # its CPU kernel reads matrices of other widths wrongly (0.50)
        whole = functional.dequantize_4bit(packed, state).numpy()
        np.testing.assert_allclose(ours.values(), whole, atol=1e-4 if double else 1e-7)


def test_nearest_is_the_nearest():
    values = np.linspace(-1, 1, 501, dtype=np.float32)
    for kind in KINDS:
        distances = np.abs(levels(kind)[nearest(values, levels(kind))] - values)
        np.testing.assert_allclose(distances, np.abs(levels(kind)[None] - values[:, None]).min(axis=1), atol=1e-7)


def test_double_quantisation_saves_what_the_paper_says():
    assert quantize(GAUSS).bits - quantize(GAUSS, double=True).bits == pytest.approx(0.373, abs=5e-4)
    assert double_bits(64) == pytest.approx(4.127, abs=5e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_quantising_again_changes_nothing(kind):
    once = quantize(GAUSS, kind).values()
    np.testing.assert_allclose(quantize(once, kind).values(), once, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_smaller_blocks_lose_less(kind):
    errors = [quantization_error(GAUSS, kind, block).rms for block in (16, 64, 256, 3840)]
    assert errors == sorted(errors)
    assert quantization_error(GAUSS, kind, double=True).rms >= 0.999 * quantization_error(GAUSS, kind).rms


def test_an_error_is_what_it_says():
    error = quantization_error(GAUSS, "nf4", 64)
    difference = GAUSS - quantize(GAUSS, "nf4", 64).values()
    assert error.rms == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-5)
    assert error.relative == pytest.approx(np.linalg.norm(difference) / np.linalg.norm(GAUSS), rel=1e-5)
    assert error.largest == pytest.approx(np.abs(difference).max())


def test_the_largest_weight_of_a_block_is_exact():
    quantized = quantize(GAUSS, "int4", 40).values().reshape(-1, 40)
    table = GAUSS.reshape(-1, 40)
    at = np.abs(table).argmax(axis=1)[:, None]
    np.testing.assert_allclose(
        np.take_along_axis(np.abs(quantized), at, 1), np.take_along_axis(np.abs(table), at, 1), rtol=1e-6
    )


def test_zeros_stay_zeros():
    assert not quantize(np.zeros((3, 5)), "nf4", 4, double=True).values().any()


@pytest.mark.parametrize(
    "weight, options, said",
    [
        (GAUSS, {"kind": "nf5"}, "no 4-bit type called 'nf5'; there are nf4, fp4, int4"),
        (GAUSS, {"block_size": 0}, "block_size is 0"),
        (np.array([1.0, np.nan]), {}, "NaN or infinity"),
    ],
)
def test_bad_input(weight, options, said):
    with pytest.raises(InputError, match=said):
        quantize(weight, **options)
