"""python -m engine.rerun: see `engine.commands.rerun`."""

from engine.commands.rerun import COMMAND

main = COMMAND.main("python -m engine.rerun")

if __name__ == "__main__":
    raise SystemExit(main())
