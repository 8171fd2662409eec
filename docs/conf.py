"""The pages of docs/ as a site: `make docs`, then open site/index.html. The options are Sphinx's."""

project = "flowless"
html_title = "flowless"
copyright = "the flowless authors, Apache-2.0"
extensions = ["myst_parser"]
myst_heading_anchors = 3  # links to headings, as on the web page of a repository
html_theme = "furo"
html_show_sphinx = False
highlight_language = "text"
exclude_patterns: list[str] = []
