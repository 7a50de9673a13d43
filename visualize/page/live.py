"""How is a training shown while it goes on? As its page: at a local address, or in the notebook that started it.

`show` is what `CaptureCallback(..., live=True)` finds under the entry point "glasstune.live".
"""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engine import terminal
from engine.notebook import in_notebook
from visualize.page.serve import HOST, address, new_token

_beside: list["subprocess.Popen[bytes]"] = []  # those that still answer


def show(folder: Path) -> Callable[[], None]:
    """Begin to show the run in `folder`; gives what to call when its training has ended."""
    if in_notebook():
        try:
            from visualize.page.widget import follow_in_notebook
        except ImportError:  # no anywidget: the address will do
            pass
        else:
            return follow_in_notebook(folder)
    return _at_an_address(folder)


def _at_an_address(folder: Path) -> Callable[[], None]:
    """Another process answers there. Its socket listens from now on, so that nobody waits for the process."""
    _beside[:] = [one for one in _beside if one.poll() is None]
    token = new_token()
    with socket.create_server((HOST, 0)) as listening:
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "visualize.page.serve", str(folder.absolute()), str(listening.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
        )
        where = address(listening.getsockname()[1], token)
    _beside.append(server)
    assert server.stdin is not None
    server.stdin.write(f"{token}\n".encode())
    server.stdin.flush()
    terminal.note(f"watch it: {where}")
    return server.stdin.close
