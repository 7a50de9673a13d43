"""How are many adapters looked at from a terminal? `glasstune compare FOLDER`: a table, and a map as a picture."""

from argparse import ArgumentParser, Namespace

from engine.commands import Command, at_least
from engine.files import check_new, for_a_cell, whole
from engine.terminal import Terminal


def options(parser: ArgumentParser) -> None:
    parser.add_argument("path", help="a folder with adapters in it, at any depth")
    parser.add_argument("--base", help="the model of all of them, if their settings do not say where it is")
    parser.add_argument("--modules", type=at_least(1), default=12, help="by how many matrices they are compared")
    parser.add_argument("--jobs", type=int, default=1, help="processes that read (joblib's backends apply)")
    parser.add_argument("--top", type=at_least(0), default=30, help="how many to list")
    parser.add_argument("--csv", help="write the whole table there")
    parser.add_argument("--map", help="draw the map there, as .png, .svg or .pdf")


def run(chosen: Namespace) -> None:
    from engine.inspect.many import placed, read_many
    from engine.inspect.several import show

    csv = check_new(chosen.csv) if chosen.csv else None
    picture = check_new(chosen.map, (".png", ".svg", ".pdf")) if chosen.map else None
    many = read_many(chosen.path, base=chosen.base, modules=chosen.modules, jobs=chosen.jobs)
    show(many, Terminal(), chosen.top)
    table = placed(many)
    if csv:
        with whole(csv) as part:
            table.rename(index=for_a_cell).map(for_a_cell).to_csv(part, index_label="adapter")
    if picture:
        from matplotlib.figure import Figure

        from visualize.plots import plot_adapters
        from visualize.plots.axes import figure_of

        figure = figure_of(plot_adapters(table))
        assert isinstance(figure, Figure)
        with whole(picture) as part:
            figure.savefig(part, bbox_inches="tight", format=picture.suffix[1:].lower())


COMMAND = Command("many adapters beside each other: table and map", options, run)
