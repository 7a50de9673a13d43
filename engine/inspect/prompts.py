"""What do a prompt's vectors look like? How long they are, how alike, which of the base's tokens each is nearest to.

They change no weight, so there is no delta-W. What was learned is not in the files where the vectors began at random;
where they began as tokens that are known, it is how far they moved from these. Nothing else is said.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.errors import InputError
from engine.inspect.diagnose import of_log
from engine.inspect.finding import Finding, worst_first
from engine.linear import norm
from engine.reading import check_name
from engine.run.adapters.adapter import CONFIG
from engine.run.adapters.prompts import TOKEN_LIKE, Vectors, read_vectors
from engine.run.base import base_folder
from engine.run.pairing import is_embedding
from engine.run.run import logged
from engine.run.stores.adapter import open_base
from engine.run.stores.checkpoints import ROUND
from engine.run.stores.state import checkpoint_number, read_state, records_of
from engine.run.tensors import Tensors

_ROWS = 1 << 22  # numbers of an embedding that are read at once
_SAME = 1e-6  # of a vector's length: how near to a token's it is the token's
_ALIKE = 0.99  # cosine


@dataclass
class Prompts:
    """table: one row a vector (the index: its label): norm, relative (to the median length of a token's, as the model
    takes it in), token (the nearest by cosine, its number), text (of it), cosine, distance (to the nearest by
    distance), moved (from where it began); missing where it is not known. alike: mean cosine of two of the vectors.
    course: step -> norm of what moved since the checkpoint before."""

    vectors: Vectors
    base: str | None
    table: pd.DataFrame
    alike: float
    course: dict[int, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def look(path: str | Path, base: str | Path | None = None) -> Prompts:
    """Raises InputError for what holds no prompt, and for a base, if one is given, that is not there."""
    places = _checkpoints(path)
    vectors = read_vectors(path if not places or (Path(path) / CONFIG).is_file() else places[-1][1])
    source = str(base or vectors.config.get("base_model_name_or_path") or "")
    tensors = open_base(source, must=base is not None) if source else None
    table = pd.DataFrame({"norm": [norm(row) for row in vectors.rows]}, index=vectors.labels)
    found = Prompts(vectors, source if tensors else None, table, _alike(vectors.rows))
    if np.isfinite(vectors.rows).all():
        name = None if tensors is None or vectors.method not in TOKEN_LIKE else _embedding(tensors, found)
        if tensors is not None and name is not None:
            _beside_tokens(found, tensors, name)
    found.course = _course(places)
    found.findings = worst_first([*_verdict(found), *of_log(partial(logged, _log(path, places)))])
    return found


def _alike(rows: np.ndarray) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        turned = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        count = len(rows)
        return float((np.square(turned.sum(0)).sum() - count) / (count * (count - 1))) if count > 1 else np.nan


def _embedding(tensors: Tensors, found: Prompts) -> str | None:
    """The base's token embedding; a fault if no embedding of it has these vectors' width."""
    named = [name for name, one in tensors.entries.items() if len(one.shape) == 2 and is_embedding(name)]
    width = found.vectors.rows.shape[1]
    fitting = [name for name in named if tensors.shape(name)[1] == width]
    if named and not fitting:
        said = f"its vectors have {width} numbers, and a token of {found.base} has {tensors.shape(named[0])[1]}"
        found.findings.append(Finding("fault", f"the base is not the one it was trained on: {said}", _OTHER))
    return fitting[0] if fitting else None


def _beside_tokens(found: Prompts, tensors: Tensors, name: str) -> None:
    """Each vector beside all tokens' embeddings, some thousand of these at a time: as the model takes them in, and,
    for how near they are, as they are stored too."""
    rows, (tokens, width) = found.vectors.rows.astype(np.float64), tensors.shape(name)
    lengths, scale = np.linalg.norm(rows, axis=1), _scale(tensors.config, width)
    scales = sorted({1.0, scale})
    norms, best, nearest = np.zeros(tokens), np.full(len(rows), -np.inf), np.zeros(len(rows), int)
    closest = {scale: (np.full(len(rows), np.inf), np.full((len(rows), width), np.nan)) for scale in scales}
    tokenizer = _tokenizer(str(found.base))
    starts = _begun_as(found, tokenizer)  # token numbers
    began = np.full((len(rows), width), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        for at, piece in tensors.pieces(name, max(1, _ROWS // width) * width):
            each, first = piece.reshape(-1, width).astype(np.float64), at // width
            long = norms[first : first + len(each)] = np.linalg.norm(each, axis=1)
            products = rows @ each.T
            cosines = np.nan_to_num(products / np.outer(lengths, long), nan=-1.0)
            at_most, higher = cosines.argmax(axis=1), cosines.max(axis=1) > best
            best[higher], nearest[higher] = cosines.max(axis=1)[higher], first + at_most[higher]
            for by, (least, token) in closest.items():
                squares = np.nan_to_num(by**2 * long**2 - 2 * by * products, nan=np.inf)  # less the vector's own
                at_least, lower = squares.argmin(axis=1), squares.min(axis=1) < least
                least[lower], token[lower] = squares.min(axis=1)[lower], each[at_least[lower]]
            for place, start in enumerate(starts or []):
                if first <= start < first + len(each):
                    began[place] = each[start - first]
    apart = np.min([_apart(rows, token, [by]) for by, (_, token) in closest.items()], axis=0)
    told = {"relative": lengths / (scale * np.median(norms)), "token": nearest, "cosine": best, "distance": apart}
    found.table = found.table.assign(**told, text=_texts(tokenizer, nearest))
    if starts is not None and np.isfinite(began).all():
        found.table["moved"] = _apart(rows, began, scales)
    elif starts is not None:
        said = f"its settings begin it as tokens {min(starts)} to {max(starts)}, and {found.base} has {tokens}"
        found.findings.append(Finding("doubt", f"the base may not be the one it was trained on: {said}", _OTHER))


def _scale(config: dict[str, Any], width: int) -> float:
    """By what the model multiplies a token's embedding, as its config says."""
    text = config.get("text_config")
    config = config | (text if isinstance(text, dict) else {})
    by = config.get("scale_emb")  # MiniCPM's
    if isinstance(by, int | float) and np.isfinite(by) and by > 0:
        return float(by)
    return float(np.sqrt(width)) if "gemma" in str(config.get("model_type")) or config.get("scale_embedding") else 1.0


