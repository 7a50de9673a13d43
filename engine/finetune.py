"""python -m engine.finetune: see `engine.training.finetune`."""

from engine.training.finetune import main

if __name__ == "__main__":
    raise SystemExit(main())
