"""Which answers change when an adapter is merged? The base, the base with the adapter beside it, and the merged model
are asked the same, and answer greedily.

What the adapter changes is the point of training; what the merged model says otherwise than the adapter beside its base
is what merging or its rounding did. One model is in memory at a time.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from engine.data import Source, load
from engine.errors import InputError
from engine.evaluate import curriculum_probes, generate_answers, last_answer
from engine.inspect.finding import Finding
from engine.messages import Message
from engine.models import load_model, load_tokenizer, with_adapter
from engine.run.adapters.adapter import find_adapter
from engine.run.base import EMBEDDED

MOST = 20  # questions of a data file
LONGEST = 48  # tokens of an answer
SIDES = ("base", "beside", "merged")


def questions(
    base: str | Path, data: Source | None, asked: Sequence[str], most: int = MOST
) -> list[list[Message]] | None:
    """What to ask: these questions and those of a data file, its held-out part first; of the embedded base, where
    neither is given, one of each skill; else None. Raises InputError for a file without a question."""
    prompts: list[list[Message]] = [[{"role": "user", "content": question}] for question in asked]
    if data is not None:
        given = load(data)
        found = [both[0] for talk in given.heldout or given.train if (both := last_answer(talk))]
        if not found:
            raise InputError(f"there is nothing to ask in {given.name}: no conversation has an answer after a question")
        prompts += found[:most]
    if not prompts and str(base) == EMBEDDED:
        prompts = [probe.prompt for probe in curriculum_probes()]
    return prompts or None


def ask(
    base: str | Path, adapter: str | Path, merged: str | Path, prompts: list[list[Message]], longest: int = LONGEST
) -> pd.DataFrame:
    """One row a question: prompt (its last words), base, beside, merged (what each says). Raises InputError for a model
    that cannot be loaded."""
    tokenizer = load_tokenizer(base)
    model = load_model(base)
    said = {"base": generate_answers(model, tokenizer, prompts, longest)}
    said["beside"] = generate_answers(with_adapter(model, find_adapter(adapter)), tokenizer, prompts, longest)
    del model
    said["merged"] = generate_answers(load_model(merged), tokenizer, prompts, longest)
    return pd.DataFrame({"prompt": [prompt[-1]["content"] for prompt in prompts], **said})


def verdict(answers: pd.DataFrame) -> list[Finding]:
    """Of how many questions the merged model answers as the adapter beside its base does, and of how many as before."""
    many = len(answers)
    other = answers["merged"] != answers["beside"]
    changed = int((answers["beside"] != answers["base"]).sum())
    what = f"the adapter changes {changed} of {many} answers"
    if not other.any():
        return [Finding("fine", f"{what}, and the merged model gives all {many} as it does")]
    back = int((other & (answers["merged"] == answers["base"])).sum())
    said = f"{what}; the merged model answers {int(other.sum())} otherwise than the adapter beside its base"
    return [Finding("doubt", said + (f", {back} of them as the base does" if back else ""), _OTHERWISE)]


_OTHERWISE = (
    "read them above: where the adapter is in once, rounding did it, and merging in more bits, or serving the adapter "
    "beside the base, keeps its answers"
)
