"""How is a fine-tuning touched? `write_page(runs, "run.html")`: one file that runs the model in any browser, offline."""

from visualize.page.write import write_page

__all__ = ["write_page"]
