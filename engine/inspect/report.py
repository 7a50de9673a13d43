"""What did this fine-tuning do, and did it learn anything? `python -m engine.inspect PATH [PATH]`, in the terminal.

PATH: a Run, an adapter's folder or Hub id, a Trainer's output folder, a checkpoint. Two: the base and what was tuned
from it (a checkpoint or an adapter), or two adapters or Runs, which are compared. The exit status is 1 if a fault was
found, 2 for a wrong PATH. Reads only; needs no GPU.
"""

import math

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from engine.errors import InputError
from engine.inspect.diagnose import diagnose, norms_of
from engine.inspect.finding import Finding
from engine.measure import effective_rank, relative_norm, singular_values
from engine.measure.subspaces import alike
from engine.run.run import Run
from engine.run.stores.find import is_checkpoint
from engine.terminal import progress_bar
from engine.threads import workers

MARKS = {"fault": ("\N{MULTIPLICATION X}", "bold red"), "doubt": ("?", "bold yellow"),
          "fine": ("\N{CHECK MARK}", "bold green")}  # fmt: skip
_THREADS = 2  # reading and computing overlap; each holds the factors of one matrix
_WORK = 1e11  # multiplications spent on singular values before they are left out: some five seconds of one core


def open_two(first: str, second: str, base: str | None = None) -> tuple[Run, Run | None]:
    """One Run of a base and what was tuned from it, or two Runs, of this base, to compare."""
    if is_checkpoint(first) and is_checkpoint(second):
        return Run.from_checkpoints(first, second), None
    if is_checkpoint(first):
        return Run.open(second, first), None
    if is_checkpoint(second):
        return Run.open(first, second), None
    return Run.open(first, base), Run.open(second, base)


# --- one run -----------------------------------------------------------------------------------------


def modules_table(run: Run, everything: bool = False, progress: bool = False, ranks: int | None = None) -> pd.DataFrame:
    """One row a parameter, the one that moved most first: norm (weights' unit), relative (to W), effective_rank, of.

    relative is missing where W is not at hand. effective_rank is missing where its cost would add up to more than
    some seconds, unless `everything`, after the first `ranks` that changed, for a sketched matrix and for a vector; of
    a stack of experts it is their mean. `of` is the rank that there could be. Broken parameters come first.
    """
    norms = norms_of(run, progress=progress)
    rows: dict[str, dict[str, float]] = {}
    work = 0.0
    relative = _relative(run, list(norms))
    key = {name: (relative.get(name, value) if relative else value) for name, value in norms.items()}
    for name in sorted(norms, key=lambda one: -key[one] if np.isfinite(key[one]) else -np.inf):
        most = most_directions(run, name)
        wanted = ranks is None or len(rows) < ranks
        work += float(np.prod(run.shape(name))) * most if wanted and run.kind(name) != "lora" else 0
        known = wanted and np.isfinite(norms[name]) and not run.is_sketched(name) and (everything or work < _WORK)
        rank = _rank(run, name) if known and most else np.nan
        rows[name] = {"norm": norms[name], "relative": relative.get(name, np.nan), "effective_rank": rank, "of": most}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["norm", "relative", "effective_rank", "of"])


def most_directions(run: Run, name: str) -> int:
    """The rank that a change could have: of a convolution as (out, the rest), of a stack each; 0 for a vector."""
    shape, about = run.shape(name), run.module(name)
    if len(shape) < 2 or 0 in shape:
        return 0
    most = min(shape[-2:]) if about.is_matrix or about.is_stack else min(shape[0], math.prod(shape[1:]))
    return min(about.r, most) if about.kind == "lora" and about.r else most


def _rank(run: Run, name: str) -> float:
    values = singular_values(run, name)
    return float(np.mean([effective_rank(each) for each in values])) if values.ndim == 2 else effective_rank(values)


def _relative(run: Run, names: list[str]) -> dict[str, float]:
    """Beside W, of those whose W is at hand."""
    found = {}
    for name in names:
        try:
            found[name] = relative_norm(run, name)
        except InputError:
            continue
    return found


def show(run: Run, console: Console, top: int = 12, everything: bool = False) -> bool:
    """Print what is known of a run. Whether a fault was found."""
    for line in summary(run):
        console.print(line, highlight=False, soft_wrap=True)
    if run.steps and run.info.modules:
        _show_modules(modules_table(run, everything, progress=True, ranks=top), console, top)
    return show_findings(diagnose(run), console, "Did it learn anything?")


def show_findings(findings: list[Finding], console: Console, title: str) -> bool:
    """Print a verdict, each finding with its remedy. Whether there is a fault in it."""
    console.print(f"\n{title}", style="bold")
    for finding in findings:
        mark, style = MARKS[finding.level]
        console.print(Text.assemble((f"  {mark} ", style), finding.what))
        if finding.remedy:
            console.print(Text(f"      {finding.remedy}", style="dim"))
    return any(finding.level == "fault" for finding in findings)


