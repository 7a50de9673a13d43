"""How does a run score on the field's own tasks? EleutherAI's lm-evaluation-harness, if it is installed, in one call.

    run_tasks(run, ["hellaswag", "arc_easy"], limit=100)

It is not needed otherwise, and brings many packages, so it is loaded only when asked for: pip install lm_eval.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.errors import InputError, printable
from engine.evaluate.sides import SIDES, base_and_tuned, tokenizer_of
from engine.run.run import Run, as_run


def run_tasks(
    run: Run | str | Path,
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    batch_size: int = 8,
    sides: Sequence[str] = SIDES,
    **options: Any,
) -> pd.DataFrame:
    """The harness's own numbers for a run's base and tuned model: columns task, metric, base, tuned.

    limit: examples a task. options: whatever `lm_eval.simple_evaluate` takes, e.g. `num_fewshot=5`,
    `apply_chat_template=True` or a `task_manager` that knows your own tasks. Raises InputError if the harness is not
    installed or does not know a task.
    """
    run = as_run(run)
    try:
        import lm_eval
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise InputError(
            f"lm-evaluation-harness is not at hand ({error}); install it with pip install lm_eval"
        ) from None
    tokenizer, found = tokenizer_of(run), {}
    with base_and_tuned(run) as models:
        for side in sides:
            model, switched = models[side]
            with switched():
                wrapped = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
                try:
                    out = lm_eval.simple_evaluate(wrapped, tasks=list(tasks), limit=limit, log_samples=False, **options)
                except KeyError as error:
                    raise InputError(
                        f"lm-evaluation-harness has no such task ({error.args[0]}); see lm_eval ls tasks"
                    ) from None
            found[side] = {
                (task, metric.removesuffix(",none")): value
                for task, numbers in out["results"].items()
                for metric, value in numbers.items()
                if isinstance(value, int | float) and "stderr" not in metric and metric != "sample_len"
            }
    return pd.DataFrame(found).rename_axis(["task", "metric"]).reset_index()


def show_tasks(run: Run, tasks: Sequence[str], limit: int | None, console: Console) -> None:
    """Print what `run_tasks` finds."""
    frame = run_tasks(run, tasks, limit=limit)
    table = Table(
        title=f"{printable(run.name)}, by lm-evaluation-harness" + (f", {limit} examples a task" if limit else "")
    )
    for column in frame.columns:
        table.add_column(column, justify="right" if column in SIDES else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(f"{cell:.4f}" if isinstance(cell, float) else printable(str(cell))) for cell in row))
    console.print(table)
