"""What may be deleted? A Run that Glasstune wrote, with nothing else in it, and that nobody writes. One rule, here.

Whatever else lies where a Run shall be is moved aside under a name that is said (`clear`), or refused (`check_ours`).
"""

import re
from pathlib import Path

from engine.errors import InputError
from engine.files import PART, aside, beside, meant, remove
from engine.reading import read_json
from engine.recording.lock import NAME as LOCK
from engine.recording.lock import lock, unlock
from engine.run.format import BASE_ANSWERS, START, START_SCRATCH, later_starts
from engine.run.info import FORMAT

RECORDS = ("metrics.jsonl", "answers.jsonl", "norms.jsonl")
CHECKPOINTS = "checkpoints"  # in the run's folder, until it is finished
RECIPE = "recipe.json"  # what a film's own run was made from
_FILES = {"run.json", *RECORDS, START, START_SCRATCH, BASE_ANSWERS, LOCK, RECIPE}
# What PEFT, transformers and tokenizers save.
_SAVED = re.compile(
    r"README\.md|(adapter_|generation_|tokenizer_|processor_)?config\.json|(adapter_)?model(-\d+-of-\d+)?\.safetensors"
    r"|(adapter_)?model\.safetensors\.index\.json|tokenizer\.(json|model)|special_tokens_map\.json|added_tokens\.json"
    r"|vocab\.(json|txt)|merges\.txt|spiece\.model|sentencepiece\.bpe\.model|chat_template\.jinja"
    r"|training_args\.bin"
)
_INSIDE = {
    "captures": re.compile(r"step-\d+\.safetensors"),
    "adapter": _SAVED,
    "model": _SAVED,
    CHECKPOINTS: re.compile(r"step-\d+(/((weights|optimizer)\.safetensors|(rest|trainer_state)\.json))?"),
}


def holds_run(folder: Path) -> bool:
    return (folder / "run.json").is_file()


def only_begun(folder: Path) -> bool:
    """Whether the folder is what a kill leaves of a Run before its run.json: our files, with nothing in them yet."""
    if holds_run(folder) or folder.is_symlink() or not (folder / "captures").is_dir() or not_ours(folder):
        return False
    return all(path.name.endswith(PART) or not path.stat().st_size for path in folder.rglob("*") if path.is_file())


def not_ours(folder: Path, within: Path | None = None) -> Path | None:
    """The first thing in a Run's folder, however deep, that Glasstune did not write; None if there is none.

    within: look only into this folder of the run's.
    """
    known_files = _FILES | {file.name for file in later_starts(folder)}
    for path in sorted((within or folder).rglob("*")):
        first, *others = (meant(name) for name in path.relative_to(folder).parts)
        rest = "/".join(others)
        if first in _INSIDE and path.is_dir() and not rest:
            known = True
        elif rest:
            known = first in _INSIDE and bool(_INSIDE[first].fullmatch(rest))
        else:
            known = first in known_files and path.is_file()
        if path.is_symlink() or not known:
            return path
    return None


def check_ours(folder: Path) -> None:
    """Raises InputError unless the folder is a Run's with nothing in it but what Glasstune wrote, and nobody writes."""
    try:
        ours = read_json(folder / "run.json").get("format") == FORMAT
    except InputError:
        ours = False
    if not ours:
        raise InputError(f"{folder} is not deleted: its run.json was not written by Glasstune; give another folder")
    if folder.is_symlink():
        raise InputError(f"{folder} is not deleted: it is a link to another folder; give that one")
    if other := not_ours(folder):
        raise InputError(
            f"{folder} is not deleted: {other.relative_to(folder)} in it is not a run's; move it away, or give "
            "another folder"
        )
    unlock(folder, lock(folder))  # another process may be at it


def remove_run(folder: Path) -> None:
    """Delete a Run: by a rename first, so that a kill leaves all of it or none under its name.

    Raises InputError as `check_ours` does.
    """
    check_ours(folder)
    gone = beside(folder, f".gone{PART}")
    remove(gone)
    folder.replace(gone)
    remove(gone)


def clear(folder: Path) -> str | None:
    """Make room at `folder`: delete the Run in it, or move what else lies there aside; then a sentence says where to.

    Raises InputError if another process writes it.
    """
    if not folder.exists() and not folder.is_symlink():
        return None
    if holds_run(folder):
        unlock(folder, lock(folder))
    try:
        remove_run(folder)
    except InputError as error:
        return f"{error}; it now lies in {aside(folder)}"
    return None
