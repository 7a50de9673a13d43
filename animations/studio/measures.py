"""Where does a film keep what it measured of its runs? Beside them, until a run or a question changes."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from animations.studio.runs import alone, folder_of
from engine.run.format import write_json
from engine.run.run import Run


def measured(name: str, runs: Sequence[Run], make: Callable[[], Any], **asked: Any) -> Any:
    """What `make()` gives, as plain JSON: measured once for these runs and these questions, then read.

    Of several processes that want it at once, one measures and the others wait.
    """
    digest = hashlib.sha256(json.dumps([name, asked], sort_keys=True).encode())
    for run in runs:
        digest.update((run.path / "run.json").read_bytes())
    file = folder_of("measures") / f"{name}-{digest.hexdigest()[:16]}.json"
    with alone(file):
        if not file.exists():
            write_json(file, make())
    return json.loads(file.read_text(encoding="utf-8"))
