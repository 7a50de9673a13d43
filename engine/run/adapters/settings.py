"""Which rank and alpha has each module of an adapter? Its patterns over its defaults, as PEFT matches them."""

import math
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from engine import patterns

_PLAIN = re.compile(r"\^?[\w.-]+")


class Settings:
    """Rank and alpha of each module: rank_pattern and alpha_pattern over the defaults, matched as PEFT matches them.

    Raises InputError for a pattern that would take too long.
    """

    def __init__(self, config: dict[str, Any], modules: Collection[str], where: Path) -> None:
        self.ranks = _Pattern(config.get("rank_pattern"), config.get("r", 8), modules, where)
        alpha = config.get("lora_alpha", config.get("alpha", 8))
        self.alphas = _Pattern(config.get("alpha_pattern"), alpha, modules, where)
        self.stabilised = bool(config.get("use_rslora"))

    def of(self, module: str) -> tuple[int, float]:
        return int(self.ranks.of(module)), float(self.alphas.of(module))

    def scaling(self, module: str) -> float:
        """alpha / r, or alpha / sqrt(r) where it is rank-stabilised."""
        rank, alpha = self.of(module)
        return alpha / (math.sqrt(rank) if self.stabilised else rank)


class _Pattern:
    """The first of its keys that matches the end of a module's name, from a dot on. A key without signs is looked up,
    for an adapter may have one for each of thousands of modules."""

    def __init__(self, pattern: dict[str, Any] | None, default: Any, modules: Collection[str], where: Path) -> None:
        keys = pattern or {}
        self.values, self.default = [*keys.values()], default
        self.plain = {key.removeprefix("^"): at for at, key in enumerate(keys) if _PLAIN.fullmatch(key)}
        self.whole = {key[1:] for key in keys if key.startswith("^")}
        signs = {at: rf"(.*\.)?({key})$" for at, key in enumerate(keys) if not _PLAIN.fullmatch(key)}
        patterns.check(signs.values(), modules, where)
        self.signs = {at: re.compile(sign) for at, sign in signs.items()}

    def of(self, module: str) -> Any:
        parts = module.split(".")
        ends = (".".join(parts[at:]) for at in range(len(parts)))
        met = [self.plain[end] for end in ends if end in self.plain and (end not in self.whole or end == module)]
        met += [at for at, sign in self.signs.items() if sign.match(module)]
        return self.values[min(met)] if met else self.default
