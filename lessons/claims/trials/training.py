"""What does one fine-tuning learn, and what does it forget? transformers' Trainer, graded on the way.

The same training as `engine.training.finetune`'s, without its capture: of many short runs only the grades are wanted.
The rate is constant after its warm-up, so that every moment of a training is a training that ended there.
"""

import random
import tempfile
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from engine.data import Encoded, encode_all
from engine.messages import Message
from engine.models import load_tokenizer
from engine.school.curriculum import mixture
from engine.training.methods import Full, LoRA, Method, QLoRA
from engine.training.settings import Settings
from engine.training.trainer import make_trainer
from lessons.claims.compact import pack_bits, unpack_bits
from lessons.claims.trials import Result, Trial
from lessons.claims.trials.matrices import changes
from lessons.claims.trials.questions import FORMS, Side, grades_of_base, in_form, material


def moments(steps: int, finely: bool = False) -> list[int]:
    """At which steps is a training graded? At 10, each time it is twice as far on (or 1.6 times), and at its end:
    forgetting is fast at first."""
    factor, at = (1.6 if finely else 2.0), 10.0
    found = []
    while round(at) < steps:
        found.append(round(at))
        at *= factor
    return [*found, steps]


@dataclass(frozen=True)
class Training(Trial):
    """One fine-tuning of the embedded model.

    rate: the learning rate, after `warmup` steps. steps: at most; until: it ends when this share of the new questions
    is right (0: never), and is graded more often on the way. alpha: LoRA's, with any rank. schedule: "linear" falls to
    nothing at the last step. examples: how many of the task's (0: all). noise: share of them whose answers are
    exchanged. mix: share of the data that comes from the curriculum. masked: only the answers are learned. side: the
    questions it is judged by, or others, to choose settings by. old: ask for the old skills, too. matrices: look at
    the change of every matrix.
    """

    task: str = "spanish"
    method: str = "full"
    rate: float = 1e-3
    steps: int = 160
    until: float = 0.0
    batch: int = 16
    rank: int = 8
    alpha: int = 16
    schedule: Literal["constant", "linear"] = "constant"
    warmup: int = 5
    examples: int = 0
    noise: float = 0.0
    mix: float = 0.0
    masked: bool = True
    dropout: float = 0.0
    side: Side = "judge"
    old: bool = True
    matrices: bool = False

    def run(self) -> Result:
        """steps: the graded ones, 0 first; at: the grades of each (see `questions.Grades`). form: which of the answers
        that it writes have the task's form. changes: of the matrices."""
        tokenizer = load_tokenizer()
        torch.manual_seed(self.seed)  # LoRA's A is drawn at random
        model = self.trained().prepare("embedded")
        watch = Watch(self)
        train(model, self.rows(tokenizer), self.settings(), tokenizer, [watch])
        result: Result = {"steps": watch.steps, "at": watch.found}
        if self.task in FORMS:
            result["form"] = pack_bits(in_form(model, self.task, self.side))
        if self.matrices:
            result["changes"] = changes(model)
        return result

    def trained(self) -> Method:
        if self.method == "full":
            return Full()
        return {"lora": LoRA, "qlora": QLoRA}[self.method](r=self.rank, alpha=self.alpha, dropout=self.dropout)

    def settings(self) -> Settings:
        return Settings(
            steps=self.steps, learning_rate=self.rate, batch_size=self.batch, seed=self.seed,
            warmup=min(self.warmup, self.steps // 2) / self.steps,
            trainer=None if self.schedule == "linear" else {"lr_scheduler_type": "constant_with_warmup"},
        )  # fmt: skip

    def rows(self, tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
        conversations = exchanged(drawn_examples(self.task, self.examples, self.seed), self.noise, self.seed)
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


def drawn_examples(task: str, count: int, seed: int) -> list[list[Message]]:
    """`count` of a task's training examples (0: all), other ones with each seed."""
    found = material(task)[0]
    return random.Random(f"{task}/{seed}").sample(found, min(count or len(found), len(found)))


def exchanged(conversations: list[list[Message]], share: float, seed: int) -> list[list[Message]]:
    """Noise: this share of the answers, each given to another's question."""
    found = list(conversations)
    chosen = random.Random(seed).sample(range(len(found)), round(share * len(found)))
    for at, other in zip(chosen, [*chosen[1:], *chosen[:1]], strict=True):
        found[at] = [*conversations[at][:-1], conversations[other][-1]]
    return found


class Watch(TrainerCallback):
    """Grades the model at the moments of a training, and ends it when it has learned enough."""

    def __init__(self, training: Training) -> None:
        self.grades, before = grades_of_base(training.task, training.side, training.old)
        self.old, self.until = training.old, training.until
        self.moments = frozenset(moments(training.steps, finely=bool(training.until)))
        self.steps, self.found = [0], [before]

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step in self.moments:
            self.steps.append(state.global_step)
            self.found.append(self.grades(model, self.old))
            if self.until and unpack_bits(self.found[-1]["new"]).mean() >= self.until:
                control.should_training_stop = True
