"""Is a setting what it has to be? Asked before anything is loaded or written, of what training and capture are told."""

from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from engine.errors import InputError, shown


def check_between(name: str, value: Any, least: float, most: float) -> None:
    """Raises InputError for a number below what makes sense, or beyond what anything could be made of."""
    if value is not None and value < least:
        raise InputError(f"{name} is {shown(value)}; it must be at least {least}")
    if value is not None and not value <= most:
        raise InputError(f"{name} is {shown(value)}; it can be at most {most:,}")


def check_kinds(told: Any, among: Any) -> None:
    """Raises InputError for a field of a dataclass that holds text where a number belongs, and the like."""
    for about in fields(among):
        _check_kind(about.name, about.type, getattr(told, about.name))


def _check_kind(name: str, kind: Any, value: Any) -> None:
    """Raises InputError for text where a number belongs, and the like."""
    kinds = {int: (Integral, "a whole number"), float: (Real, "a number"), bool: (bool, "True or False")}
    for plain, (wanted, said) in kinds.items():
        if kind == plain or kind == plain | None:
            fits = isinstance(value, wanted) and isinstance(value, bool) == (plain is bool)
            if not fits and not (value is None and kind != plain):
                raise InputError(f"{name} is {shown(value)}; it must be {said}")
    if name == "trainer" and not (value is None or isinstance(value, dict)):
        raise InputError(f"trainer is {shown(value)}; give a dictionary of TrainingArguments' names, or leave it out")
