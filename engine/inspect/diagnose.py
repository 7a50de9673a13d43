"""Did my adapter learn anything? What can be told from its weights, its log and its base, with a remedy for each fault.

`diagnose(run)` looks at what is there and says only that: a Run without a log gets no word about its loss.
"""

import difflib
import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import cast

import numpy as np
import pandas as pd

from engine.errors import InputError
from engine.inspect.finding import Finding, Level, some, worst_first
from engine.inspect.promised import promised
from engine.run.adapters.fitting import UNKNOWN
from engine.run.base import base_folder
from engine.run.delta import PEFT_PREFIX, PROMPT
from engine.run.pairing import ABSENT, COMPUTED, EMPTY
from engine.run.run import Run
from engine.run.tensors import Tensors
from engine.terminal import progress_bar
from engine.threads import workers

_THREADS = 2  # reading and computing overlap; each holds one matrix
_SMALL = 10_000_000  # weights that changed, up to which threads take longer than they spare
_ENOUGH = 10  # logged losses, before anything is said about their course


def diagnose(run: Run) -> list[Finding]:
    """Did this run change anything, and if not, why not? Faults first; at least one finding.

    Needs no base; where it is at hand, what the adapter aims at is looked up in it. Every matrix is read once.
    """
    return worst_first([*_weights(run), *_places(run), *of_log(run.logged), *_ended(run)])


def norms_of(run: Run, step: int | None = None, progress: bool = False) -> dict[str, float]:
    """Parameter -> norm of its change, in the weights' unit, of whatever shape; without those that cannot be told."""
    return told(run, step, progress)[0]


def told(run: Run, step: int | None = None, progress: bool = False) -> tuple[dict[str, float], dict[str, str]]:
    """The same, and of the others why their change cannot be told."""
    found, unknown, names = {}, {}, list(run.info.modules)
    small = sum(math.prod(run.module(name).shape) for name in names) < _SMALL
    with nullcontext() if small else workers(_THREADS) as pool:
        norms = (pool.map if pool else map)(lambda name: _norm(run, name, step), names)
        each = zip(names, norms, strict=True)
        for name, norm in progress_bar(each, "delta-W", total=len(names), delay=1, disable=not progress):
            if isinstance(norm, str):
                unknown[name] = norm
            else:
                found[name] = norm
    return found, unknown


def _norm(run: Run, name: str, step: int | None) -> float | str:
    try:
        return run.norm(name, step)
    except InputError as error:
        return str(error)


# --- the weights -------------------------------------------------------------------------------------


def _weights(run: Run) -> list[Finding]:
    if not run.steps:
        return [Finding("doubt", "no weights were kept: there are only numbers of the log", _KEEP)]
    findings = not_compared(run)
    if not run.info.modules:
        return findings or [Finding("fault", "there is no changed matrix in it at all", _EMPTY)]
    norms, unknown = told(run)
    if unknown:
        why = next(iter(unknown.values()))
        said = f"nothing can be told of the change of {some(list(unknown), len(run.info.modules))}: {why}"
        findings.append(Finding("doubt", said, _BASE))
    if not norms:
        return findings
    broken = [module for module, value in norms.items() if not np.isfinite(value)]
    still = [module for module, value in norms.items() if value <= run.rounding(module)]
    unmoved = {*still, *broken}
    coded = {module: how for module in norms if module not in unmoved and (how := run.coded(module))}
    if coded:
        how = next(iter(coded.values()))
        said = f"{some(list(coded), len(norms))}: {how}, and what quantising lost may be all that changed"
        findings.append(Finding("doubt", f"{said}: whether they were trained cannot be told", _QUANTISED))
    if broken:
        findings.append(Finding("fault", f"NaN or infinity in {some(broken, len(norms))}", _DIVERGED))
    if len(still) == len(norms):
        findings.append(_unexplained(run, norms) if findings else _nothing_moved(run))
    elif still:
        findings.append(Finding("doubt", f"no change at all in {some(still, len(norms))}", _SOME_STILL))
    if len(still) < len(norms) and (begun := _NOT_LEARNED.get(_begun(run))):
        findings.append(Finding("doubt", begun.format(method=run.method), _BEFORE))
    elif not broken and (moved := [module for module in norms if module not in unmoved and module not in coded]):
        most = max(moved, key=lambda module: norms[module])
        said = f"{_share(run, norms, moved)} changed, {most} furthest (norm of delta-W {norms[most]:.3g})"
        largest = max(norms[module] / math.sqrt(max(1, math.prod(run.module(module).shape))) for module in moved)
        findings.append(Finding("doubt", f"{said}: {_FAINT}", _RATE) if largest < _LOST else Finding("fine", said))
    return findings


