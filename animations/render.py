"""python -m animations.render: see `animations.studio.render`."""

from animations.studio.render import main

if __name__ == "__main__":
    raise SystemExit(main())
