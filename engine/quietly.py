"""How is PEFT loaded without a remark on every start, and without waiting for what is not used?

PEFT loads bitsandbytes, which looks for an optional kernel package and says that there is none: that one logger is
silent meanwhile. bitsandbytes has functions compiled, and so loads PyTorch's whole compiler: they are compiled when one
is first called. Python looks for garbage again and again while thousands of modules come, and finds none. Together that
is a fifth of the seconds until the model is there. Whoever imports PEFT imports this file before it.
"""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any
from unittest.mock import patch

import torch


@contextmanager
def _no_remark() -> Iterator[None]:
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


@contextmanager
def _garbage_left() -> Iterator[None]:
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


@contextmanager
def _compiled_when_called() -> Iterator[None]:
    compiler: Callable[..., Any] = torch.compile

    def later(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
        if function is None:
            return lambda function: later(function, **options)
        compiled = cache(lambda: compiler(function, **options))
        return wraps(function)(lambda *args, **kwargs: compiled()(*args, **kwargs))

    with patch.object(torch, "compile", later):
        yield


with _garbage_left(), _no_remark(), _compiled_when_called():
    import bitsandbytes  # noqa: F401
with _garbage_left():
    import peft  # noqa: F401