def _share(run: Run, norms: dict[str, float], moved: list[str]) -> str:
    """ "4 of 4 matrices", or "6 of 23 tensors (4 of 14 matrices)"."""
    matrices = [name for name in norms if run.module(name).is_matrix]
    those = f"{sum(run.module(name).is_matrix for name in moved)} of {len(matrices)} matrices"
    return those if len(matrices) == len(norms) else f"{len(moved)} of {len(norms)} tensors ({those})"


def _unexplained(run: Run, norms: dict[str, float]) -> Finding:
    said = f"the {len(norms)} that could be compared did not change; whether the others did is not known"
    return Finding("doubt", said, "look at those named above")


def not_compared(run: Run) -> list[Finding]:
    """Of two checkpoints: what has no counterpart, and so was not looked at; of an adapter, what is not shown."""
    findings = []
    for reason, names in run.info.differences.items():
        said, level = f"{some(names)}: {reason}", "doubt"
        if reason == ABSENT:
            level, said = "fault", f"{some(names)} named in the index, but no file holds it"
        elif reason == EMPTY:
            level = "fault"
        if run.info.found and run.info.found.kind == "adapter":
            why = _REMEDIES.get(reason, "merge it (merge_and_unload) and compare the two checkpoints")
            findings.append(Finding(cast(Level, level), f"not shown: {said}", _EMPTY if reason == EMPTY else why))
        elif reason != COMPUTED:
            findings.append(Finding(cast(Level, level), f"not compared: {said}", _REMEDIES.get(reason, _RENAMED)))
    return findings


def _nothing_moved(run: Run) -> Finding:
    loras = [module for module in run.modules if run.kind(module) == "lora"]
    if any(module == PROMPT or module.endswith(".adaption_prompt") for module in run.info.modules):
        return Finding("fault", "the prompt is as it began: none of its vectors moved", _UNTRAINED)
    if not loras:
        rounded = any(run.norm(module) for module in run.info.modules)
        own = "the base's own, rounded to the type that it is stored in" if rounded else "the base's own"
        said = f"every weight is {own}: nothing changed in all {len(run.info.modules)} tensors"
        return Finding("fault", said, _UNTRAINED)
    if all(run.module(module).scaling == 0 for module in loras):
        return Finding("fault", "the scaling is zero (lora_alpha 0): B A is multiplied by nothing", _ALPHA)
    if (begun := _begun(run)) not in ("True", "gaussian"):
        said = f"as it began (init_lora_weights={begun!r}) in all {len(loras)} modules: nothing was learned"
        return Finding("fault", said, _UNTRAINED)
    return Finding("fault", f"B is still zero in all {len(loras)} modules: delta-W = B A is zero", _UNTRAINED)


def _begun(run: Run) -> str:
    return str(run.info.found.init if run.info.found else True)


