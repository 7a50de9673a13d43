"""What does a kill leave? Processes that train, capture, build a page or site, or render are killed at random instants.

python scripts/kills.py --count 1000            one line a kind: how many were killed, and what held
python scripts/kills.py train page --count 50
python scripts/kills.py --state kills.json      goes on where it was stopped

After every kill what is there must open, or not be there; in the end every training is finished, with the very weights
of one that nobody disturbed, and every page, site and film is as whole. An AssertionError, and what was killed, if not.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from glasstune import LoRA, Run, capture, finetune  # noqa: E402
from tests.children import FORKS, PRELOADED  # noqa: E402
from tests.lessons.small import LESSON  # noqa: E402

BESIDES = (
    "animations.lora", "animations.studio.render", "animations.studio.camera", "animations.studio.encode", "manim",
    "lessons.site.build", "myst_nb", "furo", "sphinx.application", "visualize.page.write",
)  # fmt: skip

TRAINING: dict = {
    "steps": 8, "skills": 0, "batch_size": 4, "every": 1, "evaluate_at": 4, "progress": False, "checkpoint": 2,
    "answers": False,
}  # fmt: skip


ASKED = {**TRAINING, "answers": True, "skills": 1, "steps": 2}


def make_whole(folder: Path) -> None:
    """What is compared with, and what a film shows."""
    train(folder)
    finetune("embedded", "spanish", LoRA(r=2), out=folder / "shown", **ASKED)


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
    with capture(model, folder / "loop", every=1, total=60, say=False) as recorder:
        for _ in range(60):
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


def site(folder: Path) -> None:
    from lessons.site.build import build_site

    (folder / "small.py").write_text(LESSON, encoding="utf-8")
    build_site(folder / "site", [str(folder / "small.py")], kept=folder / "kept", films=folder / "films")


def check_site(folder: Path, whole: Run) -> None:
    """Every file of it, or no site yet."""
    if (folder / "site").exists():
        names = {path.relative_to(folder) for path in (folder / "site").rglob("*")}
        once = folder.parent / "site-timed"
        assert names == {path.relative_to(once) for path in (once / "site").rglob("*")}
        assert all((folder / name).stat().st_size for name in names if name.suffix == ".html")


def render(folder: Path) -> None:
    """In processes of its own, which outlive it for a moment: started from the same server, so that it takes little."""
    from animations.studio import workers
    from animations.studio.render import render_film

    os.environ["GLASSTUNE_FILM_CACHE"] = str(folder / "cache")
    workers._CONTEXT = FORKS  # type: ignore[assignment]
    shown, out = folder.parent / "whole" / "shown", folder / "film.mp4"
    render_film("lora", shown, out, quality="480p15", scenes=["Named", "End"], jobs=2, progress=False)


def check_render(folder: Path, whole: Run) -> None:
    import av

    if (film := folder / "film.mp4").exists():
        with av.open(str(film)) as now, av.open(str(folder.parent / "render-timed" / "film.mp4")) as once:
            assert sum(1 for _ in now.decode(video=0)) == sum(1 for _ in once.decode(video=0))


def scene(folder: Path) -> None:
    """Only the end of it: scenes come into the cache."""
    from animations.studio import cache
    from animations.studio.join import Rendered

    os.environ["GLASSTUNE_FILM_CACHE"] = str(folder / "cache")
    for number in range(20):
        video = folder / f"scene-{number}.mp4"
        video.write_bytes(random.Random(number).randbytes(2_000_000))
        cache.prune()
        cache.keep(f"{number:024x}", Rendered(video, f"scene {number}", 30, 15, []))


def check_scene(folder: Path, whole: Run) -> None:
    from animations.studio import cache

    os.environ["GLASSTUNE_FILM_CACHE"] = str(folder / "cache")
    for number in range(20):
        found = cache.look_up(f"{number:024x}", ".mp4")
        assert found is None or found.video.read_bytes() == random.Random(number).randbytes(2_000_000)


# What it does, what is looked at afterwards, and its share of the kills: what costs little is killed more often.
KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path, Run], None], float]] = {
    "loop": (loop, check_loop, 0.33), "train": (train, check_train, 0.30), "scene": (scene, check_scene, 0.17),
    "render": (render, check_render, 0.08), "page": (page, check_page, 0.07), "site": (site, check_site, 0.05),
}  # fmt: skip


def _work(work: Callable[[Path], None], folder: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder.parent)  # a kill leaves files for work there
    with contextlib.redirect_stdout(io.StringIO()):
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


def try_one(name: str, folder: Path, whole: Run, takes: float, rng: random.Random) -> Counter[str]:
    """Kill one up to eight times before it may finish. How often was it killed: at first, and while it went on?"""
    work, check, _ = KINDS[name]
    folder.mkdir()
    ends = Counter[str](finished=1)
    for _ in range(8):
        seconds = rng.uniform(0, takes)
        began = (folder / "run").exists() or any(folder.glob("*"))
        try:
            if run(work, folder, seconds):
                ends["going on" if began else "at first"] += 1
            else:
                ends["done before"] += 1
            check(folder, whole)
        except Exception as error:
            raise AssertionError(f"{name}, killed after {seconds:.3f} s, as the last of {ends}") from error
    run(work, folder, None)
    check(folder, whole)
    if name == "train":
        weights = "adapter/adapter_model.safetensors"
        assert (folder / "run" / weights).read_bytes() == (whole.path / weights).read_bytes()
        assert Run.load(folder / "run").status == "finished"
    assert name == "loop" or any(folder.glob("[!.]*")), "it is finished, and nothing is there"
    return ends


def try_kind(name: str, count: int, root: Path, whole: Run, seed: int, state: Path | None) -> str:
    so_far = json.loads(state.read_text()) if state and state.exists() else {}
    ends = Counter(so_far.get(name, {}))
    (root / f"{name}-timed").mkdir()
    began = time.perf_counter()
    run(KINDS[name][0], root / f"{name}-timed", None)
    takes = time.perf_counter() - began
    while ends["at first"] + ends["going on"] < count:
        folder = root / f"{name}-{ends['finished']}"
        ends += try_one(name, folder, whole, takes, random.Random(f"{name} {seed} {ends['finished']}"))
        shutil.rmtree(folder, ignore_errors=True)
        if state:
            state.write_text(json.dumps(so_far | {name: ends}))
    killed = ends["at first"] + ends["going on"]
    return (
        f"{name}: {ends['finished']} of them were killed {killed} times ({ends['going on']} while they went on after a "
        f"kill; {ends['done before']} times they were done before); all opened and finished"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="*", default=[*KINDS], metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--count", type=int, default=1000, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="a JSON file of what was tried, to go on from")
    chosen = parser.parse_args()
    FORKS.set_forkserver_preload([*PRELOADED, *BESIDES])
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "whole").mkdir()
        run(make_whole, root / "whole", None)
        whole = Run.load(root / "whole" / "run")
        for name in chosen.kinds:
            count = round(chosen.count * KINDS[name][2] / sum(KINDS[other][2] for other in chosen.kinds))
            print(try_kind(name, count, root, whole, chosen.seed, chosen.state), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
