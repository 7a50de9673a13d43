"""A quantised checkpoint is read as the weights that it stands for, or refused by the name of its method."""

import json

import bitsandbytes.functional as bnb
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.inspect.__main__ import main
from engine.inspect.diagnose import diagnose
from engine.run.tensors import Tensors
from glasstune import InputError, Run
from tests.engine.small import save_adapter, save_base

NAME = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def weight():
    torch.manual_seed(0)
    return torch.randn(256, 192)


def save(folder, **tensors):
    folder.mkdir(exist_ok=True)
    save_file(
        {name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()},
        folder / "model.safetensors",
    )
    return folder


def four_bit(weight, kind, double, name=NAME):
    """As transformers saves a bitsandbytes model, and what bitsandbytes itself makes of it."""
    codes, state = bnb.quantize_4bit(weight, quant_type=kind, compress_statistics=double)
    parts = {f"{name}.{part}": value for part, value in state.as_dict(packed=True).items()}
    return {name: codes, **parts}, bnb.dequantize_4bit(codes, state)


def test_a_description_is_no_megabyte_that_is_read_when_the_file_is_opened(tmp_path, weight):
    stored, _ = four_bit(weight, "nf4", False)
    state = next(name for name in stored if "quant_state" in name)
    stored[state] = torch.cat([stored[state], torch.full((1_000_000,), ord(" "), dtype=torch.uint8)])
    with pytest.raises(InputError, match=r"1,000,\d{3} bytes, which no description has"):
        Tensors(save(tmp_path, **stored))


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("double", [False, True])
def test_four_bits_are_read_as_bitsandbytes_reads_them(tmp_path, weight, kind, double):
    stored, expected = four_bit(weight, kind, double)
    tensors = Tensors(save(tmp_path / "base", **stored))
    assert list(tensors.entries) == [NAME] and tensors.shape(NAME) == (256, 192) and tensors.parameters == 256 * 192
    np.testing.assert_allclose(tensors.read(NAME), expected.numpy(), atol=1e-6)
    save(tmp_path / "tuned", **{NAME: weight + 1})
    run = Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    assert run.norm(run.modules[0]) == pytest.approx(float((weight + 1 - expected).norm()), rel=1e-5)
    assert any(f"bitsandbytes {kind.upper()}" in note for note in run.info.notes)


def test_bitsandbytes_in_eight_bits(tmp_path, weight):
    scale = weight.abs().amax(dim=1)
    codes = torch.round(weight / scale[:, None] * 127).to(torch.int8)
    save(tmp_path / "base", **{NAME: codes, NAME.replace("weight", "SCB"): scale,
                               NAME.replace("weight", "weight_format"): torch.tensor(0, dtype=torch.uint8)})  # fmt: skip
    read = Tensors(tmp_path / "base").read(NAME)
    np.testing.assert_allclose(read, (codes.float() * scale[:, None] / 127).numpy(), rtol=1e-6)
    assert np.abs(read - weight.numpy()).max() <= float(scale.max()) / 127


def scaled(weight, form):
    """(codes, scale, their product) of an 8-bit float with one scale, one a row, or one a block of 128 x 128."""
    if form == "tensor":
        scale = (weight.abs().max() / 448).reshape(())
        each = scale
    elif form in ("row", "column of rows"):
        scale = weight.abs().amax(dim=1) / 448
        each = scale[:, None]
        scale = scale if form == "row" else scale[:, None]
    else:
        blocks = [[weight[i : i + 128, j : j + 128].abs().max() / 448 for j in (0, 128)] for i in (0, 128)]
        scale = torch.tensor(blocks)
        each = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)[:256, :192]
    codes = (weight / each).to(torch.float8_e4m3fn)
    return codes, scale, codes.float() * each


