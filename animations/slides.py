"""python -m animations.slides: see `animations.studio.slides`."""

from animations.studio.slides import main

if __name__ == "__main__":
    raise SystemExit(main())
