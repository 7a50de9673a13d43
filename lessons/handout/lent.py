"""On which of a lesson's names may a student's code count where it is tried? On what is nobody's answer: modules of
Python and of numerics, what comes out of them, and constants in capitals, each only if the code names it.
"""

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from lessons.handout.tryout import encode
from lessons.teaching.written import names_in

_MODULES = {*sys.stdlib_module_names, "numpy", "pandas"}
_PLAIN = bool | int | float | str | tuple | list | dict | None


def lent(code: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """What `tryout` is told of these names: of each a module, what it is called in there, or its value.

    names: a lesson's, by which its students are told whether they are right.
    """
    found = {name: _told(name, names[name]) for name in sorted(names_in(code)) if name in names}
    return {name: told for name, told in found.items() if told}


def _told(name: str, value: Any) -> dict[str, Any] | None:
    if isinstance(value, ModuleType):
        return {"module": value.__name__} if _is_lent(value.__name__) else None
    module, inside = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if isinstance(module, str) and isinstance(inside, str) and _is_lent(module):
        return {"module": module, "inside": inside} if getattr(sys.modules.get(module), inside, None) is value else None
    if name.isupper() and isinstance(value, _PLAIN):
        try:
            return {"value": encode(value)}
        except TypeError:  # it holds what cannot be handed over
            return None
    return None


def _is_lent(module: str) -> bool:
    return module.partition(".")[0] in _MODULES
