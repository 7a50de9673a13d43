"""python -m engine.evaluate: see `engine.commands.evaluate`."""

from engine.commands.evaluate import COMMAND

main = COMMAND.main("python -m engine.evaluate")

if __name__ == "__main__":
    raise SystemExit(main())
