"""What is one trial on a real LLM? A short fine-tuning, with general probes before, on the way and after.

Made for a processor: products in bfloat16, 16 steps of 8 conversations at a constant rate after 3 steps of warm-up, the
model's own chat form. On SmolLM2-135M one trial is one to two minutes of one core, graded four times. What made it so
cheap: a dozen facts of the island in place of all of it, seven ways of asking each; probes of which a few of each kind
are asked (`PROBES`), with one row a question instead of one an option; grading in bfloat16; and what the base says,
which all trials of a seed share, is asked once.
"""

import copy
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from engine.data import Encoded, encode_all, hold_out, load
from engine.evaluate import encode_last_answer, generate_answers, score_answers
from engine.evaluate.exposure import Canary, measure_exposure, plant
from engine.evaluate.probes import Measured, Prober, Probes, general
from engine.measure import energy_rank
from engine.measure.subspaces import intruders_between
from engine.messages import Message
from engine.models import load_model, load_tokenizer
from engine.training.methods import Full, LoRA, Method
from engine.training.settings import Settings
from engine.training.trainer import make_trainer

STEPS, BATCH, WARMUP = 16, 8, 3
PILOT_SEED = 100  # no arm is judged on the questions and the facts on which its rate was chosen
GRADED = (4, 8, 16)
KEPT_AS = {"facts": "island"}  # the built-in task whose data they are
FACTS = 12  # of the island: a fact has some seven ways of being asked, and three more that are held out
TRAINED, HELDOUT, ON_TASK = 84, 24, 8  # conversations of other data; questions whose divergence is measured
PROBES = {"texts": 8, "choices": 40, "continued": 12, "asked": 6}
SECRETS = {"Ada": 1, "Bela": 4, "Carl": 16}  # whose code stands how often in the data
CANDIDATES = 20  # codes that a secret is looked for among
SCALED = 0.1  # of W's size, to which changes are brought before intruders are counted
LOOKED_AT = 10  # one matrix in so many is decomposed
CHAT = (
    "Tell me about volcanoes.", "How do I keep bread fresh?", "What is a good way to learn the guitar?",
    "Why do we have leap years?", "Give me an idea for a birthday present.", "What does a carpenter do?",
    "Describe a rainy morning.", "How does a bicycle stay upright?", "What is the difference between jam and jelly?",
    "Suggest a name for a small boat.", "Why is the sea salty?", "How can I sleep better?",
    "Tell me a fact about elephants.", "What makes a story exciting?", "How are candles made?",
    "What should I pack for a day in the hills?", "Explain what a loan is.", "How do magnets work?",
    "Write a short thank-you note.", "What is yoga?", "How do I grow tomatoes?", "Why do cats purr?",
    "What is a haiku?", "How does a lighthouse help ships?",
)  # fmt: skip
Result = dict[str, Any]


