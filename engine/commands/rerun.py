"""How is a run repeated from a terminal? `glasstune rerun runs/mine`; the exit status is 1 if it came out otherwise."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.commands import Command
from engine.terminal import say


def options(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("--out", type=Path, help="keep the repetition here (default: it is thrown away)")
    parser.add_argument("--data", help="the training data, if the run cannot name it")


def run(chosen: Namespace) -> int:
    import tempfile

    from engine.run.run import Run
    from engine.training.rerun import arguments_of, rerun, sentences

    before = Run.load(chosen.run)
    told = arguments_of(before, chosen.data)  # what is wrong is said before anything is trained
    mixed = f" and {told['mix_with']}" if told["mix_with"] else ""
    say(f"Training {told['model']} on {told['data']}{mixed} again, as {chosen.run} says")
    with tempfile.TemporaryDirectory() as scratch:
        found = rerun(before, chosen.out or Path(scratch) / "again", chosen.data)
    for line in sentences(found):
        say(line)
    return int(bool(found.different))


COMMAND = Command("train a run again from its own record, and compare", options, run)
