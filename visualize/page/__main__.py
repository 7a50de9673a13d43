"""The page of a run, from the command line: `python -m visualize.page RUN [RUN ...] -o run.html`."""

import argparse
import re

from engine.errors import InputError, command
from engine.inspect.report import open_two
from engine.run.run import as_run
from visualize.page.write import BUDGET, write_page

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def size_of(text: str) -> int:
    """Bytes of "20MB", "800 kB" or "15000000". Raises InputError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?b?)\s*", text.lower())
    if found is None or found[2] not in _UNITS:
        raise InputError(f"{text!r} is no size; write it as 20MB, 800kB or a number of bytes")
    return int(float(found[1]) * _UNITS[found[2]])


@command
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m visualize.page", description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a Run, an adapter, ...; or base and tuned")
    parser.add_argument("-o", "--out", default="run.html", help="the file to write (default run.html)")
    parser.add_argument("--budget", default=str(BUDGET), help="how large it may be, as 20MB (default 15MB)")
    given = parser.parse_args(arguments)
    if len(given.runs) == 2:
        runs = [run for run in open_two(*given.runs) if run is not None]
    else:
        runs = [as_run(path) for path in given.runs]
    out = write_page(runs, given.out, budget=size_of(given.budget))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB. Open it in a browser; it needs no network.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
