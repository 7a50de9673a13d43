"""What is in a file of records? JSON, JSON lines, CSV and Parquet, record by record, with the place where each stands.

JSON is read by ourselves, so that an error can name the line; CSV by pandas; Parquet by pyarrow, a few rows at a time,
for a small file can hold a very large table.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet

from engine.errors import InputError, first_line
from engine.reading import MOST_LINES, lines, opened, parse_json, read_text

Found = tuple[str, Mapping[str, Any]]  # (where the record stands, the record)

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_ROWS, _AT_ONCE = 64, 500_000_000  # rows and bytes of a table that are unpacked at a time
_GROWS, _SMALL = 1000, 100_000_000  # a table may be so many times as large as its file, or so many bytes


def read_file(path: Path) -> Iterator[Found]:
    """The records of one file, by what its name ends in; a file that ends in none of these is JSON lines.

    Raises InputError for what cannot be read, naming the place.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv", ".parquet"):
        rows = _read_parquet(path) if suffix == ".parquet" else _read_csv(path)
        return ((f"{path}, row {number}", row) for number, row in enumerate(rows, 1))
    if suffix == ".json":
        return _read_json(path)
    return ((f"{path}, line {number}", record) for number, record in read_jsonl(path))


def numbered(records: Iterable[Any], prefix: str = "") -> Iterator[Found]:
    for at, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise InputError(f"{prefix}record {at}: a {type(record).__name__}, not an object with fields")
        yield f"{prefix}record {at}", record


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, record) of a JSON-lines file. Raises InputError naming the first broken line."""
    # Not splitlines(): a JSON text may hold U+2028 and the like, which end no line of the file.
    for number, line in enumerate(lines(path), 1):
        where = f"{path}, line {number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\n")
            if not text.strip():
                continue
            record = parse_json(text)
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
        except json.JSONDecodeError as error:
            raise InputError(f"{where}, column {error.colno}: not JSON ({error.msg})") from None
        except ValueError as error:
            raise InputError(f"{where}: {error}") from None
        if not isinstance(record, dict):
            raise InputError(f"{where}: a {type(record).__name__}, not an object with fields")
        yield number, record


def _read_json(path: Path) -> Iterator[Found]:
    """A list of records; an object that holds one under a name, e.g. "data"; or JSON lines under another ending."""
    try:
        whole = parse_json(read_text(path, most=MOST_LINES))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return ((f"{path}, line {number}", record) for number, record in read_jsonl(path))
        raise InputError(f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        whole = lists[0] if len(lists) == 1 and not {"messages", "conversations"} & whole.keys() else [whole]
    if not isinstance(whole, list):
        raise InputError(f"{path} holds a {type(whole).__name__}, not a list of records")
    return numbered(whole, f"{path}, ")


def _read_csv(path: Path) -> Iterator[dict[str, str]]:
    """Every cell as the text that it is: `datasets` would turn the answer "NA" into nothing and "007" into 7."""
    with opened(path, most=MOST_LINES) as raw, io.BufferedReader(raw) as file:  # type: ignore[type-var]
        first = file.readline(100_000).decode("utf-8-sig", "replace")
        file.seek(0)
        # A comma, unless the first line, which names the fields, has none: half of the world's Excel writes semicolons.
        mark = "," if "," in first else next((mark for mark in ";\t|" if mark in first), ",")
        options: Any = {"dtype": str, "na_filter": False, "encoding": "utf-8-sig", "sep": mark, "chunksize": 10_000}
        try:
            with pd.read_csv(file, **options) as frames:
                for frame in frames:
                    if not isinstance(frame.index, pd.RangeIndex):  # pandas would make the first column row names
                        raise InputError(f"{path} cannot be read: its rows have more fields than its first line names")
                    yield from frame.to_dict("records")
        except InputError:
            raise
        except (ValueError, OSError) as error:  # UnicodeDecodeError, EmptyDataError and ParserError are ValueErrors
            raise InputError(f"{path} cannot be read: {first_line(error)}") from None


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Its rows, unpacked a few at a time. Raises InputError for a table that is out of all proportion to its file."""
    with opened(path) as file:
        may_be = max(_SMALL, _GROWS * path.stat().st_size)
        unpacked = 0
        try:
            table = pyarrow.parquet.ParquetFile(file)
            groups = (table.metadata.row_group(at) for at in range(table.num_row_groups))
            # Of a group, not of its columns: what is wrong with a column's metadata ends pyarrow 26's process.
            largest = max((group.total_byte_size for group in groups), default=1)
            rows = max(1, min(_ROWS, _AT_ONCE // max(1, largest)))
            for batch in table.iter_batches(batch_size=rows, use_threads=False):
                unpacked += batch.nbytes + 100 * batch.num_rows
                if unpacked > may_be:
                    raise InputError(
                        f"{path} grows to more than {may_be:,} bytes when unpacked; give a part of it, as JSON lines"
                    )
                yield from batch.to_pylist()
        except InputError:
            raise
        except Exception as error:  # pyarrow's own, C++'s (RuntimeError), a time zone's (KeyError)
            raise InputError(f"{path} cannot be read: {first_line(error)}") from None