def _apart(rows: np.ndarray, tokens: np.ndarray, scales: list[float]) -> np.ndarray:
    """How far each vector is from its token, at the nearest of these scales. Zero if it is what the module that embeds
    gives for it, of which PEFT's vectors begin: scaled (not by every version of transformers), and rounded to the type
    that the base was loaded in."""
    apart = np.min([np.linalg.norm(rows - scale * tokens, axis=1) for scale in scales], axis=0)
    for kind in ("F32", "BF16", "F16"):
        to = ROUND.get(kind, _as_it_is)
        for scale in scales:
            given = to(to(tokens.astype(np.float32)) * to(np.array([scale], np.float32)))
            apart[np.linalg.norm(rows - given, axis=1) <= _SAME * np.linalg.norm(rows, axis=1)] = 0
    return apart


def _as_it_is(values: np.ndarray) -> np.ndarray:
    return values


def _begun_as(found: Prompts, tokenizer: Any) -> list[int] | None:
    """The tokens that the vectors began as, where the settings say so and the tokenizer is at hand."""
    config, count = found.vectors.config, len(found.vectors.rows)
    ids: Any = config.get("cpt_token_ids") if found.vectors.method == "CPT" else None
    text = config.get("prompt_tuning_init_text")
    if found.vectors.method == "PROMPT_TUNING" and config.get("prompt_tuning_init") == "TEXT" and text:
        if not _same_place(config.get("tokenizer_name_or_path"), str(found.base)):
            return None
        ids = tokenizer(str(text))["input_ids"] if tokenizer else None
        ids = (ids * (count // len(ids) + 1))[:count] if ids else None  # PEFT repeats and cuts it
    numbered = isinstance(ids, list) and len(ids) == count and all(isinstance(one, int) for one in ids)
    return ids if numbered else None


def _same_place(name: Any, base: str) -> bool:
    try:
        return name is None or base_folder(str(name)).resolve() == base_folder(base).resolve()
    except InputError:
        return False


def _tokenizer(base: str) -> Any:
    from engine.models import load_tokenizer  # loads torch and transformers

    try:
        return load_tokenizer(base_folder(base))
    except InputError:
        return None


def _texts(tokenizer: Any, tokens: np.ndarray) -> list[str]:
    return [tokenizer.decode([int(token)]) if tokenizer else "" for token in tokens]


def _checkpoints(path: str | Path) -> list[tuple[int, Path]]:
    """checkpoint-N with an adapter in it, in order."""
    place = check_name(path)
    found = place.glob("checkpoint-*") if place.is_dir() else ()
    numbered = ((checkpoint_number(one), one) for one in found if (one / CONFIG).is_file())
    return sorted((number, one) for number, one in numbered if number is not None)


def _log(path: str | Path, places: list[tuple[int, Path]]) -> list[dict[str, Any]]:
    """What a Trainer logged: of the whole training, or up to its last checkpoint."""
    states = (read_state(place) for place in (check_name(path), *(place for _, place in reversed(places))))
    return records_of(next(filter(None, states), None))


def _course(places: list[tuple[int, Path]]) -> dict[int, float]:
    """How far the vectors moved from one checkpoint to the next."""
    found: dict[int, float] = {}
    before = None
    for step, place in places:
        rows = read_vectors(place).rows
        if before is not None and before.shape == rows.shape:
            found[step] = norm(rows - before)
        before = rows
    return found


# --- the verdict ---------------------------------------------------------------------------------------


def _verdict(found: Prompts) -> list[Finding]:
    vectors, table, findings = found.vectors, found.table, found.findings
    count = len(table)
    broken = list(table.index[~np.isfinite(table["norm"])])
    if broken:
        return [*findings, Finding("fault", f"NaN or infinity in {len(broken)} of {count} vectors", _DIVERGED)]
    stated = vectors.config.get("num_virtual_tokens")
    if isinstance(stated, int) and vectors.method != "ADAPTION_PROMPT" and count % max(stated, 1):
        findings.append(Finding("fault", f"{count} vectors, and its settings say {stated} virtual tokens", _SAVE))
    if not table["norm"].any():
        return [*findings, Finding("fault", f"all {count} vectors are zero", _UNTRAINED)]
    if vectors.gates and not any(vectors.gates.values()):
        return [*findings, Finding("fault", "every gate is zero, as it begins: the prompts are not let in", _UNTRAINED)]
    learned = _learned(found)
    findings.append(learned)
    if learned.level != "fault" and count > 1 and found.alike > _ALIKE:
        findings.append(Finding("doubt", f"the vectors are nearly one (mean cosine {found.alike:.3f})", _ONE))
    if vectors.beside:
        more = f"{len(vectors.beside)} other tensors ({vectors.beside[0]}, ...)"
        findings.append(Finding("doubt", f"trained beside the prompt, and not shown: {more}", _BESIDE))
    return findings


def _learned(found: Prompts) -> Finding:
    table, vectors = found.table, found.vectors
    count = len(table)
    if "moved" in table:
        if (table["moved"] <= _SAME * table["norm"]).all():
            return Finding("fault", f"all {count} vectors are as they began: the tokens of its settings", _UNTRAINED)
        furthest = str(table["moved"].idxmax())
        moved = f"{int((table['moved'] > _SAME * table['norm']).sum())} of {count} vectors moved from where they began"
        return Finding("fine", f"{moved}, vector {furthest} furthest ({table['moved'].max():.3g})")
    if "distance" in table and (table["distance"] <= _SAME * table["norm"]).all():
        said = f"all {count} vectors are tokens' own embeddings, as they begin: nothing was learned"
        return Finding("fault", said, _UNTRAINED)
    if vectors.gates:
        widest = max(vectors.gates, key=lambda one: abs(vectors.gates[one]))
        return Finding("fine", f"gates begin at zero: {widest} lets its prompts in by {vectors.gates[widest]:.3g}")
    if found.course:
        most = max(found.course.values())
        if most == 0:
            return Finding("fault", "the vectors are the same in all checkpoints", _UNTRAINED)
        return Finding("fine", f"the vectors moved from checkpoint to checkpoint, by {most:.3g} at most")
    said = f"where its {count} vectors began, and how far they moved from there, if they did, is not known"
    return Finding("doubt", said, _CAPTURE)


_OTHER = "give the base that it was trained on; its name stands in adapter_config.json"
_DIVERGED = "train again with a lower learning rate and gradient clipping (max_grad_norm=1.0), in bf16 instead of fp16"
_SAVE = "save it again with model.save_pretrained"
_UNTRAINED = (
    "it was saved before training, or training never reached it: make the optimizer after get_peft_model, and see that "
    "the learning rate is not too low (Lester et al. 2021 tuned prompts at 0.3)"
)
_ONE = "fewer virtual tokens would do as much; begin them as different tokens (prompt_tuning_init='TEXT')"
_BESIDE = "compare it with the base's own, or capture the training, where all that is trained is followed"
_CAPTURE = "keep checkpoints (save_strategy='steps') or capture the training: CaptureCallback follows them step by step"


def distances(one: Prompts, other: Prompts) -> pd.DataFrame:
    """Two prompts of one width, vector by vector of the first: cosine and distance to the one in the same place, and
    the nearest of all (by cosine) with its cosine. Raises InputError if their widths differ."""
    first, second = one.vectors.rows.astype(np.float64), other.vectors.rows.astype(np.float64)
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"{one.vectors.folder} and {other.vectors.folder} have vectors of {first.shape[1]} and {second.shape[1]} "
            "numbers, which do not compare"
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = first @ second.T / np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    nearest = np.nan_to_num(cosines, nan=-1).argmax(axis=1)
    shared = min(len(first), len(second))
    table = pd.DataFrame(index=one.vectors.labels, columns=["cosine", "distance"], dtype=float)
    table.iloc[:shared, 0] = np.diag(cosines)[:shared]
    table.iloc[:shared, 1] = np.linalg.norm(first[:shared] - second[:shared], axis=1)
    at = [other.vectors.labels[place] for place in nearest]
    return table.assign(nearest=at, its_cosine=cosines[np.arange(len(first)), nearest])
