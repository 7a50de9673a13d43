"""What do one module's factors make? Each method's pieces, checked against each other, as a change of its weight."""

from typing import Any

from msgspec.structs import replace

from engine.run.adapters import changes
from engine.run.adapters.adapter import CONFIG, FLAT, Adapter
from engine.run.adapters.starts import Start
from engine.run.delta import INSIDE_W
from engine.run.info import Module

Parts = dict[str, str]  # part, such as lora_A -> the tensor's name
_VECTORS = {"lora_magnitude_vector", "vera_lambda_b", "vera_lambda_d", "ia3_l", "beft_bias"}  # all others are matrices
_NEEDED = {
    "vera": {"vera_lambda_b", "vera_lambda_d"},
    "beft": {"beft_bias"},
}  # else looked at where they are put together
# Parameters of a mixture's experts, in the order in which models define them: PEFT puts the first innermost.
_EXPERTS = ("gate_up_proj", "w13", "w1", "gate_proj", "w3", "up_proj", "w2", "down_proj")


def add_factors(adapter: Adapter, module: str, parts: Parts, nth: int) -> None:
    """nth: of several wrappers around one module, 0 is the innermost."""
    shapes = {part: adapter.tensors.shape(name) for part, name in parts.items()}
    if any(0 in shape for shape in shapes.values()):
        adapter.leave_out(parts.values(), "its other half is empty")
    elif any(len(shape) < 2 for part, shape in shapes.items() if part not in _VECTORS):
        adapter.leave_out(parts.values(), FLAT)
    elif not parts.keys() >= _NEEDED.get(adapter.method, set()):
        adapter.leave_out(parts.values(), "not all of its factors are there")
    else:
        _add(adapter, module, parts, nth)


def _add(adapter: Adapter, module: str, parts: Parts, nth: int) -> None:
    if parameter := _target_parameter(adapter.config, module, nth):
        _add_stack(adapter, module, parameter, parts)
    elif adapter.method == "vera":
        _add_vera(adapter, module, parts)
    elif adapter.method == "ia3" and "ia3_l" in parts:
        _add_ia3(adapter, module, parts)
    elif adapter.method == "beft":
        _add_bias(adapter, module, parts["beft_bias"])
    elif adapter.method == "loha":
        _add_hadamard(adapter, module, parts)
    elif adapter.method == "lokr":
        _add_kronecker(adapter, module, parts)
    else:
        _add_lora(adapter, module, {part.removeprefix("lora_"): name for part, name in parts.items()})


def _add_lora(adapter: Adapter, module: str, parts: Parts) -> None:
    embedding = "embedding_A" in parts
    a, b = parts.get("embedding_A", parts.get("A")), parts.get("embedding_B", parts.get("B"))
    if a is None or b is None:
        adapter.leave_out(parts.values(), "its other half, lora_A or lora_B, is missing")
        return
    config, of_a, of_b = adapter.config, adapter.tensors.shape(a), adapter.tensors.shape(b)
    if config.get("use_dora") and "magnitude_vector" not in parts:
        adapter.leave_out(parts.values(), f"{CONFIG} says DoRA, and its magnitudes are missing")
        return
    twice = ".base_layer.out_proj." in a  # of nn.MultiheadAttention: PEFT adds this one twice, in training and merging
    rank, alpha = adapter.rank(module) if adapter.method == "lora" else (of_a[0], float(config.get("lora_alpha", 8)))
    if len(of_a) != len(of_b) or len(of_a) < 2 or of_a[0] != rank or of_b[1] != rank:
        grouped = len(of_a) > 2 and of_a[0] == rank and rank % of_b[1] == 0
        why = f"A is {of_a} and B is {of_b}, which is not the rank {rank} that {CONFIG} says"
        if len(of_a) == 1 or len(of_b) == 1:
            why = FLAT
        elif config.get("enable_lora"):
            why = "in an old form of PEFT (enable_lora), which joins several matrices in one"
        adapter.leave_out(
            parts.values(), "of a convolution in groups, whose product is no plain B A" if grouped else why
        )
        return
    # An embedding's delta is (B A)' (vocabulary, width): A' then has the part of B, and is zero at the start as B is.
    shape = (of_a[1], of_b[0]) if embedding else (of_b[0], *of_a[1:])
    if config.get("use_qalora") and not embedding and len(shape) == 2:
        group = int(config.get("qalora_group_size", 16))
        about = Module(kind="lora", shape=(shape[0], 1), r=rank, scaling=adapter.scaling(module),
                       parameter=f"{module}.weight", base_parameter=f"{module}.weight")  # fmt: skip
        adapter.add(module, about, changes.qalora(a, b, adapter.scaling(module), group))
        return
    begun = str(config.get("init_lora_weights", True)).lower()
    start = Start(begun) if begun.startswith(INSIDE_W) and not embedding else None
    convolution = shape if len(shape) > 2 else None
    if adapter.method == "adalora":
        if "E" not in parts:
            adapter.leave_out(parts.values(), "its lora_E is missing")
            return
        change, scaling = changes.adalora(a, b, parts["E"], alpha), (alpha if alpha > 0 else rank) / (rank + 1e-5)
    else:
        scaling = adapter.scaling(module) * (2 if twice else 1)
        change = changes.lora(a, b, scaling, embedding=embedding, start=start, shape=convolution,
                              magnitude=parts.get("magnitude_vector"))  # fmt: skip
    about = Module(
        kind="dora" if "magnitude_vector" in parts else "lora",
        shape=shape,
        r=rank,
        scaling=scaling,
        parameter=f"{module}.weight",
        base_parameter=f"{module}.weight",
        transposed=bool(config.get("fan_in_fan_out")) and not embedding,
        embedding=embedding,
    )
    adapter.add(module, about, change)


