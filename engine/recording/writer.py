"""How does a capture reach the disk without holding up training? Copied at once, worked out and written beside it.

Training waits only for a copy of the trained tensors into buffers that are there already (one copy of what is
captured, the only memory of that size); a change that PEFT computes is made then, a layer at a time. A thread then
subtracts the start, which lies in a file, a few megabytes at a time and in place; takes norms; summarises what the
budget does not let it keep; and writes as it goes.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch.distributed.tensor import DTensor

from engine.errors import InputError
from engine.files import writing
from engine.linear import norm
from engine.merging import Merged
from engine.recording.pieces import Layout, StartFile
from engine.recording.prompts import Prompt
from engine.recording.schedule import HEADER, Size
from engine.recording.trained import Part
from engine.run import delta
from engine.run.format import SKETCH_MARK, capture_path, captured_steps, later_starts, start_path
from engine.run.sketch import FIELDS, Level, sketch, sketch_factors

_CHUNK = 1 << 20  # elements: 4 MB, which stay in the processor's cache between subtracting and writing
_DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def size_of(part: Part) -> Size:
    """What a part costs in the Run if it is kept whole, float32, and what shape a sketch of it would have."""
    once = Layout(start_layout({"": part}, None)).nbytes
    exact = sum(4 * tensor.numel() + HEADER for tensor in part.live.values())
    matrix = part.about.is_matrix and part.about.rows is None
    return Size(once, exact, part.about.shape if matrix else None)


def start_layout(parts: dict[str, Part], scratch: bool | None) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What is kept of the start: of the parts that are summarised, of the others, or (None) of all."""
    return {
        key: (_DTYPES[dtype], shape)
        for part in parts.values()
        if scratch is None or (part.about.sketch is not None) is scratch
        for key, (dtype, shape) in part.start_like.items()
    }


def is_sharded(parts: dict[str, Part]) -> bool:
    """Whether the trained weights are spread over processes (FSDP2), so that all of these must help to gather them."""
    return any(isinstance(tensor, DTensor) for part in parts.values() for tensor in part.live.values())


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """The whole tensor, with those processes that hold the rest of it if it is sharded."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def save_start(folder: Path, parts: dict[str, Part], writes: bool, since: int | None = None) -> None:
    """Keep the start beside the captures: what stays in the Run, and what only the summaries need while it runs.

    since: of what is trained since that step.
    """
    values = {key: get for part in parts.values() for key, get in part.start.items()}
    for scratch in (False, True):
        layout = Layout(start_layout(parts, scratch))
        if not layout.of:
            continue
        with writing(start_path(folder, since, scratch)) if writes else nullcontext() as file:
            if file:
                file.write(layout.header())
            for key in layout.of:
                whole = gathered(values[key]())
                if file:
                    file.write(_raw(whole.contiguous().cpu()).data)


def _raw(tensor: torch.Tensor) -> np.ndarray:
    """A CPU tensor's memory for numpy, which has no bfloat16: its bits, then."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


class Snapshot:
    """Buffers for one copy of the live tensors, in their own type and order, in one piece of memory.

    computed: those that have to be made first, one at a time.
    """

    def __init__(self, tensors: dict[str, torch.Tensor], computed: dict[str, Merged | Prompt]) -> None:
        self.live, self.computed = tensors, computed
        self.cuda = any(tensor.is_cuda for tensor in tensors.values())
        starts, end = [], 0
        for tensor in tensors.values():
            starts.append(end)
            end += -(-tensor.numel() * tensor.element_size() // 8) * 8
        memory = torch.empty(end, dtype=torch.uint8, pin_memory=self.cuda)
        self.buffers = {
            name: memory[at : at + tensor.numel() * tensor.element_size()].view(tensor.dtype).view(tensor.shape)
            for at, (name, tensor) in zip(starts, tensors.items(), strict=True)
        }
        self.arrays = {name: _raw(buffer) for name, buffer in self.buffers.items()}
        self.done: list[torch.cuda.Event] = []

    @torch.no_grad()
    def take(self) -> None:
        """Copy now. On CUDA the copies queue behind the training's own work, and nothing waits for them here."""
        for name, buffer in self.buffers.items():
            if name in self.computed:
                buffer.copy_(self.computed[name]())
                continue
            value = gathered(self.live[name])
            buffer.copy_(value, non_blocking=value.is_cuda)
        self.done = []
        for device in {tensor.device for tensor in self.live.values() if tensor.is_cuda}:
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(device))
            self.done.append(event)

    def wait(self) -> None:
        """Until the copies have arrived."""
        for event in self.done:
            event.synchronize()

    def read(self, name: str) -> np.ndarray:
        """A buffer in float32: itself, if that is its type. A bfloat16 is the upper half of a float32."""
        array = self.arrays[name]
        if self.buffers[name].dtype == torch.bfloat16:
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array.astype(np.float32, copy=False)


