"""Integers in groups are read as the weights that they stand for: packed here code by code, as each format has it."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.run.tensors import Tensors
from glasstune import Run

MODULE = "model.layers.0.self_attn.q_proj"
OUT, INTO, GROUPS = 48, 64, 4
RANDOM = np.random.default_rng(0)


def packed(codes: np.ndarray, bits: int, order=None) -> np.ndarray:
    """Codes of each row into 32-bit words, `order` saying which of a word's codes comes first."""
    per = 32 // bits
    words = np.zeros((len(codes), -(-codes.shape[1] // per)), np.uint32)
    for row in range(len(codes)):
        for word in range(words.shape[1]):
            for at in range(per):
                column = word * per + (order[at] if order else at)
                if column < codes.shape[1]:
                    words[row, word] |= np.uint32(int(codes[row, column]) << (bits * at))
    return words.view(np.int32)


def save(folder, settings=None, name="config.json", **tensors):
    folder.mkdir(exist_ok=True)
    save_file({leaf: np.ascontiguousarray(value) for leaf, value in tensors.items()}, folder / "model.safetensors")
    if settings is not None:
        (folder / name).write_text(json.dumps(settings))
    return folder


def weights(bits, group):
    """Codes (in, out), zeros and scales (groups, out), and the weight that they are, (out, in)."""
    codes, zeros = (RANDOM.integers(0, 2**bits, shape) for shape in ((INTO, OUT), (GROUPS, OUT)))
    scales = RANDOM.uniform(0.01, 0.1, (GROUPS, OUT)).astype(np.float16)
    weight = np.empty((OUT, INTO))
    for at in range(INTO):
        weight[:, at] = scales[group[at]].astype(float) * (codes[at] - zeros[group[at]])
    return codes, zeros, scales, weight


def named(**leaves):
    return {f"{MODULE}.{leaf}": value for leaf, value in leaves.items()}


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("form", "less"), [("gptq", 1), ("gptq_v2", 0)])
@pytest.mark.parametrize("ordered", [True, False])
def test_gptq(tmp_path, bits, form, less, ordered):
    group = np.arange(INTO) // (INTO // GROUPS) if ordered else RANDOM.integers(0, GROUPS, INTO)
    codes, zeros, scales, weight = weights(bits, group)
    stored = named(qweight=packed(codes.T, bits).T, qzeros=packed((zeros - less) % 2**bits, bits), scales=scales,
                   g_idx=group.astype(np.int32), bias=np.ones(OUT, np.float16))  # fmt: skip
    settings = {"quantization_config": {"quant_method": "gptq", "bits": bits, "checkpoint_format": form}}
    tensors = Tensors(save(tmp_path / "base", settings, **stored))
    assert set(tensors.entries) == {f"{MODULE}.weight", f"{MODULE}.bias"} and not tensors.refused
    np.testing.assert_allclose(tensors.read(f"{MODULE}.weight"), weight, rtol=1e-6)
    assert tensors.parameters == OUT * INTO + OUT


def test_gptqs_older_settings_and_none(tmp_path):
    group = np.arange(INTO) // (INTO // GROUPS)
    codes, zeros, scales, weight = weights(4, group)
    stored = named(qweight=packed(codes.T, 4).T, qzeros=packed((zeros - 1) % 16, 4), scales=scales,
                   g_idx=group.astype(np.int32))  # fmt: skip
    old = save(tmp_path / "old", {"bits": 4, "group_size": 16}, "quantize_config.json", **stored)
    np.testing.assert_allclose(Tensors(old).read(f"{MODULE}.weight"), weight, rtol=1e-6)
    assert Tensors(save(tmp_path / "none", **stored)).refused == {f"{MODULE}.weight": "GPTQ"}, "nothing tells its form"


def test_awq(tmp_path):
    codes, zeros, scales, weight = weights(4, np.arange(INTO) // (INTO // GROUPS))
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    stored = named(qweight=packed(codes, 4, order), qzeros=packed(zeros, 4, order), scales=scales)
    settings = {"quantization_config": {"quant_method": "awq", "version": "gemm"}}
    np.testing.assert_allclose(
        Tensors(save(tmp_path / "base", settings, **stored)).read(f"{MODULE}.weight"), weight, rtol=1e-6
    )
    settings["quantization_config"]["version"] = "gemv_fast"
    assert Tensors(save(tmp_path / "base", settings, **stored)).refused == {f"{MODULE}.weight": "AWQ"}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("into", [64, 60])
def test_compressed_tensors(tmp_path, bits, groups, into):
    codes = RANDOM.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (OUT, into))
    scales = RANDOM.uniform(0.01, 0.1, (OUT, groups)).astype(np.float32)
    weight = codes * np.repeat(scales, into // groups, axis=1)
    stored = named(weight_packed=packed(codes + 2 ** (bits - 1), bits), weight_scale=scales,
                   weight_shape=np.array([OUT, into]))  # fmt: skip
    base = save(tmp_path / "base", **stored)
    np.testing.assert_allclose(Tensors(base).read(f"{MODULE}.weight"), weight, rtol=1e-6)
    save(tmp_path / "tuned", **named(weight=(weight + 0.5).astype(np.float32)))
    run = Run.from_checkpoints(base, tmp_path / "tuned", progress=False)
    np.testing.assert_allclose(run.delta(MODULE), 0.5, atol=1e-5)
    assert run.norm(MODULE) == pytest.approx(0.5 * (OUT * into) ** 0.5, rel=1e-4)
    assert any("compressed-tensors" in note for note in run.info.notes)


def test_many_rows_are_read_a_piece_at_a_time(tmp_path):
    codes, scales = RANDOM.integers(0, 16, (2000, 64)), np.ones((2000, 1), np.float32)
    stored = named(weight_packed=packed(codes, 4), weight_scale=scales, weight_shape=np.array([2000, 64]))
    tensors = Tensors(save(tmp_path / "base", **stored))
    assert len(list(tensors.pieces(f"{MODULE}.weight"))) > 1
    np.testing.assert_array_equal(tensors.read(f"{MODULE}.weight"), codes - 8)


def test_two_packed_checkpoints_are_the_same_only_with_their_scales(tmp_path):
    codes = RANDOM.integers(0, 16, (8, 64))
    one, two = (
        Tensors(
            save(
                tmp_path / f"{scale}",
                **named(weight_packed=packed(codes, 4), weight_scale=np.full((8, 1), scale, np.float32),
                        weight_shape=np.array([8, 64])),
            )
        )
        for scale in (1, 2)
    )  # fmt: skip
    assert one.same(f"{MODULE}.weight", one) and not one.same(f"{MODULE}.weight", two)