def _target_parameter(config: dict[str, Any], module: str, nth: int) -> str | None:
    """The parameter that a wrapper of `target_parameters` adapts; None for an ordinary module."""
    found = []
    for target in config.get("target_parameters") or []:
        owner, _, leaf = str(target).rpartition(".")
        if leaf != "weight" and (module == owner or module.endswith(f".{owner}") or not owner):
            found.append(leaf)
    if not found:
        return None
    in_order = sorted(found, key=lambda leaf: _EXPERTS.index(leaf) if leaf in _EXPERTS else len(_EXPERTS))
    return in_order[nth] if nth < len(in_order) else "?"


def _add_stack(adapter: Adapter, module: str, parameter: str, parts: Parts) -> None:
    name = f"{module}.{parameter}"
    a, b = parts.get("lora_A"), parts.get("lora_B")
    rank, _ = adapter.rank(name)
    if a is None or b is None or parameter == "?":
        adapter.leave_out(parts.values(), "which of the experts' parameters it adapts cannot be told")
        return
    of_a, of_b = adapter.tensors.shape(a), adapter.tensors.shape(b)
    if 0 not in (*of_a, *of_b) and (of_a[0] != of_b[1] or of_a[0] % rank):
        adapter.leave_out(parts.values(), f"A is {of_a} and B is {of_b}, which is no multiple of the rank {rank}")
        return
    experts = max(1, of_a[0] // rank)
    about = Module(kind="delta", shape=(experts, of_b[0], of_a[1]), parameter=name, base_parameter=name)
    adapter.add(name, about, changes.expert_stack(a, b, adapter.scaling(name), experts))


# --- PEFT's other methods --------------------------------------------------------------------------------


def _delta(module: str, shape: tuple[int, ...], config: dict[str, Any]) -> Module:
    return Module(kind="delta", shape=shape, parameter=f"{module}.weight", base_parameter=f"{module}.weight",
                  transposed=bool(config.get("fan_in_fan_out")))  # fmt: skip


def _add_vera(adapter: Adapter, module: str, parts: Parts) -> None:
    shared = {side: f"base_model.vera_{side}" for side in "AB"}
    if not all(name in adapter.tensors for name in shared.values()):
        why = "VeRA's random A and B were not saved with it (save_projection=False)"
        adapter.leave_out(parts.values(), why)
        return
    out, rank = (adapter.tensors.shape(parts[f"vera_lambda_{side}"])[0] for side in "bd")
    into = adapter.tensors.shape(shared["A"])[1]  # of the widest module; the base says what this one takes
    change = changes.vera(parts["vera_lambda_b"], parts["vera_lambda_d"], shared["A"], shared["B"])
    about = _delta(module, (out, into), adapter.config)
    adapter.add(module, replace(about, kind="lora", r=rank, scaling=1.0), change)


def _add_ia3(adapter: Adapter, module: str, parts: Parts) -> None:
    adapter.add(
        module, _delta(module, adapter.tensors.shape(parts["ia3_l"]), adapter.config), changes.ia3(parts["ia3_l"])
    )


def _add_hadamard(adapter: Adapter, module: str, parts: Parts) -> None:
    sides = ("a", "b", "t") if "hada_t1" in parts else ("a", "b")
    wanted = [f"hada_{'t' if side == 't' else 'w'}{nth}{'' if side == 't' else f'_{side}'}" for nth in (1, 2)
              for side in sides]  # fmt: skip
    if any(part not in parts for part in wanted):
        adapter.leave_out(parts.values(), "not all of its factors are there")
        return
    names = tuple(parts[part] for part in wanted)
    a, b = (adapter.tensors.shape(name) for name in names[:2])
    core = adapter.tensors.shape(names[2]) if "t" in sides else None
    shape = (a[0], b[1]) if core is None else (a[1], b[1], *core[2:])
    adapter.add(module, _delta(module, shape, adapter.config), changes.loha(names, adapter.scaling(module)))


def _add_kronecker(adapter: Adapter, module: str, parts: Parts) -> None:
    both = []
    for nth in (1, 2):
        whole, made = f"lokr_w{nth}", [f"lokr_w{nth}_a", f"lokr_w{nth}_b"]
        core = ["lokr_t2"] if nth == 2 and "lokr_t2" in parts else []
        made = made + core if parts.keys() >= set(made) else []  # one half alone is no whole
        both.append((parts[whole],) if whole in parts else tuple(parts[half] for half in made))
    sizes = [_size([adapter.tensors.shape(name) for name in names]) for names in both]
    if sizes[0] is None or sizes[1] is None:
        adapter.leave_out(parts.values(), "not all of its factors are there")
        return
    (out, into, *_), (outer, inner, *rest) = sizes[0], sizes[1]
    about = _delta(module, (out * outer, into * inner, *rest), adapter.config)
    adapter.add(module, about, changes.lokr(both[0], both[1], adapter.scaling(module)))


def _size(shapes: list[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Of what one, two or three factors make; None of none."""
    if len(shapes) == 3:  # a convolution's: (r, out), (r, in) and the core
        return shapes[0][1], shapes[1][1], *shapes[2][2:]
    if len(shapes) == 2:
        return shapes[0][0], shapes[1][1]
    return shapes[0] if shapes and len(shapes[0]) > 1 else None


def _add_bias(adapter: Adapter, module: str, name: str) -> None:
    parameter = f"{module}.bias"
    about = Module(kind="delta", shape=(adapter.tensors.shape(name)[-1],), parameter=parameter,
                   base_parameter=parameter)  # fmt: skip
    adapter.add(parameter, about, changes.added(name))
