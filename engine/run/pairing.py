"""Which tensor of one checkpoint is which of another? Names differ: by a wrapper, a library's version, a tied head.

`find_name` looks up one parameter; `pair` two whole checkpoints, and lists by reason what has no counterpart: nothing
is left out silently.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from engine.run.tensors import Tensors

# Put around a module by FSDP, torch.compile, activation checkpointing, PEFT: never a model's own name.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "base_layer", "original_module")
_OLD_LEAVES = {"gamma": "weight", "beta": "bias"}  # of LayerNorm, in checkpoints from TensorFlow
_EMBEDDINGS = re.compile(
    r"(?:^|\.)(?:embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|embeddings|shared)\.weight$"
)
_HEADS = re.compile(r"(?:^|\.)(?:lm_head|embed_out|output_embeddings|output|head|decoder)\.weight$")
_COMPUTED = re.compile(
    r"(?:inv_freq|masked_bias|position_ids|token_type_ids|num_batches_tracked|attn\.bias|_float_tensor)$"
)
_WITH_HEAD = ("CausalLM", "LMHead", "ConditionalGeneration", "MaskedLM")
_MOST = 100  # names that fit equally well, which are told apart by the words before
COMPUTED = "in one only, but a library computes them anew"
EMPTY = "empty, as DeepSpeed ZeRO-3 saves what was not gathered"
ABSENT = "named in the index, but in no file"
PACKED = "packed by "


class Pair(NamedTuple):
    """The names of one parameter in the tuned checkpoint and in the base."""

    tuned: str
    base: str


def plain(name: str) -> str:
    """A name without wrappers, and with today's leaf."""
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    return ".".join([*parts[:-1], _OLD_LEAVES.get(parts[-1], parts[-1])]) if parts else name


def find_name(parameter: str, among: Tensors) -> str | None:
    """The same parameter in another checkpoint, whatever stands before it; a tied head is the embedding there.

    The Hub's GPT-2 says `h.0.attn.c_attn.weight` where the model with its head says `transformer.h.0.attn...`; one
    version says `language_model.model.layers.0...`, the next `model.language_model.layers.0...`. None if there is
    none, or several that fit equally well.
    """
    if parameter in among:
        return parameter
    found = _places_of(among).nearest(parameter)
    return found or (tied_to(among) if is_head(parameter) else None)


def is_head(parameter: str) -> bool:
    return bool(_HEADS.search(plain(parameter)))


def is_embedding(parameter: str) -> bool:
    return bool(_EMBEDDINGS.search(plain(parameter)))


@lru_cache(maxsize=4)
def tied_to(tensors: Tensors) -> str | None:
    """The embedding that is the output head as well: of a language model whose files hold no head. None otherwise."""
    if any(_HEADS.search(plain(name)) for name in tensors.entries):
        return None
    embeddings = [name for name in tensors.entries if _EMBEDDINGS.search(plain(name))]
    said = tensors.config.get("architectures")
    kinds = [kind for kind in said if isinstance(kind, str)] if isinstance(said, list) else []
    without = bool(kinds) and not any(word in kind for kind in kinds for word in _WITH_HEAD)
    return embeddings[0] if len(embeddings) == 1 and not without else None


# --- names that differ ---------------------------------------------------------------------------------


def _place(parts: list[str]) -> tuple[tuple[str, ...], str]:
    """What has to agree whatever the prefixes: the numbers in a name, and its last word."""
    return tuple(part for part in parts if part.isdigit()), parts[-1]


