"""Is there memory left for what is read record by record, and kept?"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import psutil

from engine.errors import InputError

_RESERVE = 200_000_000  # bytes of memory that are left for everything else
T = TypeVar("T")


def while_there_is_room(found: Iterable[T], where: Callable[[int, T], object]) -> Iterator[T]:
    """The same, one after another. Raises InputError before memory is full: all of it is kept in memory.

    where: what a record is called, by its number from 0 and itself.
    """
    for number, one in enumerate(found):
        if number % 1000 == 999 and psutil.virtual_memory().available < _RESERVE:
            raise InputError(f"{where(number, one)}: memory is nearly full; give a part of the data, or free some")
        yield one