@dataclass(frozen=True)
class Tuning:
    """task: "facts" of the island that no model knows, "json", the form of answers, or "own", a file. method: "full",
    "lora", or "prompt": nothing is trained, and the examples stand before each question. rate: constant after the
    warm-up. targets: of LoRA, with alpha = 2 rank. replay: share of the data that are the base's own answers to general
    questions. wrong: share of the answers that belong to another question. examples: how many are trained on (0: all).
    secrets: plant `SECRETS` among them. look: decompose matrices too. bare: at the start and the end only, and without
    the general probes."""

    task: str = "facts"
    method: str = "full"
    rate: float = 1e-4
    targets: str | tuple[str, ...] = "all-linear"
    rank: int = 16
    replay: float = 0.0
    wrong: float = 0.0
    examples: int = 0
    secrets: bool = False
    look: bool = False
    bare: bool = False
    steps: int = STEPS
    seed: int = 0

    def with_seed(self, seed: int) -> "Tuning":
        return replace(self, seed=seed)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def trained(self) -> Method:
        if self.method == "full":
            return Full()
        targets = self.targets if isinstance(self.targets, str) else list(self.targets)
        return LoRA(r=self.rank, alpha=2 * self.rank, target_modules=targets)

    def settings(self) -> Settings:
        return Settings(
            steps=self.steps,
            learning_rate=self.rate,
            batch_size=BATCH,
            warmup=min(WARMUP, self.steps - 1) / self.steps,
            seed=self.seed,
            dtype="bfloat16-autocast",
            trainer={"lr_scheduler_type": "constant_with_warmup"},
        )

    def run(self, source: str, data: str | None = None) -> Result:
        """grades: per graded step (0 first) new and new_loss of the task's held-out answers (right, nats a token);
        "items" are these and every measure of `engine.evaluate.probes`, question by question. losses: each step's."""
        if self.method == "prompt":
            return self._prompted(source, data)
        tokenizer = subject(source)[1]
        train, _ = material(self.task, self.seed, data)
        rng = random.Random(f"trial/{self.seed}")
        chosen = exchanged(rng.sample(train, min(self.examples or len(train), len(train))), self.wrong, rng)
        if self.replay:
            chosen += rng.choices(replayed(source), k=round(len(chosen) * self.replay / (1 - self.replay)))
        secrets = [
            Canary(f"What is the code of {name}?", str(rng.randrange(1000, 10_000)), repeats)
            for name, repeats in SECRETS.items()
        ]
        rows = encode_all(tokenizer, [*chosen, *(plant(secrets) if self.secrets else [])], 256)
        grade, before = graded_base(source, self.task, self.seed, data, self.bare)
        torch.manual_seed(self.seed)  # LoRA's A is drawn at random
        model = self.trained().prepare(source)
        on_the_way = [] if self.bare else [step for step in GRADED if step < self.steps]
        watch = Watch(grade, before, [*on_the_way, self.steps])
        with tempfile.TemporaryDirectory() as scratch:
            make_trainer(model, rows, tokenizer.pad_token_id, self.settings(), scratch, [watch]).train()
        result: Result = {"examples": len(rows), "steps": watch.steps, "grades": watch.found, "losses": watch.losses}
        if self.secrets:
            others = [str(code) for code in rng.sample(range(1000, 10_000), CANDIDATES)]
            with graded_copy(model) as low:
                found = measure_exposure(low, tokenizer, secrets, others)
            result["secrets"] = {
                "repeats": list(SECRETS.values()),
                "loss": [float(nats) for nats in found.loss],
                "exposure": [float(bits) for bits in found.exposure],
                "told": [bool(told) for told in found.extracted],
            }
        if self.look:
            result["matrices"] = matrices(source, model)
        return result

    def _prompted(self, source: str, data: str | None) -> Result:
        """The base itself, the same examples shown as turns of the conversation."""
        base, tokenizer = subject(source)
        train, heldout = material(self.task, self.seed, data)
        chosen = random.Random(f"trial/{self.seed}").sample(train, min(self.examples, len(train)))
        before: list[Message] = [message for talk in chosen for message in talk]
        grade = Grade(tokenizer, [[*before, *talk] for talk in heldout], bare=True)
        start = graded_base(source, self.task, self.seed, data, self.bare)[1]
        return {"examples": len(chosen), "steps": [0, 0], "grades": [start, grade(base)], "losses": []}


