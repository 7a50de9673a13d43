"""How is a training watched in a browser? At a local address that only its link opens.

It is a process of its own, which yields to others and does nothing until somebody asks. Only this machine reaches it
(127.0.0.1); a request must name the token of the link, and this machine as its host, so that no script of another
origin, and no name that somebody pointed here, gets an answer. When the training has ended, the address brings the
run's page.
"""

import os
import re
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from engine.errors import InputError
from engine.recording.lock import is_held
from visualize.page.pieces import as_json

HOST = "127.0.0.1"
_NAMES = {HOST, "localhost"}
_NUMBER = re.compile("[0-9]{1,12}")
_OFTEN, _LONGEST = 0.5, 10.0  # seconds between two looks at a run's files, and until a question is answered "no news"
_AFTER = 90.0  # seconds that the address stays when training has ended and nobody looks


def address(port: int, token: str) -> str:
    return f"http://{HOST}:{port}/{token}/"


class Training:
    """What all requests share. Made when the first one comes, since what it takes is then loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begin()
        self.lookers, self.last_asked = 0, time.monotonic()
        self.lock = Lock()

    def _begin(self) -> None:
        from visualize.page.following import Following

        self.following, self.ended = Following(self.folder), False
        self.final: str | None = None  # the finished run's page

    def page(self) -> str:
        with self.lock:
            if self.ended and is_held(self.folder):  # somebody resumed it
                self._begin()
        self._end_with_the_run()
        return self.final or self.following.page()

    def news(self, version: int, step: int, hidden: bool) -> dict[str, Any]:
        """What is new since, as soon as there is something; hidden: only that the page is to be opened anew.

        `cost`: the milliseconds of a processor that the answer took, since who asks is to rest in proportion.
        """
        began, until = time.thread_time(), time.monotonic() + _LONGEST
        found: dict[str, Any] | None = None
        while not found:
            with suppress(InputError):  # e.g. a file that is just being replaced
                if not (hidden or self.ended):
                    self.following.look()
            self._end_with_the_run()
            found = {"again": True} if self.final else None if hidden else self.following.since(version, step)
            if time.monotonic() > until:
                break
            if not found:
                time.sleep(_OFTEN)
        return {**(found or {}), "cost": 1000 * (time.thread_time() - began)}

    def _end_with_the_run(self) -> None:
        """When nobody writes any more, the address brings the run's own page."""
        with self.lock:
            if self.ended or self.following.goes_on:
                return
            try:
                self.following.close()
                self.final = self.following.final()
            except InputError:
                pass  # there is no page of it
            except OSError:  # e.g. a file that is just being put in its place: at the next look
                return
            self.ended = True

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Somebody looks, as long as they wait for an answer."""
        with self.lock:
            self.lookers += 1
        try:
            yield
        finally:
            with self.lock:
                self.lookers, self.last_asked = self.lookers - 1, time.monotonic()


class Handler(BaseHTTPRequestHandler):
    """GET of the page and of what is new; whatever else is asked gets nothing."""

    server_version, sys_version = "Glasstune", ""

    def __init__(self, *args: Any, token: str, training: Callable[[], Training]) -> None:
        self.token, self.training = token, training
        super().__init__(*args)

    def do_GET(self) -> None:
        found = urlsplit(self.path)
        what = self._allowed(found.path)
        with suppress(BrokenPipeError, ConnectionResetError):
            if what not in ("", "news"):
                return self.send_error(404)
            try:
                self._answer(what, found.query)
            except InputError as error:  # the run cannot be read: as long as that is so, this is what there is to say
                self._say("text/plain; charset=utf-8", f"{error}\n", 503)

    def _answer(self, what: str, query: str) -> None:
        training = self.training()
        with training.asked():
            if what == "":
                self._say("text/html; charset=utf-8", training.page())
            else:
                had = {key: int(value) for key, value in parse_qsl(query) if _NUMBER.fullmatch(value)}
                version, step, hidden = (had.get(key, 0) for key in ("version", "step", "hidden"))
                self._say("application/json", as_json(training.news(version, step, bool(hidden))))

    def _allowed(self, path: str) -> str | None:
        """What is asked for, if it may be."""
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        origin = self.headers.get("Origin")
        if host not in _NAMES or origin not in (None, f"http://{self.headers.get('Host')}"):
            return None
        _, _, rest = path.partition("/")
        token, _, what = rest.partition("/")
        if not compare_digest(token.encode(), self.token.encode()) or path.count("/") != 2:
            return None
        elsewhere = self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        how = self.headers.get("Sec-Fetch-Mode"), self.headers.get("Sec-Fetch-Dest")
        # A link may stand on any page, in Jupyter for one: who follows it leaves that page, which gets nothing of this.
        return what if not elsewhere or (what == "" and how == ("navigate", "document")) else None

    def _say(self, kind: str, text: str, status: int = 200) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        for name, value in {
            "Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
            "Content-Security-Policy": "frame-ancestors 'none'",
        }.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

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
