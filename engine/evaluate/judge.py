"""python -m engine.evaluate.judge: see `engine.commands.judge`."""

from engine.commands.judge import COMMAND

main = COMMAND.main("python -m engine.evaluate.judge")

if __name__ == "__main__":
    raise SystemExit(main())
