"""Memory of training, computed: the same as what models built here really hold, and as the published figures."""

from copy import deepcopy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig

from engine.measure.quantize import double_bits
from engine.planning.memory import training_memory
from engine.training.methods import QLoRA
from glasstune import InputError
from tests.engine.small import CONFIGS

SEVEN = LlamaConfig(num_hidden_layers=32)  # transformers' defaults are LLaMA 7B's
SIXTY_FIVE = LlamaConfig(
    hidden_size=8192, intermediate_size=22016, num_hidden_layers=80, num_attention_heads=64, num_key_value_heads=64
)
pytestmark = pytest.mark.filterwarnings("ignore:If you want to use .BertLMHeadModel:UserWarning")


def measured(model, batch, length, autocast=False):
    """Bytes of weights, gradients, AdamW's state and saved activations, of one real training step."""
    owned = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    ids, mask = torch.zeros(batch, length, dtype=torch.long), torch.ones(batch, length, dtype=torch.long)
    mask[0, -1] = 0  # one token of padding
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        loss = model(input_ids=ids, attention_mask=mask, labels=ids, use_cache=False).loss
    activations = sum(size for size, _ in kept.values())
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    loss.backward()
    optimizer.step()
    state = sum(t.nbytes for one in optimizer.state.values() for t in one.values() if t.dim())
    return sum(p.nbytes for p in model.parameters()), sum(p.grad.nbytes for p in trained), state, activations


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set:UserWarning")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_it_is_what_a_real_step_holds(kind, method, dtype):
    model = AutoModelForCausalLM.from_config(deepcopy(CONFIGS[kind]), dtype=getattr(torch, dtype)).train()
    if method == "lora":
        options = {"fan_in_fan_out": True} if kind == "gpt2" else {}
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", **options)).train()
    computed = training_memory(CONFIGS[kind], method, batch=3, length=16, dtype=dtype, r=4)
    weights, gradients, state, activations = measured(model, 3, 16)
    assert computed[:3] == (weights, gradients, state)
    assert computed.activations == pytest.approx(activations, rel=0.02)
    assert computed.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_autocast_keeps_copies_of_the_weights():
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"], dtype=torch.float32).train()
    computed = training_memory(CONFIGS["llama"], batch=2, length=16, dtype="float32", autocast=True)
    assert computed.activations == pytest.approx(measured(model, 2, 16, autocast=True)[3], rel=0.05)


@pytest.mark.parametrize("double", [False, True])
def test_qloras_weights_are_those_of_bitsandbytes(double):
    model = QLoRA(r=4, double_quant=double).prepare("embedded")
    held = 0
    for parameter in model.parameters():
        held += parameter.nbytes
        if (state := getattr(parameter, "quant_state", None)) is not None:
            held += state.absmax.nbytes + (state.state2.absmax.nbytes if double else 0)
    computed = training_memory(
        "embedded", "qlora", batch=1, length=8, dtype="float32", adapter_dtype="bfloat16", r=4, double=double
    )
    assert computed.weights == pytest.approx(held, rel=0.002)


def test_checkpointing_keeps_less_and_grows_by_what_enters_a_layer():
    plain, kept = (
        training_memory(CONFIGS["llama"], batch=4, length=32, dtype="bfloat16", checkpointing=c) for c in (False, True)
    )
    assert kept.activations < plain.activations and kept[:3] == plain[:3]
    deeper = type(CONFIGS["llama"])(**{**CONFIGS["llama"].to_diff_dict(), "num_hidden_layers": 3})
    more = training_memory(deeper, batch=4, length=32, dtype="bfloat16", checkpointing=True)
    assert more.activations - kept.activations == 4 * 32 * 32 * 2, "tokens x width x two bytes"


def test_more_tokens_take_more_and_nothing_else_changes():
    one, two = (training_memory(CONFIGS["llama"], "lora", batch=b, length=32) for b in (1, 2))
    assert two.activations == pytest.approx(2 * one.activations, rel=0.02) and one[:3] == two[:3]


def test_seven_billion_weights_are_what_the_papers_say():
    full = training_memory(SEVEN, batch=1, length=256, dtype="bfloat16")
    assert full.parameters == 6_738_415_616
    # GaLore (Zhao et al. 2024), section 1: 14 GB of weights, 42 GB of Adam states and gradients, 2 GB of activations.
    assert full.weights / 1e9 == pytest.approx(14, rel=0.05)
    assert (full.optimizer + full.gradients) / 1e9 == pytest.approx(42, rel=0.05)
    assert full.activations / 1e9 < 2.5


def test_sixty_five_billion_weights_are_what_the_paper_says():
    # QLoRA (Dettmers et al. 2023): from more than 780 GB to less than 48 GB; double quantisation saves some 3 GB.
    full = training_memory(SIXTY_FIVE, length=8, dtype="bfloat16", optimizer="adamw_32bit")
    assert full.parameters == 65_285_660_672
    assert (full.weights + full.gradients + full.optimizer) / 1e9 == pytest.approx(780, rel=0.01)
    options = {
        "dtype": "bfloat16",
        "checkpointing": True,
        "optimizer": "adamw_8bit",
        "r": 64,
        "adapter_dtype": "bfloat16",
    }
    assert training_memory(SIXTY_FIVE, "qlora", length=512, **options).total < 48e9
    assert full.parameters * (4.5 - double_bits()) / 8 / 1e9 == pytest.approx(3, rel=0.05)


def test_unless_told_otherwise_it_is_the_precision_that_finetune_uses():
    assert training_memory(CONFIGS["llama"], length=16) == training_memory(CONFIGS["llama"], length=16, dtype="float32")
    assert training_memory(CONFIGS["llama"], length=16).weights == 4 * training_memory(CONFIGS["llama"]).parameters


@pytest.mark.parametrize(
    "arguments, options, said",
    [
        ((CONFIGS["llama"], "dora"), {}, "no method called 'dora'"),
        ((CONFIGS["llama"],), {"optimizer": "muon"}, "no optimizer called 'muon' here"),
        ((CONFIGS["llama"],), {"dtype": "int8"}, "no floating type called 'int8'"),
        ((CONFIGS["llama"],), {"batch": 0}, "is no training step"),
        ((CONFIGS["llama"], "lora"), {"r": 0}, "r is 0"),
        ((CONFIGS["llama"], "lora"), {"target_modules": ["nope"]}, "LoRA found nothing to adapt"),
        (("/nowhere",), {}, "/nowhere is no model folder"),
    ],
)
def test_bad_input(arguments, options, said):
    with pytest.raises(InputError, match=said):
        training_memory(*arguments, **options)
