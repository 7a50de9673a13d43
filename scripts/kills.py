"""What does a kill leave? Processes that train, capture, write a page or keep a scene are killed at random instants.

python scripts/kills.py --count 1000            one line a kind: how many were killed, and what held
python scripts/kills.py train page --count 50

After every kill what is there must open, or not be there; in the end every training is finished, with the very weights
of one that nobody disturbed. Status 1, and the seed, if anything was lost.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from glasstune import LoRA, Run, capture, finetune  # noqa: E402
from tests.children import FORKS  # noqa: E402

TRAINING: dict = {
    "steps": 8, "skills": 0, "batch_size": 4, "every": 1, "progress": False, "checkpoint": 2, "answers": False,
}  # fmt: skip


def train(folder: Path) -> None:
    finetune("embedded", "spanish", LoRA(r=2, dropout=0.1), out=folder / "run", resume=True, **TRAINING)


def check_train(folder: Path, whole: Run) -> None:
    out = folder / "run"
    if not (out / "run.json").exists():
        return
    run = Run.load(out)
    for step in run.steps:
        assert run.delta(run.modules[0], step).tobytes() == whole.delta(run.modules[0], step).tobytes(), step
    assert run.metrics.loss.tolist() == whole.metrics.loss.tolist()[: len(run.metrics)]


def loop(folder: Path) -> None:
    shutil.rmtree(folder / "loop", ignore_errors=True)  # a plain loop has no checkpoint: it begins anew
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 64)
    optimizer = torch.optim.AdamW(model.parameters())
    with capture(model, folder / "loop", every=1, total=200, say=False) as recorder:
        for _ in range(200):
            loss = model(torch.randn(8, 64)).square().mean()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss)


def check_loop(folder: Path, whole: Run) -> None:
    if (folder / "loop" / "run.json").exists():
        run = Run.load(folder / "loop")
        for step in run.steps:
            run.delta(run.modules[0], step)
        assert run.metrics.index.tolist() == list(range(1, len(run.metrics) + 1))


def page(folder: Path) -> None:
    from visualize.page.write import write_page

    write_page([Run.load(folder.parent / "whole" / "run")], folder / "page.html")


def check_page(folder: Path, whole: Run) -> None:
    if (folder / "page.html").exists():
        assert (folder / "page.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def scene(folder: Path) -> None:
    from animations.studio import cache
    from animations.studio.join import Rendered

    for number in range(20):
        video = folder / f"scene-{number}.mp4"
        video.write_bytes(random.Random(number).randbytes(2_000_000))
        cache.folder = lambda: folder / "cache"  # type: ignore[assignment]
        cache.prune()
        cache.keep(f"{number:024x}", Rendered(video, f"scene {number}", 30, 15, []))


def check_scene(folder: Path, whole: Run) -> None:
    from animations.studio import cache

    cache.folder = lambda: folder / "cache"  # type: ignore[assignment]
    for number in range(20):
        found = cache.look_up(f"{number:024x}", ".mp4")
        assert found is None or found.video.read_bytes() == random.Random(number).randbytes(2_000_000)


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path, Run], None]]] = {
    "train": (train, check_train), "loop": (loop, check_loop), "page": (page, check_page),
    "scene": (scene, check_scene),
}  # fmt: skip


def _work(work: Callable[[Path], None], folder: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    work(folder)


def run(work: Callable[[Path], None], folder: Path, after: float | None) -> bool:
    """Whether it was killed; `after` so many seconds, None for never."""
    process = FORKS.Process(target=_work, args=(work, folder))
    process.start()
    process.join(after)
    killed = process.exitcode is None
    if killed:
        process.kill()
    process.join()
    assert killed or process.exitcode == 0, f"it ended with {process.exitcode}"
    return killed


def try_kind(name: str, count: int, root: Path, whole: Run, seed: int) -> str:
    work, check = KINDS[name]
    rng, killed, finished, ended = random.Random(f"{name} {seed}"), 0, 0, 0
    (root / f"{name}-timed").mkdir()
    began = time.perf_counter()
    run(work, root / f"{name}-timed", None)
    takes = time.perf_counter() - began
    while killed < count:
        folder = root / f"{name}-{finished}"
        folder.mkdir()
        for _ in range(8):  # kills of one, before it may finish
            was = run(work, folder, rng.uniform(0, takes))
            killed, ended = killed + was, ended + (not was)
            check(folder, whole)
            if killed >= count:
                break
        run(work, folder, None)
        check(folder, whole)
        if name == "train":
            weights = "adapter/adapter_model.safetensors"
            assert (folder / "run" / weights).read_bytes() == (whole.path / weights).read_bytes()
            assert Run.load(folder / "run").status == "finished"
        shutil.rmtree(folder)
        finished += 1
    return f"{name}: killed {killed} times in {finished} of them ({ended} were done before); all opened and finished"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="*", default=[*KINDS], metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--count", type=int, default=1000, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "whole").mkdir()
        run(train, root / "whole", None)
        whole = Run.load(root / "whole" / "run")
        for name in chosen.kinds:
            print(try_kind(name, chosen.count // len(chosen.kinds), root, whole, chosen.seed), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
