"""Computed adapters of models that are no causal language models: each is put into the class that has its modules."""

import copy

import numpy as np
import peft
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    CLIPVisionConfig,
    LlavaConfig,
    T5Config,
    ViTConfig,
)

from engine.inspect.diagnose import diagnose
from glasstune import InputError, Run
from tests.engine.small import CONFIGS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
BERT, LLAMA = CONFIGS["bert"], CONFIGS["llama"]
T5 = T5Config(d_model=32, d_ff=48, d_kv=8, num_layers=2, num_heads=4, vocab_size=96, decoder_start_token_id=0)
VIT = ViTConfig(
    hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=16, patch_size=8
)
SEEING = CLIPVisionConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=16,
                          patch_size=8, projection_dim=16)  # fmt: skip
LLAVA = LlavaConfig(vision_config=SEEING, text_config=LLAMA, image_token_index=90)
OTHER = BertConfig(**{**BERT.to_dict(), "num_labels": 5})

KINDS = {  # what the base is saved as, what is trained, its task, the modules
    "a classifier": (AutoModelForSequenceClassification, BERT, "SEQ_CLS", ["query"]),
    "a classifier of a language model": (AutoModelForSequenceClassification, LLAMA, "SEQ_CLS", ["q_proj"]),
    "a classifier without a stated task": (AutoModelForSequenceClassification, BERT, None, ["query"]),
    "tokens": (AutoModelForTokenClassification, BERT, "TOKEN_CLS", ["query"]),
    "questions": (AutoModelForQuestionAnswering, BERT, "QUESTION_ANS", ["query"]),
    "an encoder": (AutoModel, BERT, "FEATURE_EXTRACTION", ["query"]),
    "a masked language model": (AutoModelForMaskedLM, BERT, None, ["query"]),
    "a translator": (AutoModelForSeq2SeqLM, T5, "SEQ_2_SEQ_LM", ["q"]),
    "pictures": (AutoModel, VIT, None, ["q_proj"]),
    "one that sees and writes": (AutoModelForImageTextToText, LLAVA, None, ["q_proj"]),
    "one that sees, as a causal language model": (AutoModelForImageTextToText, LLAVA, "CAUSAL_LM", ["q_proj"]),
}  # fmt: skip


def train(model):
    torch.manual_seed(3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def agrees(run, before, after):
    """Every change is merged minus base, by whatever name the base has."""
    ends = {name: [other for other in before if other.endswith(name)] for name in after}
    for module, about in run.info.modules.items():
        if about.lacks:
            continue
        name = about.parameter if about.parameter in after else about.in_base
        difference = (after[name] - before[(ends.get(name) or [about.in_base])[0]]).numpy()
        np.testing.assert_allclose(run.delta(module), difference, atol=1e-6)
        np.testing.assert_array_equal(run.weight(module), before[name].numpy())
        assert np.abs(difference).max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", [peft.HRAConfig, peft.BOFTConfig])
def test_it_is_computed_in_the_class_that_has_its_modules(kind, method, tmp_path):
    make, config, task, targets = KINDS[kind]
    torch.manual_seed(0)
    base = make.from_config(copy.deepcopy(config))
    base.save_pretrained(tmp_path / "base")
    size = {"r": 2} if method is peft.HRAConfig else {"boft_block_size": 4}
    model = train(peft.get_peft_model(copy.deepcopy(base), method(target_modules=targets, task_type=task, **size)))
    model.save_pretrained(tmp_path / "adapter")
    run = Run.open(tmp_path / "adapter", tmp_path / "base")
    assert len([name for name in run.modules if name.endswith(targets[0])]) >= 2
    agrees(run, base.state_dict(), model.merge_and_unload().state_dict())
    assert {finding.level for finding in diagnose(run)} == {"fine"}, diagnose(run)


@pytest.mark.parametrize("source", [AutoModel, AutoModelForMaskedLM])
def test_a_head_that_the_base_lacks_is_the_adapters_own(source, tmp_path):
    torch.manual_seed(0)
    source.from_config(copy.deepcopy(BERT)).save_pretrained(tmp_path / "base")
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=5)  # the config says 3
    before = copy.deepcopy(base.state_dict())
    model = train(peft.get_peft_model(base, peft.HRAConfig(r=2, target_modules=["query"], task_type="SEQ_CLS")))
    model.save_pretrained(tmp_path / "adapter")
    run = Run.open(tmp_path / "adapter", tmp_path / "base")
    after = model.merge_and_unload().state_dict()
    for name in ("bert.encoder.layer.0.attention.self.query", "bert.encoder.layer.1.attention.self.query"):
        module = next(one for one in run.modules if one.endswith(name.removeprefix("bert.")))
        difference = after[f"{name}.weight"] - before[f"{name}.weight"]
        np.testing.assert_allclose(run.delta(module), difference.numpy(), atol=1e-6)
    assert "new: the base has no such parameter" in " ".join(about.lacks or "" for about in run.info.modules.values())
    assert not any(finding.level == "fault" for finding in diagnose(run))


def test_a_weight_that_the_base_lacks_is_not_drawn_at_random(tmp_path):
    torch.manual_seed(0)
    AutoModel.from_config(copy.deepcopy(BERT), add_pooling_layer=False).save_pretrained(tmp_path / "base")
    base = AutoModel.from_config(copy.deepcopy(BERT))
    config = peft.HRAConfig(r=2, target_modules=["pooler.dense"], task_type="FEATURE_EXTRACTION")
    train(peft.get_peft_model(base, config)).save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match=r"holds no pooler\.dense\.weight, which is adapted"):
        Run.open(tmp_path / "adapter", tmp_path / "base")


def test_one_of_another_model_is_a_sentence(tmp_path):
    AutoModel.from_config(copy.deepcopy(VIT)).save_pretrained(tmp_path / "base")
    base = AutoModel.from_config(copy.deepcopy(T5))
    peft.get_peft_model(base, peft.HRAConfig(r=2, target_modules=["wi"])).save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match="no model of its base has such a module") as refusal:
        Run.open(tmp_path / "adapter", tmp_path / "base")
    assert "\n" not in str(refusal.value)
