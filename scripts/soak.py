"""Does memory stay flat? A capture of many steps, an inspection of many tensors, the lessons twice in one kernel.

python scripts/soak.py                                 20,000 steps, 20,000 tensors, every lesson twice
python scripts/soak.py capture --steps 5000

Prints resident megabytes early and late; status 1 if they grew by more than 100, or by more than a tenth.
"""

import argparse
import contextlib
import gc
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

os.environ["MPLBACKEND"] = "Agg"
import psutil  # noqa: E402
import torch  # noqa: E402


def megabytes() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


def capturing(steps: int, folder: Path) -> Iterator[float]:
    from glasstune import capture

    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with capture(model, folder / "run", every=10, budget="50MB", say=False) as recorder:
        for step in range(steps):
            loss = model(torch.randn(8, 64)).square().mean()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss)
            if step in (steps // 4, steps - 1):
                yield megabytes()


def inspecting(tensors: int, folder: Path) -> Iterator[float]:
    """Beside a quarter of them, so much as their names take more."""
    from safetensors.torch import save_file

    from glasstune import Run

    for part, count in (("few", tensors // 4), ("many", tensors)):
        names = [f"model.layers.{n // 100}.mlp.experts.{n % 100}.w.weight" for n in range(count)]
        for where, value in (("base", 0.0), ("tuned", 1.0)):
            (folder / part / where).mkdir(parents=True)
            save_file({name: torch.full((8, 8), value) for name in names}, folder / part / where / "model.safetensors")
        run = Run.from_checkpoints(folder / part / "base", folder / part / "tuned", progress=False)
        assert len(run.modules) == count
        for module in run.modules:
            run.delta(module), run.norm(module), run.weight(module)
        del run
        yield megabytes()


def teaching(lessons: list[str], folder: Path) -> Iterator[float]:
    """All of them in one process, as in a kernel, and again."""
    from lessons.commands.lesson import COMMAND
    from lessons.teaching import course

    for turn in ("once", "twice"):
        for name in lessons or course.lessons():
            given = [name, "--auto", "--quick", "--no-film", "--out", str(folder / turn)]
            with contextlib.redirect_stdout(io.StringIO()):
                assert COMMAND.main("soak")(given) == 0, f"lesson {name} failed"
        yield megabytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", default=["capture", "inspect", "lessons"], help="capture, inspect, lessons")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--tensors", type=int, default=20_000)
    parser.add_argument("--lessons", nargs="*", default=[], help="which (default: all)")
    chosen = parser.parse_args()
    grew = []
    with tempfile.TemporaryDirectory() as scratch:
        parts = {
            "capture": lambda: capturing(chosen.steps, Path(scratch)),
            "inspect": lambda: inspecting(chosen.tensors, Path(scratch)),
            "lessons": lambda: teaching(chosen.lessons, Path(scratch)),
        }
        for name in chosen.parts:
            early, late = parts[name]()
            print(f"{name}: {early:,.0f} MB early, {late:,.0f} MB late", flush=True)
            grew += [name] if late > early + 100 and late > 1.1 * early else []
    return int(bool(grew))


if __name__ == "__main__":
    sys.exit(main())
