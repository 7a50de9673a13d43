"""python -m animations.runs: see `animations.studio.runs`."""

from animations.studio.runs import main

if __name__ == "__main__":
    raise SystemExit(main())
