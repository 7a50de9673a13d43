"""python -m engine.inspect: see `engine.commands.inspect`."""

from engine.commands.inspect import COMMAND

main = COMMAND.main("python -m engine.inspect")

if __name__ == "__main__":
    raise SystemExit(main())
