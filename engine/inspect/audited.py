"""What does an audit look like in the terminal? The modules, what survives fewer bits, answers, and the verdict."""

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Column, Table

from engine.inspect.audit import Audit
from engine.inspect.report import show_findings, table_of
from engine.measure.storage import STORED

_MOST = 160  # characters of a text
_FORMS = {"bfloat16": "bfloat16", "float16": "float16", "int8": "8 bits (a scale a row)", "nf4": "4 bits (NF4)"}


def show(found: Audit, console: Console, top: int = 8) -> bool:
    """Print it. Whether a fault was found."""
    table = table_of("Merged minus base, beside the adapter's change", "its norm", "how often", "strength", "left over")
    frame = found.modules.iloc[np.argsort(-found.modules["left"].to_numpy(), kind="stable")]
    for name, row in frame.head(top).iterrows():
        often = "unclear" if np.isnan(row["times"]) else f"{int(row['times'])}"
        table.add_row(str(name), f"{row['norm']:.4g}", often, f"{row['scale']:.3f}", f"{row['left']:.3g}")
    console.print(table)
    if len(frame) > top:
        console.print(f"and {len(frame) - top} more, which the adapter explains better", style="dim")
    if len(found.survival):
        _show_survival(found, console)
    if found.answers is not None:
        _show_answers(found.answers, console, top)
    return show_findings(found.findings, console, "Is the adapter in it, once?")


def _show_survival(found: Audit, console: Console) -> None:
    count = len(found.survival)
    title = f"What survives of the change, if it is stored in fewer bits (medians of {count} matrices)"
    table = table_of(title, "kept", "noise", "cosine")
    for form in STORED:
        kept, noise, cosine = (found.survival[form][what].median() for what in ("kept", "noise", "cosine"))
        table.add_row(_FORMS[form], f"{100 * kept:.0f} %", f"{noise:.2f}", f"{cosine:.3f}")
    console.print()
    console.print(table)
    console.print(
        "kept: along the change's own direction; noise: what rounding adds, in norms of the change; cosine: of both",
        style="dim",
    )


def _show_answers(answers: pd.DataFrame, console: Console, top: int) -> None:
    """The ones that merging changed first, then those that the adapter changed."""
    console.print()
    heads = ("asked", "the base", "the adapter beside it", "merged")
    table = Table(*(Column(head, overflow="fold", ratio=1) for head in heads), title="What they say, greedily decoded",
                  title_justify="left", box=None, padding=(0, 2, 0, 0), expand=True)  # fmt: skip
    other, changed = answers["merged"] != answers["beside"], answers["beside"] != answers["base"]
    order = np.argsort(-(2 * other + changed).to_numpy(), kind="stable")
    for prompt, base, beside, merged in answers.iloc[order].head(top).itertuples(index=False):
        table.add_row(_short(prompt), _short(base), _short(beside), "the same" if merged == beside else _short(merged))
    console.print(table)
    if len(answers) > top:
        console.print(f"and {len(answers) - top} more", style="dim")


def _short(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 1] + "\N{HORIZONTAL ELLIPSIS}"
