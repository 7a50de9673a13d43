"""What does one fine-tuning learn, and what does it forget? transformers' Trainer, graded on the way.

The same training as `engine.training.finetune`'s, without its capture: of many short runs only the grades are wanted.
"""

import random
import tempfile
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from engine.data import Encoded, encode, encode_all, load
from engine.evaluate import OPEN_ENDED, curriculum_groups, encode_last_answer, generate_answers, score_answers
from engine.evaluate.metrics import json_with, matching, score
from engine.measure import effective_rank, energy_rank
from engine.measure.subspaces import intruders_between
from engine.messages import Message
from engine.models import load_model, load_tokenizer
from engine.school.curriculum import SKILLS, heldout_examples, mixture
from engine.school.curriculum.facts import WORDS
from engine.training.methods import Full, LoRA, Method, QLoRA
from engine.training.settings import Settings
from engine.training.trainer import make_trainer
from lessons.claims.trials import Result, Trial

PER_SKILL = 5  # old questions graded of each skill, other ones with each seed
FORMS = {"json": json_with("about", "answer"), "pirate": matching(r"Arr, .+ it be, matey!")}
ASKED = 20  # answers that are generated to see whether they have the task's form


@dataclass(frozen=True)
class Training(Trial):
    """One fine-tuning of the embedded model.

    task: a built-in task, or a skill that the base has already. part: share of the things it asks about that are in
    it, other ones with each seed. rate: the peak learning rate. examples: how many of its training examples (0: all).
    noise: share of them whose answers are exchanged. mix: share of the data that comes from the curriculum. masked:
    only the answers are learned. rank: of LoRA, with alpha = 2 rank. every: steps between grades. matrices: look at
    the change of every matrix too.
    """

    task: str = "spanish"
    part: float = 1.0
    method: str = "full"
    rate: float = 1e-3
    steps: int = 100
    batch: int = 16
    rank: int = 8
    examples: int = 0
    noise: float = 0.0
    mix: float = 0.0
    masked: bool = True
    warmup: float = 0.05
    decay: float = 0.0
    dropout: float = 0.0
    every: int = 20
    matrices: bool = False

    def run(self) -> Result:
        """Per graded step (0 first): new, the share of held-out answers exactly right, and old, that of questions about
        everything that the base could do; new_loss and old_loss beside them, in nats a token. peak: the highest loss
        of a training step after the tenth. form: share of generated answers in the task's form. See `changes` for the
        matrices."""
        tokenizer = load_tokenizer()
        torch.manual_seed(self.seed)  # LoRA's A is drawn at random
        model = self.trained().prepare("embedded")
        watch = Watch(self.task, self.part, self.seed, self.every)
        train(model, self.rows(tokenizer), self.settings(), tokenizer, [watch])
        result: Result = {"steps": watch.steps, **watch.columns(), "peak": max(watch.losses[10:], default=None)}
        if self.task in FORMS:
            result["form"] = share_in_form(model, tokenizer, self.task, [])
        if self.matrices:
            result["changes"] = changes(model)
        return result

    def trained(self) -> Method:
        if self.method == "full":
            return Full()
        return {"lora": LoRA, "qlora": QLoRA}[self.method](r=self.rank, alpha=2 * self.rank, dropout=self.dropout)

    def settings(self) -> Settings:
        return Settings(
            steps=self.steps, learning_rate=self.rate, batch_size=self.batch, warmup=self.warmup,
            weight_decay=self.decay, seed=self.seed,
        )  # fmt: skip

    def rows(self, tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
        chosen = drawn_examples(self.task, self.examples, self.seed, self.part)
        conversations = exchanged(chosen, self.noise, random.Random(self.seed))
        drawn = mixture(seed=10_000 + self.seed)
        extra = round(len(conversations) * self.mix / (1 - self.mix))
        rows = encode_all(tokenizer, [*conversations, *(next(drawn)[1].messages for _ in range(extra))])
        return rows if self.masked else [Encoded(row.ids, row.ids) for row in rows]


def train(
    model: PreTrainedModel,
    rows: list[Encoded],
    settings: Settings,
    tokenizer: PreTrainedTokenizerBase,
    callbacks: list[TrainerCallback],
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        make_trainer(model, rows, tokenizer.pad_token_id, settings, scratch, callbacks).train()


@cache
def material(task: str) -> tuple[list[list[Message]], list[list[Message]]]:
    """(training, held-out) conversations of a task, of a skill that the base was taught, or of "front": a new word
    before each word, a mapping of the kind that the base was taught to pick up from examples in the prompt."""
    if task == "front":
        words = random.Random(task).sample(WORDS, len(WORDS))
        pairs = [
            [{"role": "user", "content": word}, {"role": "assistant", "content": f"zumbo {word}"}] for word in words
        ]
        return pairs[60:], pairs[:60]
    if task in SKILLS:
        asked = {example.prompt[-1]["content"]: example.messages for example in heldout_examples(task, 60, seed=1)}
        other = (example.messages for example in SKILLS[task].examples("train", seed=1))
        train = [messages for messages, _ in zip(other, range(400), strict=False)]
        return [m for m in train if m[-2]["content"] not in asked], list(asked.values())
    data = load(task)
    return data.train, data.heldout


def in_part(task: str, part: float, seed: int) -> tuple[list[list[Message]], list[list[Message]]]:
    """(training, held-out) conversations whose answer is among this share of the task's answers."""
    train, heldout = material(task)
    answers = sorted({messages[-1]["content"] for messages in train})
    chosen = set(random.Random(f"part/{seed}").sample(answers, round(part * len(answers))))
    if part == 1:
        return train, heldout
    return [m for m in train if m[-1]["content"] in chosen], [m for m in heldout if m[-1]["content"] in chosen]


def drawn_examples(task: str, count: int, seed: int, part: float = 1.0) -> list[list[Message]]:
    """`count` of a task's training examples (0: all), other ones with each seed."""
    found = in_part(task, part, seed)[0]
    return random.Random(f"{task}/{seed}").sample(found, min(count or len(found), len(found)))


def exchanged(conversations: list[list[Message]], share: float, rng: random.Random) -> list[list[Message]]:
    """Noise: this share of the answers, each given to another's question."""
    found = list(conversations)
    chosen = rng.sample(range(len(found)), round(share * len(found)))
    for at, other in zip(chosen, [*chosen[1:], *chosen[:1]], strict=True):
        found[at] = [*conversations[at][:-1], conversations[other][-1]]
    return found


class Grades:
    """The task's held-out questions, and `PER_SKILL` of each old skill with a right answer, ready to be graded."""

    def __init__(self, task: str, part: float, seed: int) -> None:
        tokenizer = load_tokenizer()
        self.pad_id = tokenizer.pad_token_id
        self.new = [encode(tokenizer, messages) for messages in in_part(task, part, seed)[1]]
        self.old = [
            encode_last_answer(tokenizer, messages)
            for name, group in curriculum_groups(PER_SKILL, seed).items()
            if name != task and name not in OPEN_ENDED
            for messages in group
        ]

    def __call__(self, model: PreTrainedModel) -> dict[str, float]:
        (new, new_loss), (old, old_loss) = (graded(model, rows, self.pad_id) for rows in (self.new, self.old))
        return {"new": new, "new_loss": new_loss, "old": old, "old_loss": old_loss}


def graded(model: PreTrainedModel, rows: list[Encoded], pad_id: int) -> tuple[float, float]:
    """(share of answers exactly right, loss in nats a token)"""
    losses, exact, tokens = score_answers(model, rows, pad_id)
    return sum(exact) / len(rows), sum(losses) / sum(tokens)


@cache
def base() -> PreTrainedModel:
    """The embedded model, as it was; not to be trained."""
    return load_model()


@cache
def graded_base(task: str, part: float, seed: int) -> tuple[Grades, dict[str, float]]:
    """The questions, and what the base scores on them: every training of this task and seed starts there."""
    grades = Grades(task, part, seed)
    return grades, grades(base())


class Watch(TrainerCallback):
    """Grades the model each `every` steps and at the end, and keeps every step's loss."""

    def __init__(self, task: str, part: float, seed: int, every: int) -> None:
        self.every = every
        self.grades, before = graded_base(task, part, seed)
        self.steps, self.found = [0], [before]
        self.losses: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self.steps.append(state.global_step)
            self.found.append(self.grades(model))

    def columns(self) -> dict[str, list[float]]:
        return {name: [row[name] for row in self.found] for name in self.found[0]}


def share_in_form(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: str, before: list[Message]
) -> float:
    """Share of generated answers in the task's form. before: what stands before each held-out question."""
    asked = material(task)[1][:ASKED]
    said = generate_answers(model, tokenizer, [[*before, *messages[:-1]] for messages in asked], max_new_tokens=40)
    return score(said, [messages[-1]["content"] for messages in asked], [FORMS[task]])[FORMS[task].name].value


def weights_and_changes(model: PreTrainedModel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of every linear layer but the head: its name, and W and delta-W, both (out, in)."""
    found = {}
    before = dict(base().named_parameters())
    for name, module in model.named_modules():
        name = name.removeprefix("base_model.model.")
        if f"{name}.weight" not in before or before[f"{name}.weight"].ndim != 2 or "layers" not in name:
            continue
        weight = before[f"{name}.weight"].detach()
        adapted = hasattr(module, "get_delta_weight")
        change = module.get_delta_weight("default") if adapted else module.weight - weight
        found[name] = (weight.numpy(), change.detach().numpy())
    return found


def changes(model: PreTrainedModel) -> dict[str, float]:
    """Means over all matrices. relative: size of delta-W beside W. effective_rank and rank_90: of delta-W (see
    `engine.measure`). intruders: of the ten largest directions of W', those that W did not have, and chance beside."""
    rows = []
    for weight, change in weights_and_changes(model).values():
        values = np.linalg.svd(change, compute_uv=False)
        found = intruders_between(np.linalg.svd(weight, full_matrices=False)[0], weight + change)
        rows.append(
            {
                "relative": float(np.linalg.norm(change) / np.linalg.norm(weight)),
                "effective_rank": effective_rank(values),
                "rank_90": float(energy_rank(values)),
                "intruders": float(found.count),
                "intruders_by_chance": found.chance_count,
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
