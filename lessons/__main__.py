"""python -m lessons: see `lessons.commands.lesson`."""

from lessons.commands.lesson import COMMAND

main = COMMAND.main("python -m lessons")

if __name__ == "__main__":
    raise SystemExit(main())