@pytest.mark.parametrize("form", ["tensor", "row", "column of rows", "block"])
@pytest.mark.parametrize("end", ["weight_scale_inv", "weight_scale"])
def test_eight_bit_floats_beside_a_scale(tmp_path, weight, form, end):
    codes, scale, expected = scaled(weight, form)
    save(tmp_path / "base", **{NAME: codes, NAME.replace("weight", end): scale})
    tensors = Tensors(tmp_path / "base")
    assert list(tensors.entries) == [NAME]
    np.testing.assert_allclose(tensors.read(NAME), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("form", ["tensor", "row"])
def test_eight_bit_integers_with_a_zero_point(tmp_path, weight, form):
    low, high = (f(weight) if form == "tensor" else f(weight, dim=1, keepdim=True) for f in (torch.amin, torch.amax))
    scale = (high - low) / 255
    zero = torch.round(-128 - low / scale)
    codes = torch.clamp(torch.round(weight / scale) + zero, -128, 127)
    stored = {"weight_scale": scale, "weight_zero_point": zero.to(torch.int8)}
    save(tmp_path / "base", **{NAME: codes.to(torch.int8)},
         **{NAME.replace("weight", end): value for end, value in stored.items()})  # fmt: skip
    tensors = Tensors(tmp_path / "base")
    assert list(tensors.entries) == [NAME]
    np.testing.assert_allclose(tensors.read(NAME), ((codes - zero) * scale).numpy(), atol=1e-5)
    assert np.abs(tensors.read(NAME) - weight.numpy()).max() <= 1.01 * float(scale.max())


def test_a_scale_by_comfyuis_name_and_one_by_no_known_name(tmp_path, weight):
    codes, scale, expected = scaled(weight, "tensor")
    other, small = NAME.replace("q_proj", "k_proj"), NAME.replace("q_proj", "v_proj")
    save(tmp_path / "base", scaled_fp8=torch.zeros(2, dtype=torch.float8_e4m3fn),
         **{NAME: codes, NAME.replace("weight", "scale_weight"): scale, NAME.replace("weight", "scale_input"): scale,
            other: codes, other.replace("weight", "dequant_scale"): scale,
            small: codes, small.replace("weight", "input_scale"): scale})  # fmt: skip
    tensors = Tensors(tmp_path / "base")
    np.testing.assert_allclose(tensors.read(NAME), expected.numpy(), rtol=1e-6)
    assert tensors.refused == {other: "8-bit floats with a scale that is not known (dequant_scale)"}
    np.testing.assert_array_equal(tensors.read(small), codes.float())  # a scale of what goes through is none of weights


def said(run, level):
    return " | ".join(finding.what for finding in diagnose(run) if finding.level == level)


def of_two(folder, tuned):
    return Run.from_checkpoints(folder / "base", tuned, progress=False)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_base_cast_to_eight_bits_is_not_a_trained_one(tmp_path, weight, dtype):
    weight[0, :4] = torch.tensor([0.0, 1.0625, 2.0**-10, 1e-6])  # ties, and what is less than the least
    save(tmp_path / "base", **{NAME: weight})
    run = of_two(tmp_path, save(tmp_path / "cast", **{NAME: weight.to(dtype)}))
    assert "every weight is the base's own, rounded" in said(run, "fault") and not said(run, "fine")
    run = of_two(tmp_path, save(tmp_path / "tuned", **{NAME: (weight * 1.1).to(dtype)}))
    assert "1 of 1 matrices changed" in said(run, "fine")


def test_what_went_through_sixteen_bits_is_not_trained(tmp_path, weight):
    save(tmp_path / "base", **{NAME: weight})
    for name, dtype in (("a", torch.bfloat16), ("b", torch.float16)):
        run = of_two(tmp_path, save(tmp_path / name, **{NAME: weight.to(dtype).float()}))
        assert "every weight is the base's own, rounded" in said(run, "fault") and not said(run, "fine")


def test_of_a_quantised_model_nobody_can_tell_whether_it_was_trained(tmp_path, weight):
    stored, read = four_bit(weight, "nf4", False)
    norm, bias = "model.norm.weight", torch.ones(8)
    save(tmp_path / "base", **{NAME: weight, norm: bias})
    save(tmp_path / "packed", **stored, **{norm: bias})
    run = of_two(tmp_path, tmp_path / "packed")
    assert not said(run, "fine") and not said(run, "fault")
    assert "1 of 2 (model.layers.0.self_attn.q_proj): the tuned model is stored as bitsandbytes NF4, and what" in said(
        run, "doubt"
    )
    run = of_two(tmp_path, save(tmp_path / "too", **stored, **{norm: bias + 1}))
    assert "1 of 2 tensors (0 of 1 matrices) changed, model.norm furthest" in said(run, "fine")
    # Of a base that is in codes, what began with them is told from what did not.
    other = NAME.replace("q_proj", "k_proj")
    more, read_too = four_bit(weight + 1, "nf4", False, other)
    (tmp_path / "q").mkdir()
    save(tmp_path / "q" / "base", **stored, **more)
    tuned = {NAME: read.bfloat16(), other: (read_too + 0.1).bfloat16()}
    assert "1 of 2 matrices changed" in said(of_two(tmp_path / "q", save(tmp_path / "q" / "t", **tuned)), "fine")
    original = {NAME: weight.bfloat16(), other: (weight + 1).bfloat16()}
    run = of_two(tmp_path / "q", save(tmp_path / "q" / "o", **original))
    assert "2 of 2" in said(run, "doubt") and "cannot be told" in said(run, "doubt") and not said(run, "fine")


def test_a_stack_of_experts_in_eight_bits(tmp_path):
    torch.manual_seed(0)
    stack, scale = torch.randn(3, 256, 128).to(torch.float8_e4m3fn), torch.rand(3, 2, 1) + 1
    save(tmp_path / "base", **{"layers.0.experts.down_proj": stack, "layers.0.experts.down_proj_scale_inv": scale})
    expected = stack.float() * scale.repeat_interleave(128, 1)
    np.testing.assert_allclose(Tensors(tmp_path / "base").read("layers.0.experts.down_proj"), expected, rtol=1e-6)


def test_plain_eight_bit_floats_are_weights(tmp_path, weight):
    save(tmp_path / "base", **{NAME: weight.to(torch.float8_e5m2)})
    np.testing.assert_array_equal(Tensors(tmp_path / "base").read(NAME), weight.to(torch.float8_e5m2).float())


def integers(*shape, dtype=torch.int32):
    return torch.ones(shape, dtype=dtype)


REFUSED = {
    "GPTQ": {"qweight": integers(4, 32), "qzeros": integers(1, 4), "scales": torch.ones(1, 32), "g_idx": integers(32)},
    "AWQ": {"qweight": integers(32, 4), "qzeros": integers(32, 1), "scales": torch.ones(32, 1)},  # its "gemv" form
    "compressed-tensors": {"weight_packed": integers(32, 4), "weight_scale": torch.ones(32, 1),
                           "weight_shape": torch.tensor([32, 32]), "weight_zero_point": integers(4, 1)},
    "HQQ": {"W_q": integers(32, 16, dtype=torch.uint8), "scales": torch.ones(32), "zeros": torch.ones(32)},
    "AQLM": {"codes": integers(4, 4, 1, dtype=torch.int16), "codebooks": torch.ones(1, 256, 1, 8),
             "scales": torch.ones(4, 1, 1, 1)},
    "NVFP4": {"weight": integers(32, 16, dtype=torch.uint8), "weight_scale": torch.ones(32, 2),
              "weight_scale_2": torch.ones(())},
    "a packing that is not known": {"weight": integers(32, 16, dtype=torch.uint8)},
}  # fmt: skip


@pytest.mark.parametrize("method", REFUSED)
def test_other_packings_are_refused_by_name(tmp_path, method, capsys):
    module = NAME.removesuffix(".weight")
    save(tmp_path / "base", **{f"{module}.{leaf}": value for leaf, value in REFUSED[method].items()})
    save(tmp_path / "tuned", **{NAME: torch.ones(32, 32)})
    with pytest.raises(InputError, match=f"packed by {method}.*give the models before they were quantised"):
        Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    assert main([str(tmp_path / "base"), str(tmp_path / "tuned")]) == 2
    both = {"model.norm.weight": torch.ones(8)}
    save(tmp_path / "base", **both, **{f"{module}.{leaf}": value for leaf, value in REFUSED[method].items()})
    save(tmp_path / "tuned", **both, **{NAME: torch.ones(32, 32)})
    run = Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    (reason,) = run.info.differences
    assert reason.startswith(f"packed by {method}") and run.info.differences[reason] == [NAME]
    said = " ".join(finding.what for finding in diagnose(run))
    assert "packed by" in said and "nothing changed" not in said and "did not change" in said


def test_mxfp4(tmp_path):
    save(tmp_path / "base", **{"experts.down_proj_blocks": integers(2, 4, 1, 16, dtype=torch.uint8),
                               "experts.down_proj_scales": integers(2, 4, 1, dtype=torch.uint8)})  # fmt: skip
    assert Tensors(tmp_path / "base").refused == {"experts.down_proj": "MXFP4"}


def test_a_description_that_does_not_fit_its_codes_is_one_sentence(tmp_path, weight):
    stored, _ = four_bit(weight, "nf4", False)
    for key, value in {"shape": [9, 9], "blocksize": 0, "nothing": 1}.items():
        state = {"blocksize": 64, "shape": [256, 192]} | {key: value}
        if key == "nothing":
            state = {}
        text = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
        save(tmp_path / "base", **stored | {f"{NAME}.quant_state.bitsandbytes__nf4": text})
        with pytest.raises(InputError, match=r"base.* cannot be understood"):
            Tensors(tmp_path / "base").read(NAME)


def test_a_traceback_never_looks_like_a_fault(tmp_path, monkeypatch, capsys, weight):
    save(tmp_path / "base", **{NAME: weight})
    monkeypatch.setattr("engine.inspect.report.show", lambda *_: 1 / 0)
    assert main([str(tmp_path / "base"), str(tmp_path / "base")]) == 3
    assert "ZeroDivisionError" in capsys.readouterr().err


def retyped(folder, name, kind, shape, file="model.safetensors"):
    """One tensor of a file said to be of another type, of which it then is as many numbers."""
    raw = (folder / file).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    header[name] |= {"dtype": kind, "shape": list(shape)}
    text = json.dumps(header).encode()
    (folder / file).write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])


