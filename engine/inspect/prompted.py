"""What does a prompt look like in the terminal? Its vectors, what each is near to, and the verdict."""

import numpy as np
import pandas as pd
from rich.console import Console

from engine.inspect.prompts import Prompts, distances
from engine.inspect.report import show_findings, table_of
from engine.run.adapters.prompts import IN_EVERY_LAYER


def show(found: Prompts, console: Console, top: int = 12) -> bool:
    """Print it. Whether a fault was found."""
    vectors, table = found.vectors, found.table
    console.print(f"{vectors.folder}: adapter, {vectors.method.lower()}", highlight=False, soft_wrap=True)
    width = vectors.rows.shape[1]
    kind = ", keys and values of every layer" if vectors.method in IN_EVERY_LAYER else ""
    console.print(f"  {len(table)} vectors of {width:,} numbers{kind}", highlight=False)
    beside = found.base or vectors.config.get("base_model_name_or_path") or "unknown"
    console.print(
        f"  base {beside}{'' if found.base else ', not at hand'}: this method changes no weight of it", highlight=False
    )
    console.print()
    near = "token" in table
    moved = ["moved"] if "moved" in table else []
    heads = ["length", *(["beside a token's", "nearest token", "cosine", "distance"] if near else []), *moved]
    shown = table_of("The vectors, each beside the token that it is nearest to" if near else "The vectors", *heads)
    for label, row in table.head(top).iterrows():
        cells = [f"{row['norm']:.4g}"]
        if near:
            token = f"{row['text']!r}" if row["text"] else f"number {int(row['token'])}"
            cells += [f"{row['relative']:.3g} x", token, f"{row['cosine']:.3f}", f"{row['distance']:.3g}"]
        shown.add_row(str(label), *cells, *(f"{row[name]:.3g}" for name in moved))
    console.print(shown)
    if len(table) > top:
        console.print(f"and {len(table) - top} more", style="dim")
    if np.isfinite(found.alike):
        console.print(f"mean cosine of two of them: {found.alike:.3f}", style="dim")
    for layer, gate in vectors.gates.items():
        console.print(f"{layer} lets its prompts in by {gate:.3g} (tanh of its gate)", style="dim")
    if found.course:
        said = ", ".join(f"{step}: {value:.3g}" for step, value in found.course.items())
        console.print(f"moved since the checkpoint before: {said}", style="dim")
    return show_findings(found.findings, console, "Did it learn anything?")


def show_distances(one: Prompts, other: Prompts, console: Console, top: int = 12) -> pd.DataFrame:
    """Print how far two prompts are apart. Raises InputError if their widths differ."""
    table = distances(one, other)
    shown = table_of(
        "The first's, each beside that of the second in its place, and the nearest",
        "cosine",
        "distance",
        "nearest",
        "its cosine",
    )
    for label, row in table.head(top).iterrows():
        place = [f"{row[name]:.3f}" if np.isfinite(row[name]) else "-" for name in ("cosine", "distance")]
        shown.add_row(str(label), *place, str(row["nearest"]), f"{row['its_cosine']:.3f}")
    console.print()
    console.print(shown)
    return table
