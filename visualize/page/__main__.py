"""python -m visualize.page: see `visualize.commands.page`."""

from visualize.commands.page import COMMAND

main = COMMAND.main("python -m visualize.page")

if __name__ == "__main__":
    raise SystemExit(main())
