"""How is a model fine-tuned from a terminal? `glasstune finetune --method lora --data spanish --out runs/mine`.

Its options are made from the fields of `Request` and of the methods, so it knows what Python knows.
"""

from argparse import SUPPRESS, Action, ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from dataclasses import MISSING, Field, fields, replace
from typing import Any

from engine.commands import Command
from engine.errors import InputError
from engine.reading import parse_json
from engine.terminal import say
from engine.training.methods import get_method, method_options
from engine.training.request import Request

_FIRST = ("model", "data", "method", "out")


def options(parser: ArgumentParser) -> None:
    """An option for every field of `Request`, then one for every field of a method."""
    for about in sorted(fields(Request), key=lambda about: about.name not in _FIRST):
        shown = "" if about.default in (None, MISSING, True, False) else f" (default: {about.default})"
        add_field(parser, about, about.metadata["help"] + shown)
    for about, methods in method_options().values():
        add_field(parser, about, f"{about.metadata.get('help', '')} ({', '.join(methods)})")
    parser.add_argument(
        "--dry-run", action="store_true", help="say memory, time and disk, measured over two steps; keep nothing"
    )


def add_field(parser: ArgumentParser, about: "Field[Any]", said: str) -> Action:
    """One option, read as the field's type wants it. What is not given is left out, and Python's default holds."""
    more: dict[str, Any] = {"default": SUPPRESS, "help": said.replace("%", "%%").strip()}
    kinds = {kind for kind in (int, float, bool, str) if about.type == kind or about.type == kind | None}
    if "read" in about.metadata:
        more |= {"type": about.metadata["read"], "metavar": about.name.upper()}
    elif about.metadata.get("pairs"):
        more |= {"type": _pair, "action": "append", "metavar": "KEY=VALUE"}
    elif "choices" in about.metadata:
        more["choices"] = about.metadata["choices"]
    elif bool in kinds:
        more["action"] = BooleanOptionalAction
    elif kinds - {str}:
        (more["type"],) = kinds
    elif "list[str]" in str(about.type):
        more["nargs"] = "+"
    return parser.add_argument(f"--{about.name.replace('_', '-')}", required=about.name == "out", **more)


def _pair(text: str) -> tuple[str, Any]:
    """lr_scheduler_type=cosine -> ("lr_scheduler_type", "cosine"); a value is read as JSON where it is some."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ArgumentTypeError(f"{text!r} is no KEY=VALUE")
    try:
        return key, parse_json(value)
    except ValueError:
        return key, {"True": True, "False": False, "None": None}.get(value, value)


def told(chosen: Namespace) -> dict[str, Any]:
    """finetune()'s keywords. Raises InputError for an option of another method."""
    given = {name: value for name, value in vars(chosen).items() if name in Request.__dataclass_fields__}
    if "trainer" in given:
        given["trainer"] = dict(pair for pair in given["trainer"] if pair)  # argparse makes "--trainer=--" of nothing
    method, shape = get_method(given.pop("method", Request.method)), {}
    for name, (_, methods) in method_options().items():
        if hasattr(chosen, name):
            if method.name not in methods:
                flag = f"--{name.replace('_', '-')}"
                raise InputError(f"{flag} is for {' and '.join(methods)}; {method.name} fine-tuning has none")
            value = getattr(chosen, name)
            shape[name] = value[0] if name == "target_modules" and len(value) == 1 else value
    return {**given, "method": replace(method, **shape)}  # type: ignore[type-var]


def run(chosen: Namespace) -> None:
    given = told(chosen)
    if chosen.dry_run:
        from engine.planning.plan import plan_finetuning

        say("\n".join(plan_finetuning(**given).sentences()))
        return
    from engine.training.finetune import finetune

    made = finetune(**given)
    say(f"{made}\nIt lies in {made.path}")


COMMAND = Command("fine-tune a model, and capture what happens to it", options, run)
