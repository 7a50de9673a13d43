"""Which tensor of one checkpoint is which of another? Names differ: by a wrapper, a library's version, a tied head.

`find_name` looks up one parameter; `pair` two whole checkpoints, and lists by reason what has no counterpart: nothing
is left out silently.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

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
    found = _nearest(parameter, None, _places_of(among))
    return found or (tied_to(among) if is_head(parameter) else None)


def is_head(parameter: str) -> bool:
    return bool(_HEADS.search(plain(parameter)))


def is_embedding(parameter: str) -> bool:
    return bool(_EMBEDDINGS.search(plain(parameter)))


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

Places = dict[tuple[tuple[str, ...], str], list[str]]


def _place(name: str) -> tuple[tuple[str, ...], str]:
    """What has to agree whatever the prefixes: the numbers in a name, and its last word."""
    parts = plain(name).split(".")
    return tuple(part for part in parts if part.isdigit()), parts[-1]


@lru_cache(maxsize=4)
def _places_of(tensors: Tensors) -> Places:
    """Of thousands of names that are looked up, one after another."""
    return _by_place(tensors.entries)


def _by_place(names: Iterable[str]) -> Places:
    found: Places = defaultdict(list)
    for name in names:
        found[_place(name)].append(name)
    return found


def _nearest(name: str, shape: tuple[int, ...] | None, places: Places, among: Tensors | None = None) -> str | None:
    """The one name with the longest common end; at least the module's own name and the leaf, or the whole of one."""
    parts, best = plain(name).split("."), [(0, "")]
    for other in places.get(_place(name), []):
        if shape is not None and among is not None and among.shape(other) != shape:
            continue
        theirs = plain(other).split(".")
        common = _common_end(parts, theirs)
        if common >= 2 or common == min(len(parts), len(theirs)):
            best.append((common, other))
    longest = max(common for common, _ in best)
    nearest = [other for common, other in best if common == longest]
    if len(nearest) > 1:  # `model.language_model.layers...` is `language_model.model.layers...`, and no vision tower's
        shared = [len({*plain(other).split(".")[:-longest]} & {*parts[:-longest]}) for other in nearest]
        nearest = [other for other, count in zip(nearest, shared, strict=True) if count == max(shared)]
    return nearest[0] or None if len(nearest) == 1 else None


def _common_end(one: list[str], other: list[str]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
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
    theirs, ours = _by_place(name for name in base.entries if name not in taken), _by_place(left)
    for name in left:
        other = _nearest(name, tuned.shape(name), theirs, base)
        if other and _nearest(other, base.shape(other), ours, tuned) == name:
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
