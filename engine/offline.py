"""When may the network be asked? Where the user named something remote in this very call; never because a file says so.

A local folder is loaded `offline()`, and so is whatever a Run names: who wrote that may be a stranger.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants


def is_offline() -> bool:
    return bool(constants.HF_HUB_OFFLINE)


def hub_answers(name: str, kind: str = "model") -> bool:
    """Whether the Hub can be asked for what the user named; kind: "model" or "dataset". Where there is no network,
    transformers and datasets would try again for most of a minute."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().repo_info(name, repo_type=kind, timeout=10)
    except (HfHubHTTPError, ValueError):
        return True  # it answers, or no Hub has such a name; who loads it says which
    except Exception:
        return False
    return True


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
