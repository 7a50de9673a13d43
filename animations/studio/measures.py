"""Where does a film keep what it measured of its runs? Beside them, until a run, a question or the code changes."""

import ast
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from animations.studio.runs import folder_of
from engine.derived import code_of, imported, key, reached, source_without
from engine.files import alone, write_json
from engine.reading import parse_json, read_bytes
from engine.run.format import capture_path
from engine.run.run import Run


def measured(name: str, runs: Sequence[Run], make: Callable[[], Any], **asked: Any) -> Any:
    """What `make()` gives, as plain JSON: measured once for these runs and these questions, then read.

    Measured again when the code that measures has changed: what stands in `make`'s file beside the scenes, and all of
    `engine` that this file loads.
    Of several processes that want it at once, one measures and the others wait.
    """
    digest = key(
        [name, asked, [[run.result, run.steps] for run in runs]],
        code=_measured_with(Path(make.__code__.co_filename)),
        files=[file for run in runs for file in _told_by(run)],
    )
    file = folder_of("measures") / f"{name}-{digest[:16]}.json"
    with alone(file):
        try:
            return parse_json(read_bytes(file))
        except ValueError:  # not there, or damaged
            found = make()
            with suppress(OSError):  # a full disk keeps nothing
                write_json(file, found)
    return json.loads(json.dumps(found))


def _told_by(run: Run) -> list[Path]:
    """What tells a run from what it was before: while it is trained, its run.json stays as it is."""
    records = [run.path / name for name in ("run.json", "metrics.jsonl", "answers.jsonl")]
    captures = [capture_path(run.path, step) for step in sorted({run.result, *run.steps[-1:]})]
    return [file for file in (*records, *captures) if file.is_file()]


@cache
def _measured_with(file: Path) -> str:
    """The code behind a film's measurements."""
    scenes = {node.name for node in ast.parse(file.read_bytes()).body if isinstance(node, ast.ClassDef) and node.bases}
    engine = reached((name for name in imported(file, lazily=True) if name.startswith("engine.")), lazily=True)
    return source_without(file, scenes) + code_of(engine)
