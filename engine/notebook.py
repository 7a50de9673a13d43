"""Is this a notebook?"""

import sys


def in_notebook() -> bool:
    """Is this Jupyter or Colab (not a terminal's IPython)?"""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)
