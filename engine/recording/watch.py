"""Is this still the training that the capture began with? What may change under it, compared with how it was.

A layer is unfrozen later, an adapter merged into W and begun anew, another adapter activated, a parameter replaced.
`Watch.stirred` asks cheaply before every optimizer step; `Watch.look` asks all, at every capture.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn
from torch.distributed.tensor import DTensor

from engine.errors import InputError
from engine.recording.names import names_of
from engine.recording.trained import Part, trained_now
from engine.run.delta import factor_names

_SAMPLED = 64  # elements of a frozen weight that are compared: a merged adapter changes nearly all
_ADAPTERS_OWN = (".lora_", ".modules_to_save.", ".trainable_tokens_")


@dataclass
class Frozen:
    """A weight that was not trained when the capture began. sample: some elements of it, float32, on the CPU."""

    name: str
    version: int
    sample: torch.Tensor
    tolerance: float
    sharded: bool


@dataclass
class Seen:
    """added: what is trained now and was not. replaced: parts that live in another parameter. notes: said of these."""

    added: dict[str, Part] = field(default_factory=dict)
    replaced: dict[str, Part] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Watch:
    """Compares a model with how it was. known: all that was trained, captured or not."""

    def __init__(self, model: nn.Module, known: dict[str, Part]) -> None:
        self.model, self.known = model, dict(known)
        self.looked, self.packed = 0, False
        self._remember()
        captured = {id(tensor) for part in known.values() for tensor in _tensors(part)}
        clean = names_of(model)
        still = {path: p for path, p in self.parameters.items() if not p.requires_grad and id(p) not in captured}
        still = {path: p for path, p in still.items() if p.is_floating_point() and p.device.type != "meta"}
        self.frozen = {
            path: Frozen(clean(path), version(p), sample, _tolerance(p, sample), isinstance(p, DTensor))
            for (path, p), sample in zip(still.items(), samples(still.values()), strict=True)
        }

    def _remember(self) -> None:
        self.parameters = dict(self.model.named_parameters())
        self.gradients = [(parameter, parameter.requires_grad) for parameter in self.parameters.values()]
        layers = self.model.named_modules()
        self.adapters = [
            (path, layer, _state(layer))
            for path, layer in layers
            if isinstance(layer, BaseTunerLayer | AuxiliaryTrainingWrapper)
        ]

    def stirred(self) -> bool:
        """Whether what requires gradients, or which adapters act, is other than at the last look."""
        return any(parameter.requires_grad is not was for parameter, was in self.gradients) or any(
            _state(layer) != was for _, layer, was in self.adapters
        )

    def look(self, step: int) -> Seen:
        """What is new at `step`, so that the capture can follow. Raises InputError for what it cannot follow."""
        self._check_adapters()
        now = dict(self.model.named_parameters())
        # FSDP2 swaps a sharded parameter for a whole one while it computes.
        same = now.keys() == self.parameters.keys() and all(
            now[path] is p or isinstance(now[path], DTensor) is not isinstance(p, DTensor)
            for path, p in self.parameters.items()
        )
        self._check_frozen(now)
        seen = Seen()
        if not same or any(parameter.requires_grad is not was for parameter, was in self.gradients):
            self._compare(now, seen)
            self._remember()
        if not self.packed and (packed := sum(map(_is_packed, now.values()))):
            self.packed = True
            seen.notes.append(f"{packed} frozen weights {_PACKED}")
        self.looked = step
        return seen

    def _check_adapters(self) -> None:
        for path, layer, was in self.adapters:
            state = _state(layer)
            for (what, before), after in zip(was.items(), state.values(), strict=True):
                if before != after:
                    raise InputError(
                        f"the {what} of {names_of(self.model)(path)} became {_listed(after)} (before: "
                        f"{_listed(before)}), which makes another change of what is trained; capture that by itself"
                    )

    def _moved(self, now: dict[str, nn.Parameter]) -> set[str]:
        """The paths, as they were at the start, of frozen weights that are not what they were."""
        clean = None if self.frozen.keys() <= now.keys() else names_of(self.model)
        by_name = {clean(path): p for path, p in now.items()} if clean else {}
        there = {path: now.get(path, by_name.get(about.name)) for path, about in self.frozen.items()}
        moved = {path for path, p in there.items() if p is None}
        present = {path: p for path, p in there.items() if p is not None and p.device.type != "meta"}
        present = {path: p for path, p in present.items() if isinstance(p, DTensor) is self.frozen[path].sharded}
        for path, sample in zip(present, samples(present.values()), strict=True):
            about = self.frozen[path]
            if not torch.equal(sample, about.sample) and (
                sample.shape != about.sample.shape
                or not torch.allclose(sample, about.sample, rtol=0, atol=about.tolerance, equal_nan=True)
            ):
                moved.add(path)
        return moved

    def _check_frozen(self, now: dict[str, nn.Parameter]) -> None:
        moved = [path for path in self._moved(now) if not any(own in path for own in _ADAPTERS_OWN)]
        if not moved:
            return
        path = min(moved, key=list(self.frozen).index)
        name = self.frozen[path].name
        adapted = self.known.get(name.removesuffix(".weight"))
        if adapted is not None and adapted.about.kind != "delta":
            raise InputError(
                f"{name}, the frozen weight under an adapter, is not what it was at the start (last seen unchanged "
                f"after step {self.looked}): an adapter was merged into it, or it was written to, and the adapter "
                "alone is no longer the change"
            )
        raise InputError(
            f"{name} was frozen at the start and is not what it was then (last seen unchanged after step "
            f"{self.looked}): it was written to or trained before the capture could see it, so that its start is lost"
        )

    def _compare(self, now: dict[str, nn.Parameter], seen: Seen) -> None:
        """Follow what is trained now, by names."""
        found = trained_now(self.model, self.known)
        paths = {id(parameter): path for path, parameter in self.parameters.items()}
        for name, part in self.known.items():
            after = found.get(name)
            if after is None:
                raise InputError(f"{name} is gone from the model (an adapter was merged and unloaded, or a layer cut)")
            if _shape_of(after) != _shape_of(part):
                raise InputError(f"{name} is trained otherwise than at the start: {_kind(part)}, now {_kind(after)}")
            if all(one is other for one, other in zip(_tensors(after), _tensors(part), strict=True)):
                continue
            if part.merged is not None or part.about.kind != "delta" or part.about.rows is not None:
                raise InputError(f"the adapter of {name} was replaced by another: one was merged or deleted, one begun")
            seen.replaced[name] = after
            seen.notes.append(
                f"{name} was replaced by another parameter, which is followed from there: its change is still measured "
                "from the start, but an optimizer made before does not train it"
            )
        for name in found.keys() - self.known.keys():
            self._check_start(name, found[name], paths)
        seen.added = {name: part for name, part in found.items() if name not in self.known}
        for name, part in seen.replaced.items():
            self.known[name].live = part.live
        self.known |= seen.added
        for part in seen.added.values():  # free to move from now on
            for tensor in part.live.values():
                self.frozen.pop(paths.get(id(tensor), ""), None)

    def _check_start(self, name: str, part: Part, paths: dict[int, str]) -> None:
        """Raises InputError unless what is unfrozen now is what it was at the start, so that its change is zero."""
        if any(isinstance(tensor, DTensor) for tensor in part.live.values()):
            raise InputError(
                f"{name} is trained from now on, but the model is sharded over processes, where a capture cannot be "
                "extended"
            )
        if part.merged is not None:
            raise InputError(f"the adapter of {name} is trained from now on only; capture follows it from the start on")
        for key, tensor in part.live.items():
            about = self.frozen.get(paths.get(id(tensor), ""))
            if about is None and part.about.kind == "delta":
                raise InputError(f"{name} is trained, but was not in the model at the start: its start is not known")
            if about is not None and version(tensor) != about.version:
                raise InputError(
                    f"{name} is trained from now on, but it was written to while it was frozen: its start is not known"
                )
            before = part.start[key]() if key in part.start else None
            if before is not None and not torch.equal(before, tensor):
                raise InputError(f"{name} is trained from now on, but it was not at its start while it was frozen")
            if before is None and part.about.kind == "delta" and tensor.any():
                raise InputError(f"{name} is trained from now on, but it was not zero while it was frozen")
        if part.about.kind == "dora":
            raise InputError(f"the DoRA of {name} is trained from now on only; capture follows DoRA from the start on")
        if part.about.kind == "lora" and not part.about.from_start:
            names = factor_names(name, part.about).values()
            if any(part.live[b].any() for _, b in names):
                raise InputError(f"the adapter of {name} is trained from now on, but had an effect while it was frozen")


_PACKED = (
    "of bitsandbytes are packed for a kernel that has no gradient: an evaluation did that, on a processor with "
    "AVX512-BF16, and from then on nothing is learned through them; before training, set "
    "support_avx512bf16_for_cpu = False on every layer that has it, or train on a GPU"
)


def _is_packed(parameter: nn.Parameter) -> bool:
    return bool(getattr(getattr(parameter, "quant_state", None), "packing_format_for_cpu", False))


def _state(layer: Any) -> dict[str, Any]:
    """Which of its adapters act on a layer, and how strongly: what a delta-W is made with, beside its factors."""
    active = layer.active_adapters
    scaling = getattr(layer, "scaling", {})
    return {
        "active adapter": tuple(active),
        "merged adapters": tuple(getattr(layer, "merged_adapters", ())),
        "disabled adapters": tuple(active) if getattr(layer, "disable_adapters", False) else (),
        "scaling": tuple(scaling[name] for name in active if name in scaling) if isinstance(scaling, dict) else (),
    }


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(repr(value) if isinstance(value, str) else f"{value:g}" for value in values) or "none"


def _tensors(part: Part) -> list[torch.Tensor]:
    """What is trained of a part: of a change that is computed, the adapter's own."""
    return list(part.live.values()) if part.merged is None else part.merged.own


