"""How does the course become a web page? Static pages with every lesson run, which need no server and no network.

Sphinx makes them, with myst-nb for the lessons and the furo theme: all of it comes from PyPI as wheels, and search is
in the pages. (MyST's own site builder fetches its theme from a server, Quarto downloads binaries, Material for MkDocs
is only kept alive.)
"""
