"""How is a training watched in a browser? At a local address that only its link opens.

It is a process of its own, which yields to others and does nothing until somebody looks. Only this machine reaches it
(127.0.0.1); a request must name the token of the link, and this machine as its host, so that no page of another origin,
and no name that somebody pointed here, gets an answer. When the training has ended, the address brings the run's page.
"""

import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from visualize.page.pieces import as_json

if TYPE_CHECKING:
    pass

HOST = "127.0.0.1"
_NAMES = {HOST, "localhost"}
_OFTEN, _SHARE = 0.5, 0.05  # seconds between two looks at the run at least; the share of a core that they take at most
_AFTER = 60.0  # seconds that the address stays when training has ended and nobody looks


def address(port: int, token: str) -> str:
    return f"http://{HOST}:{port}/{token}/"


class Training:
    """What all requests share. Made when the first one comes, since what it takes is then loaded."""

    def __init__(self, folder: Path) -> None:
        from visualize.page.following import Following

        self.following: Following = Following(folder)
        self.final: str | None = None  # the finished run's page
        self.lookers, self.last_asked = 0, time.monotonic()
        self.ended = False
        self.somebody = Event()
        self.lock = Lock()

    def look_on(self) -> None:
        """Look at the run, as long as it is written and somebody wants to know; then make its page."""
        from engine.errors import InputError

        while not self.ended:
            self.somebody.wait()
            began = time.thread_time()
            with suppress(InputError):  # e.g. a file that is just being replaced
                self.following.look()
            self.ended = not self.following.goes_on
            time.sleep(max(_OFTEN, (time.thread_time() - began) / _SHARE) if not self.ended else 0)
        with suppress(InputError):
            self.following.close()
            self.final = self.following.final()
        with self.following.changed:
            self.following.changed.notify_all()

    def count(self, by: int) -> None:
        with self.lock:
            self.lookers, self.last_asked = self.lookers + by, time.monotonic()
            if self.lookers:
                self.somebody.set()
            else:
                self.somebody.clear()

    def page(self) -> str:
        self.last_asked = time.monotonic()
        return self.final or self.following.page()


class Handler(BaseHTTPRequestHandler):
    """GET of the page and of its events; whatever else is asked gets nothing."""

    server_version, sys_version = "Glasstune", ""

    def __init__(self, *args: Any, token: str, training: Callable[[], Training]) -> None:
        self.token, self.training = token, training
        super().__init__(*args)

    def do_GET(self) -> None:
        found = urlsplit(self.path)
        what = self._allowed(found.path)
        with suppress(BrokenPipeError, ConnectionResetError):
            if what == "":
                self._say("text/html; charset=utf-8", self.training().page().encode("utf-8", "replace"))
            elif what == "events":
                self._tell(found.query)
            else:
                self.send_error(404)

    def _allowed(self, path: str) -> str | None:
        """What is asked for, if it may be."""
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        origin = self.headers.get("Origin")
        elsewhere = self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        if host not in _NAMES or elsewhere or origin not in (None, f"http://{self.headers.get('Host')}"):
            return None
        _, _, rest = path.partition("/")
        token, _, what = rest.partition("/")
        return what if compare_digest(token.encode(), self.token.encode()) and path.count("/") == 2 else None

    def _say(self, kind: str, body: bytes | None) -> None:
        self.send_response(200)
        for name, value in {
            "Content-Type": kind, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin", "Content-Security-Policy": "frame-ancestors 'none'",
        }.items():  # fmt: skip
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body is not None:
            self.wfile.write(body)

    def _tell(self, query: str) -> None:
        """Server-sent events, until the reader goes or the page is to be opened anew."""
        training = self.training()
        following = training.following
        had = self.headers.get("Last-Event-ID") or next(iter(parse_qs(query).get("after", [])), "0")
        sent, version = int(had) if had.isdecimal() else 0, 0
        self._say("text/event-stream", None)
        training.count(1)
        try:
            while training.final is None:
                messages, sent, version = following.since(sent, version)
                for number, message in messages:
                    self._event(number, message)
                if not messages:
                    self.wfile.write(b": still here\n\n")
                with following.changed:
                    if training.final is None and version == following.version:
                        following.changed.wait(5)
            self._event(sent, {"again": True})
        finally:
            training.count(-1)

    def _event(self, number: int, message: dict[str, Any]) -> None:
        self.wfile.write(f"id: {number}\ndata: {as_json(message)}\n\n".encode("utf-8", "replace"))

    def log_message(self, *_: Any) -> None:
        """A terminal in which a model is trained has other things to show."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A reader who goes in the middle is no error, and nobody would see what is said here."""


def serve(folder: Path, listening: socket.socket, token: str, left: Event, stays: bool = False) -> None:
    """Answer until training has ended and nobody has looked for a minute; stays: until interrupted.

    left: set when the process that trains is gone, or has let go.
    """
    made: list[Training] = []
    making = Lock()

    def training() -> Training:
        with making:
            if not made:
                made.append(Training(folder))
                Thread(target=made[0].look_on, daemon=True).start()
            return made[0]

    server = Server(listening.getsockname(), partial(Handler, token=token, training=training), bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    Thread(target=server.serve_forever, daemon=True).start()
    if stays:
        Event().wait()
    left.wait()
    began = time.monotonic()
    while folder.is_dir() and (
        any(one.lookers for one in made) or time.monotonic() - max([began, *(one.last_asked for one in made)]) < _AFTER
    ):
        time.sleep(0.5)


def main() -> None:
    """Beside a training: its folder, a listening socket's number, and on standard input the token; training has ended
    when that closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training
    os.nice(10)
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    token, left = sys.stdin.readline().strip(), Event()

    def wait() -> None:
        sys.stdin.read()
        left.set()

    Thread(target=wait, daemon=True).start()
    serve(folder, socket.socket(fileno=number), token, left)


def new_token() -> str:
    return secrets.token_urlsafe(24)


if __name__ == "__main__":
    main()
