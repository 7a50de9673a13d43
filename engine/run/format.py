"""What lies in a Run's folder, and how is it written? Standard formats only:

    run.json               format version, method, model, data, settings, modules, seed, versions, host, status
    metrics.jsonl          {"step", "event": "train", "loss", "learning_rate", "grad_norm", ...}   a logged step
                           {"step", "event": "eval", "exact": {skill: 0..1}, "loss": {skill: nats},
                            "graded": {skill: how many questions},
                            "measured": {probe: {"values": [...], "weights": [...]}}}          an evaluation
    answers.jsonl          {"step", "skill", "prompt", "expected", "answer", "correct"}             a probe's answer
    norms.jsonl            {"step", "norms": {module: Frobenius norm of its delta-W}}               a capture
    captures/step-000120.safetensors    the weights' change since step 0, in float32 (of an adapter that was trained
                           before, its whole change, which run.json's notes say)
    start.safetensors      the weights before training that a delta-W was or will be computed from
    start-000120.safetensors    the same of weights that were frozen until step 120
    base-answers.safetensors    what the base said to general probes, and the likeliest tokens at each place of it
    adapter/ or model/     the result, in PEFT's or transformers' own format

A capture holds, for a LoRA module, PEFT's own tensors (`base_model.model.<module>.lora_A.weight`, `lora_B`), so
that the file is the adapter of that step; for a parameter that is trained whole, its delta under PyTorch's name
(`<module>.weight`), (out, in) even where the model stores (in, out). Reading needs neither torch nor transformers.
A run that was killed opens: half a last line is left out, captures are renamed into place only when whole.

What a module's entry in run.json says, by its "kind":
    "lora"    "scaling", "r": delta-W = scaling B A. "adapters": several at once, the tensors then named
              `...lora_A.<adapter>.weight`, which add up. "embedding": `lora_embedding_A` (r, tokens) and `_B`, whose
              product is delta-W transposed. "from_start": B0 A0 of start.safetensors was taken out of W (PiSSA).
    "dora"    the same and `...lora_magnitude_vector`: delta-W = m (W + sBA) / ||W + sBA|| - W, with W of the start.
    "delta"   "parameter": the tensor. "rows": only these rows of an embedding are trained, and stored.
    "sketch": [triplets, side], with any kind: the budget left room for a summary only, and the capture holds
              `<module>#norm`, `#missed`, `#S`, `#U`, `#Vt`, `#picture` (see `capture.sketch`) in place of the tensors.
    "since": N, with any kind: it was frozen until training's step N, so captures before N do not hold it. There
              its delta-W is zero, and its factors are those of the start.
"base_parameter" names W in the base model's files, "transposed" says that they hold it as (in, out).
run.json's "notes" say what else happened to the model while it was captured.
run.json's "capture" says what was chosen and kept, "seconds" what it took, "resumed" at which steps training went on.
"status" is "running" (or killed), "finished", "stopped" (training was), or "incomplete": training went on to its end,
but the capture did not, and "why" says since when and for what reason.
Version 1 had none of norms, start, sketches, and no kind "dora"; it is read as ever.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.reading import lines, parse_json
from engine.room import while_there_is_room

START = "start.safetensors"
BASE_ANSWERS = "base-answers.safetensors"
START_SCRATCH = "start-scratch.safetensors"
SKETCH_MARK = "#"
HELD_OUT = "held out"  # what a Trainer's own evaluation is called among the skills
_CAPTURE_NAME = re.compile(r"step-(\d{6,12})\.safetensors")
_START_NAME = re.compile(r"start(-scratch)?-(\d{6,12})\.safetensors")


def capture_path(folder: Path, step: int) -> Path:
    return folder / "captures" / f"step-{step:06d}.safetensors"


def start_path(folder: Path, since: int | None = None, scratch: bool = False) -> Path:
    """Where the start lies of what is trained from the beginning, or since a step."""
    name = START_SCRATCH if scratch else START
    return folder / (name if since is None else name.replace(".", f"-{since:06d}."))


def later_starts(folder: Path) -> dict[Path, int]:
    """The files of what was frozen at first, of both kinds, and since which step it is trained."""
    names = ((file, _START_NAME.fullmatch(file.name)) for file in sorted(folder.glob("start-*.safetensors")))
    return {file: int(name[2]) for file, name in names if name}


def captured_steps(folder: Path) -> list[int]:
    names = (_CAPTURE_NAME.fullmatch(file.name) for file in (folder / "captures").glob("step-*.safetensors"))
    return sorted(int(name[1]) for name in names if name)


def evaluated_losses(logged: Mapping[str, Any]) -> dict[str, Any]:
    """The losses in what a Trainer logged of its own evaluation: "eval_loss" is "held out", "eval_french_loss" is
    "french"."""
    losses = {name: value for name, value in logged.items() if name.startswith("eval_") and name.endswith("loss")}
    return {name.removeprefix("eval_").removesuffix("loss").strip("_") or HELD_OUT: v for name, v in losses.items()}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON-lines file. A last line without its line end was cut off by a kill: it is left out."""
    if not path.exists():
        return []
    records = []
    every = while_there_is_room(lines(path, within=path.parent), lambda number, _: f"{path}, line {number + 1}")
    for number, line in enumerate(every, 1):
        if not line.endswith(b"\n"):
            break
        try:
            records.append(parse_json(line))
        except ValueError as error:  # of JSON, and of UTF-8
            why = getattr(error, "msg", None) or error
            raise InputError(f"{path}, line {number}: not JSON ({why}); restore the file or delete the line") from None
    return records
