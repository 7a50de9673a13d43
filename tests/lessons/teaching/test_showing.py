"""What a lesson shows is the same in a notebook as in a terminal."""

import IPython.display
import pandas as pd
import pytest

from lessons.teaching import showing


@pytest.mark.parametrize("value, said", [(160 / 3, "53.33"), (0.000123456, "0.0001235"), (7.0, "7")])
def test_numbers_have_as_many_digits_in_a_notebook_as_in_a_terminal(value, said, watched, monkeypatch):
    shown = []
    table = pd.DataFrame({"right (%)": [value]})
    monkeypatch.setattr(showing, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", lambda thing: shown.append(thing.to_html()))
    showing.show(table)
    assert f"<td>{said}</td>" in shown[0]
    monkeypatch.setattr(showing, "in_notebook", lambda: False)
    showing.show(table)
    assert watched[1].getvalue().split()[-1] == said
