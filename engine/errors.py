"""How does Glasstune say that the user, not the program, has to change something?"""

import io
import os
import re
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from engine.threads import sleep_while_waiting

# Control and format characters, lone surrogates, private use, line and paragraph separators: some of them move the
# cursor, change colours, write the clipboard, or turn the reading direction around.
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def printable(text: str, keep: str = "") -> str:
    r"""What can be shown of text that came from anywhere? Characters that steer a terminal become escapes like \x1b.

    keep: characters left as they are, e.g. "\n".
    """
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in _UNSAFE
        else character.encode("unicode_escape").decode()
        for character in text
    )


def shown(value: Any) -> str:
    """A value as it is quoted in a sentence: not all of a number of a thousand digits, or of a text without end."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text):,} characters)"


class InputError(ValueError):
    """One clear sentence: what is wrong, where, and what to do. Command lines print it without a traceback.

    It may quote the user's data, so it is made printable, on one line.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


@contextmanager
def understood(what: object, remedy: str = "copy or download it again") -> Iterator[None]:
    """For what others wrote: an error inside, of whatever kind, is `what`'s fault, and is said as an InputError."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError, re.error,
            ImportError) as error:  # fmt: skip
        why = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{what} cannot be understood ({why}); {remedy}") from error


def first_line(error: BaseException) -> str:
    """What somebody else's error says first; a line that ends in a colon brings the next one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    more = 2 if lines and lines[0].endswith(":") else 1
    return " ".join(lines[:more])[:300] or type(error).__name__


def never_stumble() -> None:
    """Streams that cannot show a character show its escape instead of raising: an old terminal, a pipe to a file."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


_SAFE, _OURS = "PYTHONSAFEPATH", "glasstune"  # any text but an empty one counts


@contextmanager
def safe_path() -> Iterator[None]:
    """Python processes that are started meanwhile import nothing from the folder they are started in: a stranger's run,
    or what students handed in, may lie there, with a file called as a module."""
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = before or _OURS
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_SAFE, None)


def as_it_was() -> dict[str, str]:
    """The environment for a program that the user named: it may be a script that imports its neighbours."""
    return {name: value for name, value in os.environ.items() if (name, value) != (_SAFE, _OURS)}


def command(main: Callable[[list[str] | None], int | None], stopped: str = "\nStopped.") -> Callable[..., int]:
    """Makes `main(arguments)` a command line's: it gives the exit status, and a mistake is one line, no trace.

    0; 1, where `main` gives it, for a verdict: a fault was found, a comparison failed; 2 after an InputError; 3 where
    the disk failed (one line) or Glasstune itself (a traceback); 130 after Ctrl-C, which says `stopped`; 141 where the
    reader of a pipe has gone.
    """

    @wraps(main)
    def run(arguments: list[str] | None = None) -> int:
        never_stumble()
        sleep_while_waiting()
        try:
            with safe_path():
                return main(arguments) or 0
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except BrokenPipeError:  # `| head` has seen enough; what Python flushes at its end must go somewhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except OSError as error:
            if error.strerror is None:
                return _defect()
            where = f"{printable(str(error.filename))}: " if error.filename else ""
            print(f"error: {where}{error.strerror}", file=sys.stderr)
            return 3
        except KeyboardInterrupt:
            print(stopped, file=sys.stderr)
            return 130
        except Exception:
            return _defect()

    return run


def _defect() -> int:
    """What nobody foresaw keeps its traceback, and a status that no verdict has."""
    print(printable(traceback.format_exc(), keep="\n"), end="", file=sys.stderr)  # it may quote anybody's text
    return 3