class Places:
    """Names by what has to agree, and then by their words from the last to the first, in order: those with the longest
    common end stand side by side, so that none of fifty thousand is compared with all.

    among: whose shapes have to agree, too.
    """

    def __init__(self, names: Iterable[str], among: Tensors | None = None) -> None:
        self.groups: dict[Any, list[tuple[list[str], str]]] = defaultdict(list)
        for name in names:
            parts = plain(name).split(".")
            shape = None if among is None else among.shape(name)
            self.groups[_place(parts), shape].append((parts[::-1], name))
        for group in self.groups.values():
            group.sort()

    def nearest(self, name: str, shape: tuple[int, ...] | None = None) -> str | None:
        """The one name with the longest common end; at least the module's own name and the leaf, or the whole of one.
        None if there is none, or several that fit equally well."""
        parts = plain(name).split(".")
        group, ends = self.groups.get((_place(parts), shape), []), parts[::-1]
        at = bisect_left(group, ends, key=lambda one: one[0])
        longest = max((_common(ends, other) for other, _ in group[max(0, at - 1) : at + 1]), default=0)
        if longest >= 2 or len(ends) == 1:
            nearest = self._beside(group, at, ends, longest)
        else:  # the whole of one is a single word, and these come first
            nearest = [found for found in islice(group, _MOST) if len(found[0]) == 1]
            longest = 1
        # `model.language_model.layers...` is `language_model.model.layers...`, and no vision tower's.
        if len(nearest) > 1:
            shared = [len({*other[longest:]} & {*ends[longest:]}) for other, _ in nearest]
            nearest = [found for found, count in zip(nearest, shared, strict=True) if count == max(shared)]
        return nearest[0][1] if len(nearest) == 1 else None

    def _beside(
        self, group: list[tuple[list[str], str]], at: int, ends: list[str], longest: int
    ) -> list[tuple[list[str], str]]:
        """All that have so long an end in common; none where they are too many to be told apart."""
        first, last = at, at
        while first > 0 and last - first <= _MOST and _common(ends, group[first - 1][0]) == longest:
            first -= 1
        while last < len(group) and last - first <= _MOST and _common(ends, group[last][0]) == longest:
            last += 1
        return group[first:last] if last - first <= _MOST else []


@lru_cache(maxsize=4)
def _places_of(tensors: Tensors) -> Places:
    """Of thousands of names that are looked up, one after another."""
    return Places(tensors.entries)


def _common(one: list[str], other: list[str]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


# --- two checkpoints -----------------------------------------------------------------------------------


def pair(base: Tensors, tuned: Tensors) -> tuple[dict[str, Pair], dict[str, list[str]]]:
    """Parameter -> its names in both, for all that can be compared; and, by reason, the names of all that cannot."""
    met = {name: name for name in tuned.entries if name in base}
    _add_renamed(met, base, tuned)
    pairs = {name: Pair(name, other) for name, other in met.items()}
    tied = _tied(base, tuned, pairs)
    pairs |= tied
    lists: dict[str, list[str]] = defaultdict(list)
    lists[ABSENT] = sorted({*tuned.absent, *base.absent})
    for name, (in_tuned, in_base) in list(pairs.items()):
        before, after = base.entries[in_base], tuned.entries[in_tuned]
        if 0 in before.shape or 0 in after.shape:
            lists[EMPTY].append(name)
        elif before.shape != after.shape:
            lists["shapes differ"].append(f"{name} {before.shape} -> {after.shape}")
        else:
            continue
        del pairs[name]
    sides = (("tuned", tuned, {*met, *tied, *base.refused}), ("base", base, {*met.values(), *tied, *tuned.refused}))
    for where, tensors, known in sides:
        for name, method in tensors.refused.items():
            lists[f"{PACKED}{method}, which is not read"].append(name)
        for name in tensors.entries:
            if name not in known:
                lists[COMPUTED if _COMPUTED.search(name) else f"only in the {where}"].append(name)
    return pairs, {reason: names for reason, names in lists.items() if names}


def _add_renamed(met: dict[str, str], base: Tensors, tuned: Tensors) -> None:
    """What has another name in the base: each is the other's nearest, of the same shape."""
    taken = set(met.values())
    left = [name for name in tuned.entries if name not in met]
    theirs, ours = Places((name for name in base.entries if name not in taken), base), Places(left, tuned)
    for name in left:
        other = theirs.nearest(name, tuned.shape(name))
        if other and ours.nearest(other, base.shape(other)) == name:
            met[name] = other


def _tied(base: Tensors, tuned: Tensors, pairs: dict[str, Pair]) -> dict[str, Pair]:
    """A head of its own in one, where the other has its embedding for it."""
    in_base = {both.base for both in pairs.values()}
    found = {}
    for name in _heads(tuned):
        if name not in pairs and (other := tied_to(base)) and base.shape(other) == tuned.shape(name):
            found[name] = Pair(name, other)
    for name in _heads(base):
        if name not in in_base and (other := tied_to(tuned)) and tuned.shape(other) == base.shape(name):
            found[name] = Pair(other, name)
    return found


def _heads(tensors: Tensors) -> Iterator[str]:
    return (name for name in tensors.entries if is_head(name))