_RENAMED = "renamed, added, resized or removed? Load both with one version of the library, and save them again"
_REMEDIES = {
    ABSENT: "copy or download it again: loading would fill these with random numbers",
    EMPTY: "save again with stage3_gather_16bit_weights_on_model_save, or zero_to_fp32.py",
}
_LOST = 1e-10  # a change, root mean square of a matrix: a weight of 0.01 in float32 has its last digit at 1e-9
_FAINT = f"less than {_LOST:g} a weight, which float32 cannot add to weights of usual size"
_KEEP = "save checkpoints as well: save_strategy='steps', or capture the run"
_BASE = "give the base model: --base FOLDER"
_EMPTY = (
    "save again from the whole, unwrapped model: trainer.save_model(), or under FSDP or DeepSpeed "
    "accelerator.unwrap_model(model).save_pretrained(folder, state_dict=accelerator.get_state_dict(model))"
)
_DIVERGED = "train again with a lower learning rate, gradient clipping (max_grad_norm=1.0), and bf16 instead of fp16"
_UNTRAINED = (
    "it was saved before training, or training never reached it: make the optimizer after get_peft_model, see that "
    "model.print_trainable_parameters() is not 0 and that the learning rate is not; with gradient checkpointing call "
    "model.enable_input_require_grads()"
)
_QUANTISED = "compare the two as they were before either was quantised"
_SOME_STILL = "if that is not meant, see that these layers are used in the forward pass and were not frozen"
_BEFORE = "compare it with the adapter as it was before training"
_NOT_LEARNED = {
    "False": "B began at random (init_lora_weights=False): delta-W says nothing yet",
    "before": "with these settings {method} changes W before it is trained: delta-W holds that too",
    "unknown": "whether {method} changes W before it is trained is not known: delta-W may hold more than was learned",
}
_ALPHA = "set lora_alpha, often r or 2 r, and train again"


# --- where it sits -----------------------------------------------------------------------------------


def _places(run: Run) -> list[Finding]:
    findings = foreign(run)
    modules = run.info.modules.values()
    if misfits := [module.fits for module in modules if module.fits]:
        said = f"the base {run.info.model.source} is not the one it was trained on: {some(misfits)}"
        findings.append(Finding("fault", said, _OTHER))
    lacking = _lacking(run)
    if lacking.get(UNKNOWN) and len(lacking[UNKNOWN]) == len(run.info.modules):
        said = f"the base {run.info.model.source} has none of its {len(lacking[UNKNOWN])} modules by their names"
        findings.append(Finding("doubt", said, _NAMES))
    else:
        for why, names in lacking.items():
            said = f"{some(names, len(run.info.modules))}: {why}"
            findings.append(Finding("doubt" if why == UNKNOWN else "fine", said, _NAMES if why == UNKNOWN else ""))
    if not misfits and not lacking and any(module.fits == "" for module in modules):
        findings.append(Finding("fine", f"every module has its place in its base, {run.info.model.name}"))
    return findings + _targets(run) + promised(run)


def foreign(run: Run) -> list[Finding]:
    """What is in an adapter's file under names by which PEFT would not find it."""
    if run.info.found is None or not run.info.found.foreign:
        return []
    said = f"PEFT would not load {some(list(run.info.found.foreign))}: it looks for names like {PEFT_PREFIX}..."
    return [Finding("fault", said, _FOREIGN)]


def _lacking(run: Run) -> dict[str, list[str]]:
    """Why the base holds no W for it -> modules."""
    found: dict[str, list[str]] = {}
    for name, about in run.info.modules.items():
        if about.lacks:
            found.setdefault(about.lacks, []).append(name)
    return found


def _targets(run: Run) -> list[Finding]:
    wanted = run.info.method.options.get("target_modules")
    if not isinstance(wanted, list) or not run.modules or run.info.capture.left_out:
        return []  # a capture may have been told to leave some out
    ends = {end for module in run.info.modules for end in _ends(module)}
    ends |= {word for names in run.info.differences.values() for part in names for word in part.split(".")}
    missing = [name for name in wanted if name not in ends]
    if not missing:
        return []
    there = _layers(run)
    near = [match for name in missing for match in difflib.get_close_matches(name, there, 1)]
    has = f"the base has {', '.join(there[:9])}" if there else "look at model.named_modules() for the base's names"
    guess = f"; did you mean {', '.join(near)}?" if near else ""
    level: Level = "fault" if len(missing) == len(wanted) else "doubt"
    said = f"target_modules names {', '.join(map(repr, missing))}, and the adapter has no such module"
    return [Finding(level, said, has + guess)]


def _layers(run: Run) -> list[str]:
    """The last names of the base's matrices, each once: q_proj, k_proj, ...; none if the base is not at hand."""
    try:
        tensors = Tensors(base_folder(run.base))
    except InputError:
        return []
    matrices = [name for name, one in tensors.entries.items() if len(one.shape) == 2]
    return list(dict.fromkeys(name.removesuffix(".weight").split(".")[-1] for name in matrices))


