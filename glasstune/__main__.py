"""python -m glasstune: the command `glasstune`, see `glasstune.command`."""

import sys
from pathlib import Path

from glasstune.siblings import ROOT

if not sys.flags.safe_path and sys.path and Path(sys.path[0]).resolve() == Path.cwd() != ROOT:
    # `python -m` looks into the current folder first; a user's own `engine` or `lessons` there is not meant.
    del sys.path[0]

from glasstune.command import main

if __name__ == "__main__":
    raise SystemExit(main())
