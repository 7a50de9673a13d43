"""python -m engine.pretrain: see `engine.school.pretrain`."""

from engine.school.pretrain import main

if __name__ == "__main__":
    raise SystemExit(main())
