"""What does an audit look like in the terminal? The modules, what survives fewer bits, and the verdict."""

import numpy as np
from rich.console import Console

from engine.inspect.audit import Audit
from engine.inspect.report import show_findings, table_of
from engine.measure.storage import STORED

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