class Writer:
    """Writes the captures of a Run, one at a time, beside training. Of other processes it only gathers shards.

    parts: what to capture, its `about` saying how ("sketch": the level, for one that is summarised). noted: told the
    norms of a capture, {module: norm}, once it is in place. budget: the bytes that start and captures may take; where
    more come than were planned for (a loop of unknown length), every second one goes, and only every second comes.
    once, each: bytes of the start, and of a capture. seconds: what its thread has spent.
    """

    def __init__(
        self,
        folder: Path,
        parts: dict[str, Part],
        writes: bool,
        noted: Callable[[int, dict[str, float]], None],
        budget: int | None,
    ) -> None:
        self.folder, self.parts, self.writes, self.noted, self.budget = folder, parts, writes, noted, budget
        self.seconds = 0.0
        self.kept = captured_steps(folder) if writes else []
        self._asked, self._stride = 0, 1
        self._lay_out()
        if not writes:
            return
        starts = (start_path(folder), start_path(folder, scratch=True), *later_starts(folder))
        self.start = [StartFile(file) for file in starts if file.exists()]
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="capture")
        self.writing: Future[None] | None = None

    def _lay_out(self) -> None:
        self.layout = Layout(
            {
                name: ("F32", shape)
                for module, part in self.parts.items()
                for name, shape in outputs(module, part).items()
            }
        )
        self.once = Layout(start_layout(self.parts, False)).nbytes
        self.each = self.layout.nbytes + len(self.layout.header(step="0"))
        live = {name: tensor for part in self.parts.values() for name, tensor in part.live.items()}
        self.shards = list(live.values()) if is_sharded(self.parts) else []
        if self.writes:
            made = {name: part.merged for part in self.parts.values() if part.merged for name in part.live}
            self.snapshot = Snapshot(live, made)

    def extend(self, parts: dict[str, Part], since: int) -> None:
        """Capture these too from now on, whose change is zero until now: training's step `since` is their first."""
        self.wait()
        save_start(self.folder, parts, self.writes, since)
        for scratch in (False, True):
            if (file := start_path(self.folder, since, scratch)).exists():
                self.start.append(StartFile(file))
        self.parts |= parts
        self._lay_out()

    def follow(self) -> None:
        """A part's `live` has become another tensor of the same kind."""
        self.wait()
        self._lay_out()

    def capture(self, step: int, surely: bool) -> bool:
        """Copy the weights as they are now, and have them written as `step`. surely: though captures are thinned.

        Gives whether it did. Raises InputError or OSError if the one before could not be written.
        """
        self._asked += 1
        if not surely and self._asked % self._stride:
            return False
        try:
            if self.writes:
                self.wait()  # one capture under way at most: memory stays bounded, and a full disk is noticed
            self._make_room()
        except (InputError, OSError):
            self._take_part()  # the other processes wait for this one's shards
            raise
        self.kept.append(step)
        if self.writes:
            self.snapshot.take()
            self.writing = self.thread.submit(self._write, step)
        else:
            self._take_part()
        return True

    def _take_part(self) -> None:
        for tensor in self.shards:
            gathered(tensor)

    def _make_room(self) -> None:
        if self.budget is None:
            return
        while len(self.kept) > 2 and self.once + (len(self.kept) + 1) * self.each > self.budget:
            gone, self.kept = self.kept[1::2], self.kept[::2]
            self._stride *= 2
            for step in gone if self.writes else ():
                capture_path(self.folder, step).unlink(missing_ok=True)

    def wait(self) -> None:
        """Until what is being written is in place. Raises InputError if the disk is full."""
        if self.writes and self.writing is not None:
            writing, self.writing = self.writing, None
            try:
                writing.result()
            except OSError as error:
                raise InputError(
                    f"a capture could not be written to {self.folder} ({error.strerror}); free some space"
                ) from None

    def close(self) -> None:
        """Until all is written; of a sharded model, this process only gathers from then on. Raises InputError if the
        disk is full."""
        if self.writes:
            try:
                self.wait()
            finally:
                self.writes = False
                self.thread.shutdown()
                for file in self.start:
                    file.close()

    def _write(self, step: int) -> None:
        began = time.perf_counter()
        self.snapshot.wait()
        norms: dict[str, float] = {}
        # Weights that have become NaN are written as they are: a training that diverges is worth looking at.
        with np.errstate(all="ignore"), writing(capture_path(self.folder, step)) as file:
            file.write(self.layout.header(step=str(step)))
            for name, part in self.parts.items():
                for piece in self._pieces(name, part, norms):
                    file.write(np.ascontiguousarray(piece, np.float32).data)
        self.noted(step, norms)
        self.seconds += time.perf_counter() - began

    def changes(self) -> Iterator[tuple[str, np.ndarray]]:
        """(module, its change as the weights are now), of those in rows the rows. Nothing is written."""
        self.snapshot.take()
        self.snapshot.wait()
        for name, part in self.parts.items():
            yield name, self._whole(name, part)

    def _start(self, key: str) -> StartFile | None:
        return next((file for file in self.start if key in file.entries), None)

    def _started(self, key: str) -> np.ndarray:
        file = self._start(key)
        assert file is not None, key
        return file.get(key)

    def _pieces(self, name: str, part: Part, norms: dict[str, float]) -> Iterator[np.ndarray]:
        """What is written of a part, in the order of its outputs; its norm goes into `norms`."""
        about, read = part.about, self.snapshot.read
        factored = about.kind != "delta" and not about.magnitude
        if about.sketch is not None:
            level = Level(*about.sketch)
            if factored:
                found = sketch_factors(delta.factors(name, about, read, self._started), level)
            else:
                found = sketch(self._whole(name, part), level)
            norms[name] = found.norm
            yield from (np.asarray(value) for value in found)
        elif about.kind == "delta":
            yield from self._difference(name, part, norms)
        else:
            if factored:
                norms[name] = delta.factored_norm(delta.factors(name, about, read, self._started))
            else:
                norms[name] = norm(delta.whole_delta(name, about, read, self._started))
            yield from (read(key) for key in part.live)

    def _whole(self, name: str, part: Part) -> np.ndarray:
        if part.about.kind != "delta":
            return delta.whole_delta(name, part.about, self.snapshot.read, self._started)
        now = self.snapshot.read(next(iter(part.live)))
        for _ in self._subtracting(part, now):
            pass
        return now.T if part.about.transposed else now

    def _difference(self, name: str, part: Part, norms: dict[str, float]) -> Iterator[np.ndarray]:
        now = self.snapshot.read(next(iter(part.live)))
        square = 0.0
        for chunk in self._subtracting(part, now):
            square += norm(chunk) ** 2
            if not part.about.transposed:
                yield chunk
        norms[name] = math.sqrt(square)
        if part.about.transposed:  # GPT-2 stores (in, out)
            yield now.T

    def _subtracting(self, part: Part, now: np.ndarray) -> Iterator[np.ndarray]:
        """Turn the live tensor into its difference from the start, in place, and give each chunk that is done."""
        (key,) = part.live
        flat, file = now.reshape(-1), self._start(key)
        for at in range(0, flat.size, _CHUNK):
            chunk = flat[at : at + _CHUNK]
            if file is None:
                chunk *= np.float32(part.scale)
            else:
                chunk -= file.part(key, at, chunk.size)
            yield chunk


def outputs(module: str, part: Part) -> dict[str, tuple[int, ...]]:
    """The tensors that a capture holds of a part, with their shapes: it whole, or the fields of its sketch."""
    if part.about.sketch is not None:
        shapes = Level(*part.about.sketch).shapes(part.about.shape)
        return {f"{module}{SKETCH_MARK}{field}": shapes[field] for field in FIELDS}
    if part.about.kind == "delta" and part.about.parameter and part.about.rows is None:
        return {part.about.parameter: part.about.shape}
    return {name: tuple(tensor.shape) for name, tensor in part.live.items()}
