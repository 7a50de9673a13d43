"""python -m lessons.grade FOLDER: see `lessons.commands.grade`."""

from lessons.commands.grade import COMMAND

main = COMMAND.main("python -m lessons.grade")

if __name__ == "__main__":
    raise SystemExit(main())
