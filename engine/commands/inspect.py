"""How is a fine-tuning looked at from a terminal? `glasstune inspect PATH [PATH]`; the exit status is 1 for a fault."""

from argparse import ArgumentParser, Namespace

from engine.commands import Command, at_least
from engine.terminal import Terminal


def options(parser: ArgumentParser) -> None:
    parser.add_argument("path", help="a Run, an adapter, a Trainer's output, or (before what was tuned from it) a base")
    parser.add_argument(
        "second", nargs="?", metavar="path", help="what was tuned from the first, or another to compare"
    )
    parser.add_argument("--base", help="the model that an adapter or a Trainer's output began with, if it is not found")
    parser.add_argument("--top", type=at_least(0), default=12, help="how many matrices to list")
    parser.add_argument("--all", action="store_true", help="the effective rank of all listed, however long it takes")


def run(chosen: Namespace) -> int:
    from engine.inspect.report import matrix_by_matrix, open_two, show, show_comparison
    from engine.run.adapters.prompts import HasPrompts
    from engine.run.run import Run

    console = Terminal()
    try:
        if chosen.second is None:
            first, other = Run.open(chosen.path, chosen.base), None
        else:
            first, other = open_two(chosen.path, chosen.second, chosen.base)
    except HasPrompts:
        return _show_prompts(chosen, console)
    # First, for what it reads and decomposes is kept for the tables.
    compared = None if other is None else matrix_by_matrix(first, other, progress=True)
    faults = [show(run, console, chosen.top, chosen.all) for run in (first, other) if run is not None]
    if other is not None and compared is not None:
        show_comparison(first, other, compared, console, chosen.top)
    return int(any(faults))


def _show_prompts(chosen: Namespace, console: Terminal) -> int:
    """Of a method that trains vectors before the text: these, beside the base's tokens or another's."""
    from engine.inspect import prompted, prompts
    from engine.run.stores.find import is_checkpoint

    paths, base = [path for path in (chosen.path, chosen.second) if path is not None], chosen.base
    if len(paths) == 2 and (whole := [path for path in paths if is_checkpoint(path)]):
        paths, base = [path for path in paths if path not in whole], whole[0]
    found = [prompts.look(path, base) for path in paths]
    faults = [prompted.show(one, console, chosen.top) for one in found]
    if len(found) == 2:
        prompted.show_distances(found[0], found[1], console, chosen.top)
    return int(any(faults))


COMMAND = Command("what did a fine-tuning change, and did it learn?", options, run)