@pytest.mark.parametrize("kind, shape", [("F4", (64, 64)), ("F6_E2M3", (32, 85)), ("C64", (16, 16)), ("F3_NEW", (9,))])
def test_of_a_type_that_is_not_known_one_tensor_is_left_out_and_the_others_are_read(tmp_path, kind, shape):
    for folder in (tmp_path / "base", tmp_path / "tuned"):
        save(folder, **{NAME: torch.ones(16, 32), "model.norm.weight": torch.full((4,), float(folder.name == "tuned"))})
        retyped(folder, NAME, kind, shape)
    tensors = Tensors(tmp_path / "base")
    assert tensors.refused == {NAME: f"a packing that is not known ({kind})"} and list(tensors.entries) == [
        "model.norm.weight"
    ]
    run = Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    assert run.norm("model.norm") == 2
    assert any(NAME in name for why, names in run.info.differences.items() if kind in why for name in names)


def test_codes_whose_scales_are_of_a_type_that_is_not_known_are_no_weights(tmp_path):
    codes = torch.ones(32, 64).to(torch.float8_e4m3fn)
    save(tmp_path / "base", **{NAME: codes, f"{NAME}_scale": torch.ones(32, 2, dtype=torch.uint8)})
    retyped(tmp_path / "base", f"{NAME}_scale", "F8_NEW", (32, 2))
    tensors = Tensors(tmp_path / "base")
    assert not tensors.entries and tensors.refused == {NAME: "8-bit floats with a scale that is not known (F8_NEW)"}


