"""python -m lessons.notebooks: see `lessons.teaching.notebooks`."""

from lessons.teaching.notebooks import main

if __name__ == "__main__":
    raise SystemExit(main())
