"""How fast is it? Runs the benchmarks, all or those named, and keeps their figures in `benchmarks/figures.json`."""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, host

FOLDER = Path(__file__).parent
KEPT = FOLDER / "figures.json"


def benchmarks() -> list[str]:
    """The benchmarks that there are: the files of this folder with a TITLE."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if "\nTITLE = " in path.read_text(encoding="utf-8"))


def table(title: str, figures: list[Figure]) -> Table:
    shown = Table("figure", "median", "lowest to highest", "unit", "goal", title=title, title_justify="left")
    for figure in figures:
        spread = f"{min(figure.values):.3g} to {max(figure.values):.3g} ({len(figure.values)} times)"
        shown.add_row(figure.what, f"{figure.median:.3g}", spread, figure.unit, figure.goal)
    return shown


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(benchmarks())}; default: all")
    parser.add_argument("--list", action="store_true", help="say what each measures, and stop")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(benchmarks()):
        print(f"error: no benchmark called {min(unknown)!r}; there are {', '.join(benchmarks())}", file=sys.stderr)
        return 2
    console = Console()
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for name in chosen.names or benchmarks():
        module = importlib.import_module(f"benchmarks.{name}")
        if chosen.list:
            console.print(f"{name}: {module.TITLE}")
            continue
        began = time.perf_counter()
        figures: list[Figure] = module.measure()
        took = time.perf_counter() - began
        console.print(table(f"{module.TITLE} ({took:.0f} s)", figures))
        kept[name] = {
            "title": module.TITLE,
            "command": f"python -m benchmarks {name}",
            "measured": time.strftime("%Y-%m-%d"),
            "host": host(),
            "figures": [figure.as_json() for figure in figures],
        }
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
