"""python -m engine.inspect: see `engine.inspect.report`."""

from engine.inspect.report import main

if __name__ == "__main__":
    raise SystemExit(main())
