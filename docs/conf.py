from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import codi_core

project = "CoDi"
author = "CoDi contributors"
copyright = "CoDi contributors"
version = release = codi_core.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "examples", "paper"]  # "paper" is included in other pages
nitpicky = False

# Formulas are drawn without a network: see bring_mathjax.
mathjax_path = "mathjax/tex-svg.js"

html_theme = "furo"
html_title = f"CoDi {release}"
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def plain(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with ``code``: their asterisks and bars mark nothing up."""
    for number, line in enumerate(lines):
        parts = re.split(r"(``.*?``)", line)
        parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
        lines[number] = "".join(parts)


def bring_mathjax(app: Any, error: Exception | None) -> None:
    """Put MathJax, one file and its licence, beside the pages."""
    if error is None and app.builder.format == "html":
        package = resources.files("mathjax") / "static" / "mathjax"
        folder = Path(app.outdir, "_static", "mathjax")
        folder.mkdir(parents=True, exist_ok=True)
        for source in (package / "es5" / "tex-svg.js", package / "LICENSE"):
            (folder / source.name).write_bytes(source.read_bytes())


def setup(app: Any) -> None:
    app.connect("build-finished", bring_mathjax)
    app.connect("autodoc-process-docstring", plain, priority=400)  # before napoleon
