"""How is a model fine-tuned from a terminal? `glasstune finetune --method lora --data spanish --out runs/mine`."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace

from engine.commands import Command
from engine.errors import InputError


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--model", default="embedded", help="'embedded', a folder or a Hub id")
    parser.add_argument("--data", default="spanish", help="a task's name, a file or a Hub id")
    parser.add_argument("--method", default="lora", help="full, lora (the default) or qlora")
    parser.add_argument("--out", required=True, help="the run's folder, which must not exist yet")
    parser.add_argument("--every", default="auto", type=_every, help="capture each n-th step, or auto")
    for name, kind in (("steps", int), ("epochs", float), ("learning-rate", float), ("batch-size", int)):
        parser.add_argument(f"--{name}", type=kind)
    for name, kind in (("accumulation", int), ("warmup", float), ("weight-decay", float), ("max-length", int)):
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument(
        "--mix", type=float, help="share of the examples that comes from --mix-with, against forgetting"
    )
    parser.add_argument("--mix-with", help="'curriculum' (the default), or any other data")
    parser.add_argument("--mask-prompts", action=BooleanOptionalAction, help="learn the answers alone (the default)")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, if it was stopped")
    parser.add_argument("--r", type=int, help="rank, for lora and qlora")
    parser.add_argument("--alpha", type=int, help="strength, for lora and qlora")
    parser.add_argument("--dropout", type=float, help="dropout before A, for lora and qlora")


def _every(text: str) -> str | int:
    return text if text == "auto" else int(text)


def run(chosen: Namespace) -> None:
    from dataclasses import replace

    from engine.training.finetune import finetune
    from engine.training.methods import LoRA, get_method

    given = {name: value for name, value in vars(chosen).items() if value is not None}
    method = get_method(given.pop("method"))
    shape = {name: given.pop(name) for name in ("r", "alpha", "dropout") if name in given}
    if shape and not isinstance(method, LoRA):
        raise InputError(f"--{min(shape)} is for lora and qlora; {method.name} fine-tuning has none")
    made = finetune(method=replace(method, **shape), **given)
    print(f"{made}\nIt lies in {made.path}")


COMMAND = Command("fine-tune a model, and capture what happens to it", options, run)