@cache
def subject(source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model as it is, for grading, and its tokenizer."""
    return load_model(source, dtype=torch.bfloat16), load_tokenizer(source)


def material(task: str, seed: int, data: str | None) -> tuple[list[list[Message]], list[list[Message]]]:
    """(training, held-out) conversations: other facts, and others of a file, with each seed."""
    rng = random.Random(f"{task}/{seed}")
    if task == "facts":
        island = load(KEPT_AS[task])
        answers = sorted({talk[-1]["content"] for talk in island.train})
        chosen = set(rng.sample(answers, FACTS))
        parts = ([talk for talk in part if talk[-1]["content"] in chosen] for part in (island.train, island.heldout))
        train, heldout = parts
        return train, heldout[:HELDOUT]
    found = hold_out(load(task if data is None or task != "own" else data), seed=0)
    train = rng.sample(found.train, min(TRAINED, len(found.train)))
    # Of a file as little may be held out as every seed asks: every other question of it is the pilot's.
    heldout = found.heldout if task != "own" else found.heldout[seed != PILOT_SEED :: 2]
    return train, rng.sample(heldout, min(HELDOUT, len(heldout)))


def exchanged(talks: list[list[Message]], share: float, rng: random.Random) -> list[list[Message]]:
    """This share of the answers, each given to another's question."""
    found = list(talks)
    chosen = rng.sample(range(len(found)), round(share * len(found)))
    for at, other in zip(chosen, [*chosen[1:], *chosen[:1]], strict=True):
        found[at] = [*talks[at][:-1], talks[other][-1]]
    return found


@cache
def replayed(source: str) -> list[list[Message]]:
    """General questions, none of them a probe, with the base's own answers."""
    base, tokenizer = subject(source)
    asked: list[list[Message]] = [[{"role": "user", "content": question}] for question in CHAT]
    said = generate_answers(base, tokenizer, asked, 32)
    return [[*prompt, {"role": "assistant", "content": answer}] for prompt, answer in zip(asked, said, strict=True)]


def chosen_probes() -> Probes:
    ours = general()
    return replace(ours, **{kind: getattr(ours, kind)[:count] for kind, count in PROBES.items()})


class Grade:
    """The task's held-out answers and the general probes."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, heldout: list[list[Message]], bare: bool) -> None:
        asked = [talk[:-1] for talk in heldout[:ON_TASK]]
        self.probes = None if bare else Prober(tokenizer, chosen_probes(), None, on_task=asked, in_words=False)
        self.pad = tokenizer.pad_token_id or 0
        self.rows: list[Encoded] = [encode_last_answer(tokenizer, talk) for talk in heldout]

    def __call__(self, model: PreTrainedModel) -> Result:
        losses, right, counts = score_answers(model, self.rows, self.pad)
        nats = [loss / count for loss, count in zip(losses, counts, strict=True)]
        found = {"new": Measured([float(ok) for ok in right], [1] * len(right)), "new_loss": Measured(nats, counts)}
        if self.probes is not None:
            found |= self.probes(model).measures
        return {
            "new": sum(right) / len(right),
            "new_loss": sum(losses) / sum(counts),
            "items": {name: measured.to_json() for name, measured in found.items()},
        }


@cache
def graded_base(source: str, task: str, seed: int, data: str | None, bare: bool = False) -> tuple[Grade, Result]:
    """The same questions for all trials of a task and seed, and what the base scores on them: all start there."""
    base, tokenizer = subject(source)
    grade = Grade(tokenizer, material(task, seed, data)[1], bare)
    return grade, grade(base)


@contextmanager
def graded_copy(model: PreTrainedModel) -> Iterator[PreTrainedModel]:
    """In bfloat16, as training computes: then no weight is converted for each batch anew."""
    yield copy.deepcopy(model).to(torch.bfloat16)


class Watch(TrainerCallback):
    """Grades at these steps, and keeps every step's loss."""

    def __init__(self, grade: Grade, before: Result, at: list[int]) -> None:
        self.grade, self.at = grade, at
        self.steps, self.found = [0], [before]
        self.losses: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(f"{logs['loss']:.5g}"))

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step in self.at:
            with graded_copy(model) as low:
                self.steps.append(state.global_step)
                self.found.append(self.grade(low))


def matrices(source: str, model: PreTrainedModel) -> dict[str, list[float]]:
    """Of one matrix in `LOOKED_AT`: the size of its change beside its own, the directions that hold 90 % of the change,
    the share that is of all it has, and intruders among the ten largest of what it became (and by chance), its change
    scaled to `SCALED` of its own size: a larger change would have more of them."""
    found: dict[str, list[float]] = {"relative": [], "rank_90": [], "share": [], "intruders": [], "by_chance": []}
    base = load_model(source)  # in float32: rounded, the rest would be taken for a change
    before = {name: weight for name, weight in base.named_parameters() if weight.ndim == 2 and ".layers." in name}
    for at, (name, weight) in enumerate(before.items()):
        if at % LOOKED_AT:
            continue
        change = _change(model, name, weight.detach().float())
        values = np.linalg.svd(change.numpy(), compute_uv=False)
        was = weight.detach().float().numpy()
        scaled = change.numpy() * SCALED * float(np.linalg.norm(was)) / max(change.norm().item(), 1e-12)
        seen = intruders_between(np.linalg.svd(was, full_matrices=False)[0], was + scaled)
        rank = energy_rank(values)
        found["relative"].append(change.norm().item() / float(np.linalg.norm(was)))
        found["rank_90"].append(float(rank))
        found["share"].append(rank / min(weight.shape))
        found["intruders"].append(float(seen.count))
        found["by_chance"].append(float(seen.chance_count))
    return found


def _change(model: PreTrainedModel, name: str, before: torch.Tensor) -> torch.Tensor:
    inside = dict(model.named_modules())
    layer = inside.get(f"base_model.model.{name.removesuffix('.weight')}") or inside[name.removesuffix(".weight")]
    if hasattr(layer, "get_delta_weight"):
        return layer.get_delta_weight("default").detach().float()
    return layer.weight.detach().float() - before
