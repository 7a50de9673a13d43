"""When may the network be asked? Where the user named something remote in this very call; never because a file says so.

A local folder is loaded `offline()`, and so is whatever a Run names: who wrote that may be a stranger.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants


def is_offline() -> bool:
    return bool(constants.HF_HUB_OFFLINE)


@contextmanager
def offline() -> Iterator[None]:
    """Inside, huggingface_hub, transformers, peft and datasets take what is on this machine, and fetch nothing."""
    told = [module for name in ("huggingface_hub.constants", "datasets.config") if (module := sys.modules.get(name))]
    before = [module.HF_HUB_OFFLINE for module in told]
    for module in told:
        module.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module, was in zip(told, before, strict=True):
            module.HF_HUB_OFFLINE = was  # type: ignore[attr-defined]
