"""What lies at this path: a captured run, an adapter, a Trainer's output, a checkpoint? The store that reads it."""

from pathlib import Path

from engine.errors import InputError
from engine.reading import check_name
from engine.run.adapters.adapter import CONFIG
from engine.run.adapters.torchtune import find_file
from engine.run.base import EMBEDDED, base_folder
from engine.run.store import Store
from engine.run.stores.adapter import AdapterStore
from engine.run.stores.checkpoints import CheckpointStore
from engine.run.stores.folder import RUN, FolderStore
from engine.run.stores.state import STATE
from engine.run.stores.trainer_output import TrainerStore


def find_store(path: str | Path, base: str | Path | None = None) -> Store:
    """Whatever lies at `path`, or under that Hub id; base: what training began with. Raises InputError, saying what
    was looked for, if nothing fits."""
    place = check_name(path)
    if (place / RUN).is_file():
        return FolderStore(place)
    if is_adapter(place) and not any(place.glob(f"checkpoint-*/{STATE}")):
        return AdapterStore(path, base)
    if (place / STATE).is_file() or any(place.glob("checkpoint-*")):
        return TrainerStore(place, base)
    if base is not None and (is_checkpoint(path) or place.exists()):
        store = CheckpointStore(base, path)
        store.scan()
        return store
    if is_checkpoint(path):
        raise InputError(f"{path} is a whole model: give its base before it, for what changed between the two")
    adapters_inside = place.is_dir() and any(place.glob(f"*/{CONFIG}"))
    hub_id = not place.exists() and len(place.parts) == 2 and not place.is_absolute() and not str(path).startswith(".")
    if not adapters_inside and not hub_id:
        looked_for = f"no run ({RUN}), no adapter ({CONFIG}), no Trainer's output ({STATE}) and no checkpoint"
        raise InputError(
            f"{path} {'holds' if place.exists() else 'does not exist: it holds'} {looked_for} (model.safetensors); "
            "give a folder that holds one of them, or an adapter's Hub id such as owner/name"
        )
    return AdapterStore(path, base)  # a Hub id, or a folder of adapters, which says so


def is_adapter(path: str | Path) -> bool:
    place = check_name(path)
    return (place / CONFIG).is_file() or place.name == "adapter_model.safetensors" or find_file(place) is not None


def is_checkpoint(path: str | Path) -> bool:
    """Whether the folder, or that of a Hub id already downloaded, holds a whole model, or this is one safetensors file,
    or the embedded model's name."""
    place = _downloaded(path)
    if str(path) == EMBEDDED or (place.is_file() and place.suffix == ".safetensors" and not is_adapter(path)):
        return True
    return not (place / RUN).is_file() and not is_adapter(place) and any(place.glob("*model*.safetensors"))


def _downloaded(path: str | Path) -> Path:
    """Where it lies: a Hub id in the cache, where nothing here is called so."""
    place = check_name(path)
    if place.exists() or place.is_absolute() or str(path).startswith((".", "~")):
        return place
    try:
        return base_folder(str(path))
    except InputError:
        return place
