"""Does the file hold what its settings promise? Modules to save, layers, and heads that are their model's embedding.

PEFT only warns of what it does not find, and leaves it as it was drawn, or as the base has it.
"""

import re
import sys

from engine.inspect.finding import Finding, some
from engine.run.pairing import is_embedding, is_head, tied_to
from engine.run.run import Run
from engine.run.stores.adapter import open_base
from engine.run.tensors import Tensors

_LAYER = re.compile(r"(?P<before>.*?)\.(?P<layer>\d{1,6})\.(?P<inside>.+)$")
_ONLY_SOME = ("layers_to_transform", "layers_pattern", "exclude_modules", "layer_replication", "target_parameters")


def promised(run: Run) -> list[Finding]:
    """Of an adapter that was saved; nothing of other runs."""
    if run.info.found is None or run.info.found.kind != "adapter":
        return []
    base = open_base(run.base, must=False)
    findings = _whole(run, base)
    if base is not None:
        findings += _layers(run, base) + _tied(run, base)
    return findings


def _named(name: str, module: str) -> bool:
    return module == name or module.endswith(f".{name}")


def _held(run: Run) -> list[str]:
    """Modules that have something in the file, shown or not."""
    return [module.removesuffix(".bias") for module in run.info.modules] + [
        part for names in run.info.differences.values() for part in names
    ]


def _whole(run: Run, base: Tensors | None) -> list[Finding]:
    """modules_to_save that are not there. PEFT lists two usual names of a classifier's head: one of them is enough."""
    wanted = run.info.method.options.get("modules_to_save")
    names = [str(name) for name in wanted] if isinstance(wanted, list) else []
    held = _held(run)
    missing = [name for name in names if not any(f".{name}." in f".{module}." for module in held)]
    if base is not None and len(missing) < len(names):
        there = [name.rpartition(".")[0] for name in base.entries]
        missing = [name for name in missing if any(_named(name, module) for module in there)]
    elif len(missing) < len(names):
        missing = []
    if not missing:
        return []
    said = f"modules_to_save names {', '.join(missing)}, and the file holds none of it, trained or not"
    return [Finding("doubt", said, _SAVE)]


def _layers(run: Run, base: Tensors) -> list[Finding]:
    """Modules of the base that target_modules means, and of which the file has nothing."""
    options = run.info.method.options
    wanted = options.get("target_modules")
    if not isinstance(wanted, list) or any(options.get(name) for name in _ONLY_SOME):
        return []
    held = {about.in_base.removesuffix(".weight") for about in run.info.modules.values()}
    aside = _held(run)
    meant = [name.removesuffix(".weight") for name in base.entries if name.endswith(".weight")]
    meant = [name for name in meant if any(_named(str(target), name) for target in wanted)]
    meant = _built(meant, held, base)
    missing = [name for name in meant if name not in held and not any(f".{name}." in f".{part}." for part in aside)]
    if not missing or len(missing) == len(meant):
        return []
    said = f"target_modules means {some(missing, len(meant))} in the base too, of which the file has nothing"
    return [Finding("doubt", said, _SAVE)]


def _built(names: list[str], held: set[str], base: Tensors) -> list[str]:
    """Those that the trained class surely builds: in its layers, beside one that is held. Files may hold more: the head
    of another task, layers that predict further tokens, experts one by one that the class stacks."""
    text = base.config.get("text_config")
    config = text if isinstance(text, dict) else base.config
    stated, sharing = config.get("num_hidden_layers"), config.get("num_kv_shared_layers")
    layers = stated if isinstance(stated, int) else sys.maxsize
    own_keys = (
        layers - sharing if isinstance(sharing, int) else layers
    )  # the last ones take an earlier one's (Gemma 3n)
    matches = [match for name in held if (match := _LAYER.match(name))]
    stacks, inside = {match["before"] for match in matches}, {_unnumbered(match["inside"]) for match in matches}

    def built(name: str) -> bool:
        match = _LAYER.match(name)
        if match is None or match["before"] not in stacks:
            return name in held
        own = _unnumbered(match["inside"])
        until = own_keys if own.endswith(("k_proj", "v_proj")) else layers
        return int(match["layer"]) < until and (own in inside or own == match["inside"])

    return [name for name in names if built(name)]


def _unnumbered(name: str) -> str:
    return re.sub(r"\.\d+(?=\.)", ".N", name)


def _tied(run: Run, base: Tensors) -> list[Finding]:
    """A factor on an embedding that is the head as well: merging it changes both. Of what was saved whole, and of
    trained rows, PEFT keeps the two apart."""
    saved = run.info.method.options.get("modules_to_save") or []
    aimed = [
        name
        for name, about in run.info.modules.items()
        if (is_head(about.parameter or "") or is_head(about.in_base) or is_embedding(about.in_base))
        and about.rows is None
        and not any(_named(str(whole), name) for whole in saved)
    ]
    if not aimed or tied_to(base) is None:
        return []
    said = f"the base's head is its embedding, and {' and '.join(aimed)} was adapted by itself: merging changes both"
    return [Finding("doubt", said, _UNTIE)]


_SAVE = (
    "save it again from the whole, unwrapped model: model.save_pretrained(folder); PEFT only warns of missing keys, "
    "and leaves them as they were drawn"
)
_UNTIE = "serve it unmerged; or train on a base with tie_word_embeddings=False"