def summary(run: Run) -> list[str]:
    """Method, rank, targets, model, trained share, log and notes: one line each."""
    method, model = run.info.method.options, run.info.model
    found = run.info.found.kind if run.info.found else "run"
    lines = [f"{run.path}: {found}, {run.method}"]
    told = {"rank": method.get("r"), "alpha": method.get("lora_alpha", method.get("alpha")),
            "targets": _targets(method.get("target_modules")),
            "rank-stabilised": method.get("use_rslora", method.get("rslora")),
            "DoRA": method.get("use_dora")}  # fmt: skip
    if any(told.values()):
        lines.append("  " + ", ".join(f"{name} {value}" for name, value in told.items() if value))
    trained, weights = model.trainable, model.parameters
    share = f", {100 * trained / weights:.3g} % of {weights:,}" if trained and weights else ""
    lines.append(f"  base {model.source}" + (f"; {trained:,} weights trained{share}" if trained else ""))
    losses = run.losses
    if not losses.empty:
        course = f"{losses.iloc[0]:.3g} to {losses.iloc[-1]:.3g} nats a token"
        kept = f"weights of {len(run.steps)} steps" + (f" up to {run.steps[-1]}" if run.steps else "")
        lines.append(f"  {len(losses)} logged losses, {course}; {kept}")
    return lines + [f"  note: {note}" for note in run.info.notes]


def _targets(wanted: str | list[str] | None) -> str | None:
    return ", ".join(sorted(wanted)) if isinstance(wanted, list) else wanted


def _show_modules(frame: pd.DataFrame, console: Console, top: int) -> None:
    if frame.empty:  # every change needs a base that is not at hand, and the diagnosis says so
        return
    still = frame[frame["norm"] == 0]
    frame = frame if len(still) == len(frame) else frame.drop(still.index)
    known = frame["relative"].notna().any()
    columns = ["norm of delta-W", *(["beside W"] if known else []), "effective rank"]
    table = table_of("What moved most, beside its own size" if known else "What moved most", *columns)
    for name, row in frame.head(top).iterrows():
        beside = [_beside(row["relative"])] if known else []
        rank = "not computed" if np.isnan(row["effective_rank"]) else f"{row['effective_rank']:.1f} of {int(row['of'])}"
        rank = rank if row["of"] else "a vector"
        table.add_row(str(name), f"{row['norm']:.4g}", *beside, rank)
    console.print()
    console.print(table)
    if len(frame) > top:
        console.print(
            f"and {len(frame) - top} more, the last {frame.index[-1]} ({frame['norm'].iloc[-1]:.4g})", style="dim"
        )
    if 0 < len(still) < len(frame) + len(still):
        console.print(f"{len(still)} did not change: {still.index[0]}{', ...' * (len(still) > 1)}", style="dim")
    if frame["effective_rank"].head(top)[frame["of"].head(top) > 0].isna().any():
        console.print(
            "not computed: broken, or many large matrices; --all computes every rank that there is", style="dim"
        )


def table_of(title: str, *columns: str | Column) -> Table:
    """Names in the first column are folded, never cut: their ends tell them apart."""
    return Table(
        Column("", overflow="fold"), *columns, title=title, title_justify="left", box=None, padding=(0, 2, 0, 0)
    )


def _beside(share: float) -> str:
    return "not known" if np.isnan(share) else "W was zero" if np.isinf(share) else f"{100 * share:.3g} %"


# --- two runs ----------------------------------------------------------------------------------------


def matrix_by_matrix(run: Run, other: Run, progress: bool = False) -> pd.DataFrame:
    """Do two runs change the same things, the same way? One row a module of both, the most alike first.

    overlap_in and overlap_out: phi of what they look at and what they write (`measure.subspaces`), 0 to 1;
    chance: of random subspaces, for the first; cosine: of the two changes as vectors, -1 to 1. No row where nothing
    is in both.
    """
    both = [name for name in run.modules if name in other.modules and run.shape(name) == other.shape(name)]
    with workers(_THREADS) as pool:
        found = pool.map(lambda name: _alike(run, other, name), both)
        each = zip(both, found, strict=True)
        bar = progress_bar(each, "compared", total=len(both), delay=1, disable=not progress)
        rows = {name: row for name, row in bar if row is not None}
    columns = ["overlap_in", "chance", "overlap_out", "cosine"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).sort_values("overlap_in", ascending=False)


def _alike(run: Run, other: Run, name: str) -> tuple[float, float, float, float] | None:
    try:
        found = alike(run, other, name)
    except InputError:  # one of them did not move, or is broken: `show` says so
        return None
    return found.read.phi, found.read.chance, found.written.phi, found.cosine


def show_comparison(run: Run, other: Run, frame: pd.DataFrame, console: Console, top: int = 12) -> None:
    """Print `matrix_by_matrix`. Raises InputError if it is empty."""
    if frame.empty:
        raise InputError(
            f"{run.path} and {other.path} changed no matrix of the same name and size, so nothing compares"
        )
    columns = ("overlap, in", "chance", "overlap, out", "cosine")
    table = table_of("Do they go the same way?", *columns)
    for name, row in frame.head(top).iterrows():
        table.add_row(str(name), *(f"{value:.3f}" for value in row))
    console.print()
    console.print(table)
    alone = [len(set(one.modules) - set(frame.index)) for one in (run, other)]
    console.print(
        f"{len(frame)} matrices compared; {alone[0]} and {alone[1]} are in one only, or did not move", style="dim"
    )
