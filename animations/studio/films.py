"""Which films are there, and which scenes has each? Read from their files; nothing is loaded to know it."""

import ast
from pathlib import Path

from engine.errors import InputError

FOLDER = Path(__file__).parents[1]
# As a course shows them.
COURSE = ("when", "full", "lora", "qlora", "data", "tuning", "forgetting", "evaluation")


def films() -> list[str]:
    """The films that there are: files of the folder above that name their SCENES."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if "\nSCENES = " in path.read_text(encoding="utf-8"))


def check_film(film: str) -> None:
    """Raises InputError for a film that is none."""
    if film not in films():
        raise InputError(f"no film called {film!r}; there are: {', '.join(films())}")


def scene_names(film: str) -> list[str]:
    """The film's scenes, in order. Raises InputError for a film that is none."""
    check_film(film)
    for node in ast.parse((FOLDER / f"{film}.py").read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="SCENES")], value=ast.Tuple(elts=scenes) | ast.List(elts=scenes)):
                return [scene.id for scene in scenes if isinstance(scene, ast.Name)]
    raise ValueError(f"{film}.py does not name its SCENES as a tuple of classes")
