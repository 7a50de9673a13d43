"""Where does a hosted notebook install Glasstune from? From a place and a version that are named, or from nowhere."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from engine.errors import InputError

_REF = r"(?:[0-9a-f]{7,40}|v?\d+(?:\.\d+)+[\w.-]*)"  # a commit, or a version's tag: not a branch, which moves
_PINNED = (
    re.compile(r"[A-Za-z][\w.-]*(\[[\w,-]+\])?==\d[\w.!+-]*"),
    re.compile(rf"([A-Za-z][\w.-]*(\[[\w,-]+\])? @ )?git\+(https|ssh|file)://[\w./:~-]+@{_REF}(#[\w=&./-]+)?"),
    re.compile(r"([A-Za-z][\w.-]*(\[[\w,-]+\])? @ )?(https://|file://|/)?[\w./:~+-]*-\d[\w.+-]*\.(whl|tar\.gz|zip)"
               r"(#[\w=&./-]+)?"),
)  # fmt: skip
_REPOSITORY = re.compile(rf"(https://github\.com/([\w.-]+)/([\w.-]+?))(?:\.git)?@({_REF})")
_CHECK = """\
from glasstune.siblings import check

check()  # says so if a folder of your own, called lessons or the like, stands before Glasstune's"""
_INSTALL = """\
# In a hosted notebook (Colab, Kaggle, ...) this installs Glasstune; where it is installed already, it does nothing.
import importlib.util

found = importlib.util.find_spec("glasstune")
if found is None or found.origin is None:  # nothing, or a mere folder of that name
    {how}
"""
_FROM = '%pip install --quiet "{source}"\n    importlib.invalidate_caches()'
_REFUSE = """\
raise ModuleNotFoundError(
        "Glasstune is not installed here, and this notebook does not say where it is to come from. Install it from the "
        "project's own folder (pip install '.[notebook]'), or write the notebook anew: glasstune notebooks --source ..."
    )"""


@dataclass(frozen=True)
class Source:
    """What a hosted notebook's pip installs, empty for nothing; and the repository from which it is opened, if any."""

    pip: str = ""
    repository: str = ""  # owner/name
    ref: str = ""

    def install_cell(self) -> str:
        how = _FROM.format(source=self.pip) if self.pip else _REFUSE
        return _INSTALL.format(how=how) + _CHECK

    def badges(self, notebook: Path) -> str:
        """Markdown that opens a notebook of the repository where hosted notebooks run; empty without. notebook: where
        it lies here, or will. Raises InputError if that is in no repository."""
        if not self.repository:
            return ""
        path = _place(notebook)
        colab = f"https://colab.research.google.com/github/{self.repository}/blob/{self.ref}/{path}"
        binder = f"https://mybinder.org/v2/gh/{self.repository}/{self.ref}?labpath={path}"
        return (
            f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
            f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder})"
        )


def _place(file: Path) -> str:
    """Where a file lies in its repository, as an address says it."""
    place = file.resolve()
    root = next((folder for folder in place.parents if (folder / ".git").exists()), None)
    if root is None:
        raise InputError(f"{file} lies in no git repository, so no badge leads to it; give a folder of one with --out")
    return quote(place.relative_to(root).as_posix())


def source_of(pip: str = "", repository: str = "") -> Source:
    """The source that was named. Raises InputError for one that may be another thing tomorrow.

    pip: what pip takes, with its version or commit. repository: https://github.com/owner/name@v0.1.0, in which the
    notebooks lie; of this project, so pip installs from it where nothing else is said.
    """
    found = _REPOSITORY.fullmatch(repository)
    if repository and not found:
        raise InputError(
            f"{repository} is no GitHub repository at a version; write https://github.com/owner/name@v0.1.0 or @commit"
        )
    if found and not pip:
        pip = f"glasstune[notebook] @ git+{found[1]}@{found[4]}"
    if pip and not any(form.fullmatch(pip) for form in _PINNED):
        raise InputError(
            f"{pip} does not say which version it is; give a git address with @commit or @v0.1.0, a wheel's address, "
            "or name==version"
        )
    return Source(pip, f"{found[2]}/{found[3]}" if found else "", found[4] if found else "")
