"""How is a fine-tuning touched? `write_page(runs, "run.html")`: one file, with the model in it, for any browser.

In a notebook `show_page(run)` is the same page.
"""

from visualize.page.show import show_page
from visualize.page.write import write_page

__all__ = ["show_page", "write_page"]
