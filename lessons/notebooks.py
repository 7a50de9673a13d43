"""python -m lessons.notebooks: see `lessons.commands.notebooks`."""

from lessons.commands.notebooks import COMMAND

main = COMMAND.main("python -m lessons.notebooks")

if __name__ == "__main__":
    raise SystemExit(main())
