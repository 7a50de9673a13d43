"""What can be typed? One file a command: which options it has, and what it then does.

These files load next to nothing: what a command works with is imported when it runs, so that help, lists and completion
answer at once. A command is typed as `glasstune NAME` and as a `python -m ...` of its own.
"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import dataclass

from engine import errors


def at_least(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an option that counts something."""

    def whole(text: str) -> int:
        if (value := int(text)) < least:
            raise ArgumentTypeError(f"{value} is less than {least}")
        if most is not None and value > most:
            raise ArgumentTypeError(f"{value} is more than {most}")
        return value

    whole.__name__ = "int"  # by which argparse calls what is no number
    return whole


@dataclass(frozen=True)
class Command:
    """about: what it is for, in one short line of help. options: adds what it takes to a parser. run: does it, and
    gives the exit status (None for 0); raises InputError. stopped: what is said after Ctrl-C."""

    about: str
    options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int | None]
    stopped: str = "\nStopped."

    def main(self, prog: str) -> Callable[..., int]:
        """The command alone, as a `main(arguments)`. prog: what its help calls it."""

        def main(arguments: list[str] | None = None) -> int | None:
            parser = ArgumentParser(prog=prog, description=self.about)
            self.options(parser)
            return self.run(parser.parse_args(arguments))

        return errors.command(main, self.stopped)
