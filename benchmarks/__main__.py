"""How fast is it? Runs the benchmarks, all or those named, and keeps their figures in `benchmarks/figures.json`."""

import argparse
import importlib
import json
import sys
import time
from typing import Any

from benchmarks import report
from benchmarks.figures import Figure, Unmeasured, host


def benchmarks() -> list[str]:
    """The benchmarks that there are: the files of this folder with a TITLE."""
    folder = report.KEPT.parent
    return sorted(path.stem for path in folder.glob("*.py") if "\nTITLE = " in path.read_text(encoding="utf-8"))


def line(found: Figure | Unmeasured) -> str:
    if isinstance(found, Unmeasured):
        return f"  not measured: {found.what}: {found.why}"
    goal = f"; goal: {found.goal}" if found.goal else ""
    many = len(found.values)
    spread = f" ({min(found.values):.3g} to {max(found.values):.3g}, {many} times)" if many > 1 else ""
    return f"  {found.what}: {found.median:.3g} {found.unit}{spread}{goal}"


def run(name: str) -> dict[str, Any]:
    """Measure, saying each figure as it comes. Gives what is kept of it."""
    module, found = importlib.import_module(f"benchmarks.{name}"), []
    began = time.perf_counter()
    print(f"{name}: {module.TITLE}", flush=True)
    for each in module.measure():
        found.append(each)
        print(line(each), flush=True)
    took = time.perf_counter() - began
    print(f"  ({took:.0f} s)", flush=True)
    return {
        "title": module.TITLE,
        "command": f"python -m benchmarks {name}",
        "measured": time.strftime("%Y-%m-%d"),
        "took": round(took),
        "host": host(),
        "figures": [each.as_json() for each in found if isinstance(each, Figure)],
        "unmeasured": [each.as_json() for each in found if isinstance(each, Unmeasured)],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(benchmarks())}; default: all")
    parser.add_argument("--list", action="store_true", help="say what each measures, and stop")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(benchmarks()):
        print(f"error: no benchmark called {min(unknown)!r}; there are {', '.join(benchmarks())}", file=sys.stderr)
        return 2
    names = chosen.names or benchmarks()
    if chosen.list:
        for name in names:
            print(f"{name}: {importlib.import_module(f'benchmarks.{name}').TITLE}")
        return 0
    for name in names:
        kept = report.kept() | {name: run(name)}
        report.KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in report.write():
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
