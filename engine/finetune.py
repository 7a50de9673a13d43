"""python -m engine.finetune: see `engine.commands.finetune`."""

from engine.commands.finetune import COMMAND

main = COMMAND.main("python -m engine.finetune")

if __name__ == "__main__":
    raise SystemExit(main())
