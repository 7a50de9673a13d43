"""Where does the base model come from? `python -m engine.pretrain` makes it from nothing, on a laptop, in an hour.

The whole way: the curriculum writes conversations, a tokenizer is trained on them, a small Llama learns to answer
them, is graded on what it never saw, and is saved with its card, to a folder of its own: with `--embedded`, to that of
the base model that Glasstune comes with. Everything follows from one seed. An interrupted run goes on from its last
checkpoint when the same command is given again.
"""

import argparse
import copy
import itertools
import math
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from engine.data import IGNORE
from engine.errors import InputError, command
from engine.files import whole
from engine.models import without_bars
from engine.run.base import EMBEDDED_FOLDER
from engine.school.card import write_card
from engine.school.curriculum import mixture
from engine.school.muon import Muon
from engine.school.tokenizer import encode_chats, train_tokenizer, vocabulary_pieces
from engine.terminal import progress_bar, say


@dataclass(frozen=True)
class Recipe:
    """Everything that the base model depends on. One preset, `Recipe()`; tests make a tiny one."""

    seed: int = 0
    vocab_size: int = 1536
    hidden_size: int = 128
    layers: int = 5
    heads: int = 4
    intermediate_size: int = 384
    context: int = 512
    steps: int = 20_000
    row: int = 160  # tokens of packed conversations in a row
    batch_tokens: int = 1536
    muon_rate: float = 5e-3  # for the matrices of the layers
    adam_rate: float = 2e-3  # for the embedding and the norms
    warmup: int = 200
    phases: tuple[float, float] = (0.25, 0.5)  # the shares of steps after which the curriculum's next shares hold
    odd: float = 0.05  # share of answers in a form that nobody asked for
    odd_from: float = 0.1  # the share of steps after which they come
    smoothing: float = 0.01  # of the labels, after the first phase
    decay_from: float = 0.4  # the share of steps after which the rates fall, in a line, to zero

    def rate(self, step: int) -> float:
        """The factor on both learning rates: a warm-up, a plateau, a line down to zero (Hu et al. 2024, "WSD")."""
        falling = (self.steps - step) / (self.steps * (1 - self.decay_from))
        return min(1.0, (step + 1) / self.warmup, falling)

    def phase(self, step: int) -> int:
        """Which of the curriculum's shares hold: 0, 1 or 2."""
        return sum(step >= share * self.steps for share in self.phases)

    def config(self) -> LlamaConfig:
        return LlamaConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            max_position_embeddings=self.context,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class Batches:
    """The batch of any step, from the recipe's seed alone, so that a resumed run sees what it would have seen."""

    def __init__(self, recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> None:
        self.recipe, self.tokenizer, self.pieces = recipe, tokenizer, vocabulary_pieces(tokenizer)

    def __call__(self, step: int) -> Batch:
        """input_ids, position_ids, labels and their weights, of packed conversations, each (rows, row).

        Positions restart with each conversation; transformers sees that and keeps them from attending to each other.
        Labels are shifted already: the label at a place is the token to come. An answer of n tokens weighs sqrt(n),
        or the few tokens of a sum would drown in the stories.
        """
        recipe = self.recipe
        odd = recipe.odd if step >= recipe.odd_from * recipe.steps else 0.0
        source = mixture(recipe.seed * 1_000_003 + step, self.pieces, phase=recipe.phase(step), odd=odd)
        chats: list[tuple[list[int], list[bool]]] = []
        while sum(len(ids) for ids, _ in chats) < recipe.batch_tokens:
            drawn = [(example.messages, example.train_turns) for _, example in itertools.islice(source, 8)]
            chats += encode_chats(self.tokenizer, drawn)
        rows: list[list[tuple[list[int], list[bool]]]] = []
        room: list[int] = []
        for ids, answer in sorted(chats, key=lambda chat: -len(chat[0])):  # longest first: few rows, little padding
            ids, answer = ids[: recipe.row], answer[: recipe.row]
            at = next((at for at, free in enumerate(room) if free >= len(ids)), None)
            if at is None:
                at = len(rows)
                rows.append([])
                room.append(recipe.row)
            rows[at].append((ids, answer))
            room[at] -= len(ids)
        tokens = torch.zeros(len(rows), recipe.row, dtype=torch.long)
        positions = torch.zeros_like(tokens)
        labels = torch.full_like(tokens, IGNORE)
        weights = torch.zeros_like(tokens, dtype=torch.float32)
        for at, chats_in_row in enumerate(rows):
            begin = 0
            for ids, answer in chats_in_row:
                end = begin + len(ids)
                values = torch.tensor(ids)
                tokens[at, begin:end] = values
                positions[at, begin:end] = torch.arange(len(ids))
                labels[at, begin : end - 1] = torch.where(torch.tensor(answer[1:]), values[1:], IGNORE)
                weights[at, begin : end - 1] = torch.tensor(_weights(answer)[1:])
                begin = end
        return tokens, positions, labels, weights


def _weights(answer: list[bool]) -> list[float]:
    """For each token: zero outside answers, in an answer of n tokens 1 / sqrt(n)."""
    weights: list[float] = []
    for marked, turn in itertools.groupby(answer):
        count = len(list(turn))
        weights += [marked / math.sqrt(count)] * count
    return weights


def answer_loss(model: LlamaForCausalLM, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
    """Weighted mean loss on the answers' tokens, in nats. The vocabulary is only computed where there is a label.

    smoothing: the share of each label that goes to all tokens alike, so that none is ever quite impossible.
    """
    tokens, positions, labels, weights = (part.to(model.device) for part in batch)
    hidden = model.model(input_ids=tokens, position_ids=positions, use_cache=False).last_hidden_state
    wanted = labels != IGNORE
    logits = model.lm_head(hidden[wanted]).float()
    losses = F.cross_entropy(logits, labels[wanted], reduction="none", label_smoothing=smoothing)
    return (losses * weights[wanted]).sum() / weights[wanted].sum()


def fast_dtype(device: str) -> torch.dtype:
    """bfloat16 where the processor multiplies it faster than float32: on CUDA, and on CPUs that say so."""
    quick = device == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if quick else torch.float32


class Training:
    """Model and optimizers, and their way to and from a checkpoint of plain tensors.

    The weights and the optimizers' averages are float32. Where bfloat16 is fast, gradients are computed on a copy
    in it that follows the weights (mixed precision with master weights, Micikevicius et al. 2018).
    """

    def __init__(self, recipe: Recipe, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        config = recipe.config()
        # Rows are short: plain matrix products beat the fused attention, whose CPU kernel is made for long ones.
        config._attn_implementation = "eager"
        self.model = LlamaForCausalLM(config).to(device)
        self.dtype = fast_dtype(device)
        self._fast = self.model if self.dtype == torch.float32 else copy.deepcopy(self.model).to(self.dtype)
        named = dict(self.model.named_parameters())
        matrices = {name: p for name, p in named.items() if p.ndim == 2 and "embed" not in name}
        others = [p for name, p in named.items() if name not in matrices]
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices.values(), lr=recipe.muon_rate, dtype=self.dtype),
            torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self._rates = [recipe.muon_rate, recipe.adam_rate]
        self.step = 0

    def advance(self, batch: Batch) -> float:
        for optimizer, rate in zip(self.optimizers, self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * self.recipe.rate(self.step)
        smoothing = self.recipe.smoothing if self.recipe.phase(self.step) else 0.0
        loss = answer_loss(self._fast, batch, smoothing)
        loss.backward()
        if self._fast is not self.model:
            for weight, quick in zip(self.model.parameters(), self._fast.parameters(), strict=True):
                assert quick.grad is not None
                weight.grad, quick.grad = quick.grad.float(), None
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self._follow()
        self.step += 1
        return loss.item()

    @torch.no_grad()
    def _follow(self) -> None:
        if self._fast is not self.model:
            torch._foreach_copy_(list(self._fast.parameters()), list(self.model.parameters()))

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {f"model.{name}": p.data for name, p in self.model.named_parameters()}
        names = {id(p): name for name, p in self.model.named_parameters()}
        for at, optimizer in enumerate(self.optimizers):
            for parameter, state in optimizer.state.items():
                tensors |= {f"optimizer.{at}.{names[id(parameter)]}.{key}": value for key, value in state.items()}
        return tensors

    def save(self, path: Path, seconds: float = 0.0) -> None:
        """With all that going on needs, in one file: a kill between two would leave weights and a step that differ."""
        about = {"step": str(self.step), "seconds": f"{seconds:.0f}", "recipe": str(self.recipe)}
        with whole(path) as part:
            save_file({k: v.contiguous() for k, v in self._tensors().items()}, part, about)

    def restore(self, path: Path) -> float:
        """Go on from a checkpoint; gives the seconds that it took. Raises InputError for one of another recipe."""
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
        if about.get("recipe") != str(self.recipe):
            raise InputError(
                f"{path.parent} holds a checkpoint of another recipe; delete the folder or give another --work"
            )
        saved = load_file(path, device=str(self.model.device))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(saved[f"model.{name}"])
                for at, optimizer in enumerate(self.optimizers):
                    prefix = f"optimizer.{at}.{name}."
                    state = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
                    if state:
                        optimizer.state[parameter] = state
        self._follow()
        self.step = int(about["step"])
        return float(about["seconds"])


def make_tokenizer(recipe: Recipe, conversations: int = 60_000) -> PreTrainedTokenizerFast:
    """The tokenizer, from what the curriculum says most often."""
    examples = itertools.islice(mixture(recipe.seed - 1), conversations)
    texts = (message["content"] for _, example in examples for message in example.messages)
    return train_tokenizer(texts, recipe.vocab_size, recipe.context)


def pretrain(
    recipe: Recipe,
    out: Path,
    work: Path,
    *,
    embedded: bool = False,
    checkpoint_every: int = 500,
    progress: bool = True,
) -> Path:
    """Make the base model of `recipe` in folder `out`; checkpoints live in `work` until it is done.

    embedded: `out` may be the embedded base model's folder, and what lies there is replaced. Raises InputError for an
    `out` that holds anything else, before the work.
    """
    _check(recipe, out, embedded)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(recipe)
    batches = Batches(recipe, tokenizer)
    training = Training(recipe, device)
    checkpoint, log = work / "checkpoint.safetensors", work / "log.txt"
    seconds = training.restore(checkpoint) if checkpoint.exists() else 0.0
    bar = progress_bar(total=recipe.steps, initial=training.step, unit="step", disable=not progress, mininterval=1.0)
    began, smooth = time.perf_counter() - seconds, math.nan
    while training.step < recipe.steps:
        loss = training.advance(batches(training.step))
        smooth = loss if math.isnan(smooth) else 0.99 * smooth + 0.01 * loss
        bar.update()
        bar.set_postfix_str(f"loss {smooth:.3f}", refresh=False)
        if training.step % checkpoint_every == 0 or training.step == recipe.steps:
            seconds = time.perf_counter() - began
            training.save(checkpoint, seconds)
            with log.open("a", encoding="utf-8") as file:
                file.write(f"step {training.step}, {seconds:.0f} s, loss {smooth:.4f}\n")
    bar.close()
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out) as part:
        with without_bars():
            training.model.to("cpu").save_pretrained(part)
        tokenizer.save_pretrained(part)
        write_card(part, asdict(recipe), seconds, device)
    return out


def _check(recipe: Recipe, out: Path, embedded: bool) -> None:
    if recipe.steps < 1:
        raise InputError(f"{recipe.steps} steps teach nothing; give --steps 1 or more")
    if out.resolve() == EMBEDDED_FOLDER.resolve():
        if not embedded:
            raise InputError(
                f"{out} holds the base model that Glasstune comes with; give another --out, or --embedded to replace it"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already, and stays as it is; move it away, or give another --out")


@command
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.pretrain", description=__doc__.splitlines()[0])
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--out", type=Path, default=Path("runs/base"), help="the folder that is made (default: %(default)s)"
    )
    place.add_argument("--embedded", action="store_true", help="instead: replace the base model that Glasstune has")
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain"), help="where checkpoints live meanwhile")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    chosen = parser.parse_args(arguments)
    recipe = replace(Recipe(), seed=chosen.seed, steps=chosen.steps)
    try:
        out = EMBEDDED_FOLDER if chosen.embedded else chosen.out
        made = pretrain(recipe, out, chosen.work, embedded=chosen.embedded)
    except KeyboardInterrupt:
        say(f"\nStopped. The same command goes on from the last checkpoint in {chosen.work}.", sys.stderr)
        return 130
    say(f"The base model lies in {made}; its card is {made / 'README.md'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
