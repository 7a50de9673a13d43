"""How is a training watched from another terminal? `glasstune watch runs/mine`."""

import socket
import threading
from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.commands import Command, at_least
from engine.errors import InputError
from engine.terminal import say


def options(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run that is being trained")
    parser.add_argument("--port", type=at_least(0, 65535), default=0, help="of the local address (default: a free one)")


def run(chosen: Namespace) -> None:
    from engine.run.run import Run
    from visualize.page.serve import HOST, address, new_token, serve

    if not (chosen.run / "run.json").is_file():
        raise InputError(f"{chosen.run} holds no run yet; name the folder that a training writes (its --out)")
    Run.load(chosen.run)  # what is wrong with it is said here, and not to a browser
    try:
        listening = socket.create_server((HOST, chosen.port))
    except (OSError, OverflowError) as error:
        raise InputError(f"port {chosen.port} cannot be used ({error}); give another one, or none") from None
    token = new_token()
    say(f"watch it: {address(listening.getsockname()[1], token)}\nCtrl-C ends this, and not the training.")
    serve(chosen.run.absolute(), listening, token, threading.Event(), stays=True)


COMMAND = Command("the page of a training that goes on", options, run, stopped="")
