"""python -m engine.data: see `engine.commands.data`."""

from engine.commands.data import COMMAND

main = COMMAND.main("python -m engine.data")

if __name__ == "__main__":
    raise SystemExit(main())
