"""python -m animations.slides: see `animations.commands.slides`."""

from animations.commands.slides import COMMAND

main = COMMAND.main("python -m animations.slides")

if __name__ == "__main__":
    raise SystemExit(main())
