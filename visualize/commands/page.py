"""How is a run's page made from a terminal? `glasstune page runs/mine -o run.html`."""

import re
from argparse import ArgumentParser, Namespace

from engine.commands import Command
from engine.errors import InputError
from engine.terminal import say

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def options(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a Run, an adapter, ...; or base and tuned")
    parser.add_argument("-o", "--out", default="run.html", help="the file to write (default: %(default)s)")
    parser.add_argument("--budget", default="15MB", help="how large it may be (default: %(default)s)")


def size_of(text: str) -> int:
    """Bytes of "20MB", "800 kB" or "15000000". Raises InputError for anything else."""
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([kmg]?b?)\s*", text.lower())
    if found is None or found[2] not in _UNITS:
        raise InputError(f"{text!r} is no size; write it as 20MB, 800kB or a number of bytes")
    return int(float(found[1]) * _UNITS[found[2]])


def run(chosen: Namespace) -> None:
    budget = size_of(chosen.budget)
    from engine.inspect.report import open_two
    from engine.run.run import as_run
    from visualize.page.write import place_of, write_page

    place_of(chosen.out)
    if len(chosen.runs) == 2:
        runs = [one for one in open_two(*chosen.runs) if one is not None]
    else:
        runs = [as_run(path) for path in chosen.runs]
    out = write_page(runs, chosen.out, budget=budget)
    say(f"{out}: {out.stat().st_size / 1e6:.1f} MB. Open it in a browser; it needs no network.")


COMMAND = Command("a run to touch, as one offline page for any browser", options, run)
