"""What does a folder of adapters look like in the terminal? One line each, the faulty first, then by norm."""

from rich.console import Console
from rich.table import Column

from engine.inspect.finding import LEVELS
from engine.inspect.many import Many
from engine.inspect.report import MARKS, table_of


def show(many: Many, console: Console, top: int = 30) -> None:
    table = table_of(f"{len(many.table)} adapters", "", "method", "rank", "norm",
                     Column("nearest", overflow="fold"), "overlap", "chance")  # fmt: skip
    frame = many.table.sort_values("norm", ascending=False)
    frame = frame.iloc[frame["verdict"].map(LEVELS.index).argsort(kind="stable")]
    for name, row in frame.head(top).iterrows():
        near = [str(row["nearest"]), f"{row['overlap']:.2f}", f"{row['chance']:.2f}"] if row["nearest"] else ["-"] * 3
        rank = "-" if row["rank"] is None or row["rank"] != row["rank"] else f"{row['rank']:.0f}"
        table.add_row(str(name), MARKS[row["verdict"]][0], str(row["method"]), rank, f"{row['norm']:.3g}", *near)
    console.print(table)
    if len(frame) > top:
        console.print(f"and {len(frame) - top} more: --top, --csv", style="dim")
    counts = frame["verdict"].value_counts()
    told = ", ".join(f"{counts.get(level, 0)} {level}" for level in LEVELS)
    console.print(f"verdicts: {told}; glasstune inspect says why of each", style="dim")
    many_by = len(many.modules)
    if many_by:
        console.print(
            f"overlap: of what they write, mean over {many_by} matrices (such as {many.modules[0]}); none where an "
            "adapter writes in all directions, or shares no matrix",
            style="dim",
        )
    else:
        console.print("no matrix is changed by two of them, so nothing is compared", style="dim")
    for name, why in many.unread.items():
        console.print(f"not read: {name}: {why}")
