"""python -m animations.runs: see `animations.commands.runs`."""

from animations.commands.runs import COMMAND

main = COMMAND.main("python -m animations.runs")

if __name__ == "__main__":
    raise SystemExit(main())
