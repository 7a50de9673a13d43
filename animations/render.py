"""python -m animations.render: see `animations.commands.film`."""

from animations.commands.film import COMMAND

main = COMMAND.main("python -m animations.render")

if __name__ == "__main__":
    raise SystemExit(main())
