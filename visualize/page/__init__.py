"""How is a fine-tuning touched? `write_page(runs, "run.html")`: one file, with the model in it, for any browser."""

from visualize.page.write import write_page

__all__ = ["write_page"]
