"""A hosted notebook installs from a named version of a named place, or refuses."""

from pathlib import Path

import pytest

from glasstune import InputError
from lessons.handout.notebooks import make_notebook
from lessons.handout.source import Source, source_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "pip",
    [
        f"git+https://example.org/x/glasstune@{COMMIT}",
        "glasstune[notebook] @ git+https://example.org/glasstune@v0.1.0",
        "glasstune==0.1.0",
        "https://example.org/glasstune-0.1.0-py3-none-any.whl",
        "/srv/wheels/glasstune-0.1.0.tar.gz",
    ],
)
def test_a_named_version_is_installed(pip):
    cell = source_of(pip).install_cell()
    compile(cell.replace("%pip", "pass  #"), "cell", "exec")
    assert f'%pip install --quiet "{pip}"' in cell


@pytest.mark.parametrize(
    "pip",
    [
        "glasstune",
        "glasstune>=0.1",
        "git+https://example.org/x/glasstune",
        "git+https://example.org/x/glasstune@main",
        'x==1" ; import os #',
        "https://example.org/main.zip",
    ],
)
def test_what_may_be_another_thing_tomorrow_is_refused(pip):
    with pytest.raises(InputError, match="does not say which version"):
        source_of(pip)


def test_without_a_source_the_cell_refuses():
    cell = Source().install_cell()
    compile(cell, "cell", "exec")
    assert "pip install --quiet" not in cell and "--source" in cell


def test_badges_open_the_notebook_where_it_lies_in_its_repository(tmp_path, monkeypatch):
    """However its folder is named: as seen from here, or whole."""
    source = source_of(repository="https://github.com/owner/name@v0.1.0")
    assert source.pip == "glasstune[notebook] @ git+https://github.com/owner/name@v0.1.0"
    (tmp_path / "home" / ".git").mkdir(parents=True)
    (tmp_path / "home" / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "home" / "docs")
    for given in (tmp_path / "home" / "my notes" / "lora.ipynb", Path("../my notes/lora.ipynb")):
        badges = source.badges(given)
        assert "/github/owner/name/blob/v0.1.0/my%20notes/lora.ipynb)" in badges
        assert "mybinder.org/v2/gh/owner/name/v0.1.0?labpath=my%20notes/lora.ipynb)" in badges
        assert str(tmp_path) not in badges
    assert source_of().badges(Path("x")) == ""
    for wrong in ("https://github.com/owner/name", "https://example.org/owner/name@v1.0", "owner/name@v1.0"):
        with pytest.raises(InputError, match="no GitHub repository"):
            source_of(repository=wrong)


def test_where_there_is_no_repository_no_badge_is_made_up(small, tmp_path):
    source = source_of(repository="https://github.com/owner/name@v0.1.0")
    with pytest.raises(InputError, match=r"lies in no git repository.*--out"):
        make_notebook(str(small), tmp_path / "out", execute=False, source=source)
    assert not (tmp_path / "out").exists()