def _shape_of(part: Part) -> tuple[Any, ...]:
    about = part.about
    kept = (about.kind, about.shape, about.r, about.scaling, about.adapters, about.rows, about.magnitude)
    return (*kept, [*part.live], [(tensor.dtype, tensor.shape) for tensor in _tensors(part)])


def _kind(part: Part) -> str:
    types = {str(tensor.dtype).removeprefix("torch.") for tensor in part.live.values()}
    return f"{part.about.kind} {part.about.shape} in {', '.join(sorted(types))}"


def version(tensor: torch.Tensor) -> int:
    """How often it was written to in place, as autograd counts: not through `.data`."""
    return -1 if tensor.is_inference() else tensor._version


@torch.no_grad()
def samples(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Some elements of each, spread over it, float32, on the CPU: one transfer a device."""
    found: list[torch.Tensor] = []
    for tensor in tensors:
        local = tensor.to_local() if isinstance(tensor, DTensor) else tensor.detach()
        # An odd stride, so that it does not meet the same column of every row.
        found.append(local.reshape(-1)[:: max(1, local.numel() // _SAMPLED) | 1].float())
    for device in {sample.device for sample in found if sample.device.type != "cpu"}:
        at = [i for i, sample in enumerate(found) if sample.device == device]
        together = torch.cat([found[i] for i in at]).cpu().split([len(found[i]) for i in at])
        for i, sample in zip(at, together, strict=True):
            found[i] = sample
    # On the CPU these may be views of the weights themselves, which would move with them.
    return [sample.clone() for sample in found]


def _tolerance(tensor: torch.Tensor, sample: torch.Tensor) -> float:
    """What merging an adapter and taking it out again leaves behind: rounding, where the type is fine enough to tell
    that from a change."""
    if tensor.dtype not in (torch.float32, torch.float64) or not sample.numel():
        return 0.0
    return 4 * torch.finfo(torch.float32).eps * float(sample.abs().nan_to_num().max())