def _ends(module: str) -> list[str]:
    """All that a module's name may be called by: "layers.0.q_proj", "0.q_proj", "q_proj"."""
    parts = module.split(".")
    return [".".join(parts[at:]) for at in range(len(parts))]


_FOREIGN = (
    "save it again with model.save_pretrained of the unwrapped PEFT model (torch.compile and DDP add prefixes), or "
    "rename the tensors; PEFT only warns of missing keys and runs the base alone"
)
_NAMES = "see that it is the model it was trained on; another version of the library may name the layers otherwise"
_OTHER = "load it onto the model that it was trained on, named in adapter_config.json as base_model_name_or_path"


# --- the log -----------------------------------------------------------------------------------------


def of_log(logged: Callable[[str], pd.Series]) -> list[Finding]:
    """What the logged steps say: learning_rate, grad_norm, loss. logged: gives what was logged by a name."""
    findings = []
    rates, gradients = (logged(name).to_numpy() for name in ("learning_rate", "grad_norm"))
    steps, losses = logged("loss").index, logged("loss").to_numpy()
    if rates.size and not rates.any():
        findings.append(Finding("fault", f"the learning rate was 0 at all {rates.size} logged steps", _RATE))
    if gradients.size and not np.nan_to_num(gradients, nan=1.0).any():
        findings.append(Finding("fault", "the gradient norm was 0 at every logged step", _GRADIENT))
    broken = np.flatnonzero(~np.isfinite(losses))
    if broken.size:
        first = steps[broken[0]]
        on = f"from step {first} on" if broken.size == losses.size - broken[0] else (
            f"at {broken.size} of {losses.size} logged steps, first at step {first}"
        )  # fmt: skip
        findings.append(Finding("fault", f"the loss is no number {on}", _DIVERGED))
    elif losses.size and not losses.any():
        findings.append(Finding("fault", "the loss is exactly 0 throughout: no token is trained on", _MASKED))
    elif losses.size >= _ENOUGH:
        findings.append(_course(losses))
    return findings


def _ended(run: Run) -> list[Finding]:
    """Whether all of the training is there."""
    why = run.info.why
    if why and run.info.status == "stopped":
        return [Finding("doubt", f"it was stopped, {why}", _AGAIN)]
    if why:
        said = f"the capture ended before training did, {why}: what training did after that is not in it"
        return [Finding("doubt", said, _AGAIN)]
    if run.info.status == "running":
        return [Finding("doubt", "it has not ended: it is being trained still, or was killed", _GO_ON)]
    return []


def _course(losses: np.ndarray) -> Finding:
    """Whether the loss fell: the medians of the first and the last fifth, beside how much the losses scatter."""
    fifth = len(losses) // 5
    first, last = losses[:fifth], losses[-fifth:]
    before, after = float(np.median(first)), float(np.median(last))
    scatter = float(np.median(np.abs(np.concatenate([first - before, last - after]))))
    said = f"from {before:.3g} to {after:.3g} nats a token (medians of the first and last {fifth} logged)"
    if before - after > max(scatter, 0.01 * abs(before)):
        return Finding("fine", f"the training loss fell {said}")
    return Finding("doubt", f"the training loss did not fall clearly, {said}", _FLAT)


_RATE = (
    "set learning_rate (2e-4 is common for LoRA, 2e-5 for full), and see that the schedule's warm-up is not longer "
    "than training itself"
)
_GRADIENT = (
    "see that trained parameters have requires_grad, that the loss depends on them, and with gradient checkpointing "
    "call model.enable_input_require_grads() or use_reentrant=False"
)
_MASKED = "look at the labels: all are -100; check the response template and the longest length of an example"
_AGAIN = "mend that, and train again or from the last checkpoint before it"
_GO_ON = "if nothing trains it, go on from its last checkpoint; what was captured until then is shown"
_FLAT = "try a learning rate 3 to 10 times higher, more steps, or a higher rank; see that the labels are right"