@pytest.mark.parametrize("kind", ["U8", "F8_E8M0"])
def test_scales_that_are_powers_of_two(tmp_path, weight, kind):
    """MXFP8: a block of 32 in a row has an exponent (OCP Microscaling Formats 1.0)."""
    blocks = weight.reshape(256, 6, 32)
    exponent = torch.floor(torch.log2(blocks.abs().amax(-1))) - 8
    codes = (blocks / torch.exp2(exponent)[..., None]).clamp(-448, 448).to(torch.float8_e4m3fn)
    scale = (exponent + 127).to(torch.uint8)
    save(tmp_path / "base", **{NAME: codes.reshape(256, 192), f"{NAME}_scale": scale})
    if kind != "U8":
        retyped(tmp_path / "base", f"{NAME}_scale", kind, (256, 6))
    tensors = Tensors(tmp_path / "base")
    assert list(tensors.entries) == [NAME] and not tensors.refused
    expected = (codes.float() * torch.exp2(exponent)[..., None]).reshape(256, 192)
    np.testing.assert_array_equal(tensors.read(NAME), expected.numpy())
    assert float((torch.from_numpy(tensors.read(NAME)) - weight).norm() / weight.norm()) < 0.05


@pytest.mark.parametrize("kind", [7, None, ["F32"], "F" * 100])
def test_a_type_that_is_no_word_is_a_header_that_cannot_be_read(tmp_path, kind):
    save(tmp_path / "base", **{NAME: torch.ones(16, 32)})
    retyped(tmp_path / "base", NAME, kind, (16, 32))
    with pytest.raises(InputError, match=r"has a header that cannot be read .*no short word"):
        Tensors(tmp_path / "base")


def test_of_an_adapter_too_it_is_told_what_is_left_out(tmp_path):
    base = save_base(tmp_path / "base")
    save_adapter(tmp_path / "adapter", base, target_modules=["q_proj", "v_proj"])
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    retyped(tmp_path / "adapter", name, "C64", (4, 16), "adapter_model.safetensors")
    run = Run.open(tmp_path / "adapter")
    assert len(run.modules) == 3 and all(run.norm(module) for module in run.modules)
    assert run.info.differences["packed by a packing that is not known (C64), which is not read"] == [name]
    assert any(f"(C64), which is not read: {name}" in note for note in run.info.notes)
    assert any("C64" in finding.what for finding in diagnose(run))
