"""python -m lessons.hand_in --name ADA: see `lessons.commands.hand_in`."""

from lessons.commands.hand_in import COMMAND

main = COMMAND.main("python -m lessons.hand_in")

if __name__ == "__main__":
    raise SystemExit(main())
