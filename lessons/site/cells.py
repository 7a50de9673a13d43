"""How does a lesson's notebook, run, become a page? Its questions become forms, what reveals their answers folds away,
its pictures become files with words for those who do not see them.
"""

import base64
import hashlib
import html
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.language.speaking import tr
from lessons.site.forms import explore, form, reveal
from lessons.teaching.percent import HIDDEN
from lessons.teaching.showing import DATA

WIDE = 1.3  # times as wide as high: on a telephone its words would be too small
_BAR = re.compile(r"\d%\|.*\|")  # "lora on spanish: 100%|████|"


class Page:
    """One page's cells and pictures. pictures: the folder they are written to; address: that folder, from the page."""

    def __init__(self, pictures: Path, address: str) -> None:
        self.pictures, self.address = pictures, address
        self.explored = 0

    def of(self, notebook: Any) -> Any:
        """The notebook as myst-nb is to read it."""
        notebook.cells = [new for cell in notebook.cells for new in self._cell(cell)]
        return notebook

    def _cell(self, cell: Any) -> Iterator[Any]:
        if cell.cell_type != "code":
            yield cell
            return
        if cell.id in ("install", "name", "hand-in"):
            return
        tags = cell.metadata.get("tags", [])
        if "answer" in tags:
            cell.outputs = []  # it only says that nothing was written yet
        cell.outputs = [self._output(one) for one in _without_red(cell.outputs)]
        if HIDDEN in tags:
            if not cell.outputs:
                return
            tags = [tag for tag in tags if tag != HIDDEN] + ["remove-input"]
        elif any('class="reveal"' in str(one.get("data", {}).get("text/html", "")) for one in cell.outputs):
            tags = [*tags, "hide-cell"]
            measured = tr("What was measured (choose above first)")
            cell.metadata["mystnb"] = {"code_prompt_show": measured, "code_prompt_hide": measured}
        cell.metadata["tags"] = tags
        cell.execution_count = None
        yield cell

    def _output(self, one: Any) -> Any:
        data = one.get("data", {})
        if DATA in data:
            shown = self._drawn(data[DATA], data.get("text/plain", ""))
        elif "image/png" in data:
            said = one.get("metadata", {}).get("image/png", {}).get("alt", "")
            shown = self._picture(data["image/png"], said)
        else:
            return one
        one["data"] = {"text/html": shown}
        one["metadata"] = {}
        return one

    def _picture(self, png: str, said: str) -> str:
        """A picture that opens alone by a click, and that a narrow screen does not make illegible."""
        address, (width, height) = self._file(png), _size(png)
        wide = " wide-picture" if _is_wide(png) else ""
        return (
            f'<a class="picture" href="{address}"><img class="shown{wide}" src="{address}" alt="{_quoted(said)}" '
            f'width="{width}" height="{height}" loading="lazy"></a>'
        )

    def _drawn(self, data: Any, text: str) -> str:
        if data["kind"] == "reveal":
            return reveal(data, text)
        if data["kind"] == "explore":
            self.explored += 1
            files = [[self._file(png) for png in row] for row in data["pictures"]]
            return explore(data, files, self.explored, _is_wide(data["pictures"][0][-1]))
        return form(data)

    def _file(self, png: str) -> str:
        """A picture's address, once it is written."""
        held = base64.b64decode(png)
        name = f"{hashlib.sha256(held).hexdigest()[:16]}.png"
        self.pictures.mkdir(parents=True, exist_ok=True)
        if not (self.pictures / name).exists():
            (self.pictures / name).write_bytes(held)
        return f"{self.address}/{name}"


def _size(png: str) -> tuple[int, int]:
    """A PNG's width and height in pixels, from its first chunk."""
    return struct.unpack(">II", base64.b64decode(png[:32])[16:24])


def _is_wide(png: str) -> bool:
    width, height = _size(png)
    return width > WIDE * height


def _quoted(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=True) or tr("a picture of what was measured")


def _without_red(outputs: list[Any]) -> list[Any]:
    """No progress bars: what they said is past."""
    for one in outputs:
        if one.output_type == "stream":
            one.text = "".join(line for line in one.text.splitlines(keepends=True) if not _BAR.search(line))
    kept = [one for one in outputs if one.get("name") != "stderr" and not _is_page(one)]
    return [one for one in kept if one.output_type != "stream" or one.text.strip()]


def _is_page(one: Any) -> bool:
    """Is it a run's page, which the site links to instead of holding it in a lesson?"""
    return one.get("metadata", {}).get("glasstune") == "page"
