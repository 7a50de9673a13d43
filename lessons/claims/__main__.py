"""python -m lessons.claims: see `lessons.commands.claims`."""

from lessons.commands.claims import COMMAND

main = COMMAND.main("python -m lessons.claims")

if __name__ == "__main__":
    raise SystemExit(main())
