"""python -m engine.rerun: see `engine.training.rerun`."""

from engine.training.rerun import main

if __name__ == "__main__":
    raise SystemExit(main())
