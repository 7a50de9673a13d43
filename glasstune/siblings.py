"""Are `engine`, `visualize`, `animations` and `lessons` Glasstune's own, or a user's folder of the same name?

Their names are common, and Python takes the first of that name that it finds: under `python -m` and in a notebook that
is a folder in the current directory, even one that has nothing to do with Python if Glasstune is installed editable.
"""

import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIBLINGS = ("engine", "visualize", "animations", "lessons")


def found_at(name: str) -> Path | None:
    """The folder that `import name` takes, found without importing it; None if there is none."""
    try:
        spec = find_spec(name)
    except ValueError:  # a module that somebody made by hand
        return None
    if spec is None:
        return None
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    return places[0] if places else Path(spec.origin) if spec.origin else None


@cache
def check() -> None:
    """Raises ImportError, in one sentence, if another folder stands where one of ours should."""
    for name in SIBLINGS:
        ours, found = ROOT / name, found_at(name)
        if found is None:
            raise ImportError(f"Glasstune is not whole: {ours} is missing; install it again")
        if found.resolve() != ours:
            loaded = " (it was imported before)" if name in sys.modules else ""
            raise ImportError(
                f"{found} stands before Glasstune's own {ours}{loaded}: rename it, or start Python in another folder"
            )
