"""How Sphinx builds the documentation."""

import tomllib
import zlib
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = PROJECT["name"]
author = copyright = "machinery contributors"
version = release = PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx_copybutton"]
exclude_patterns = ["_build", "releasing.md"]
html_theme = "furo"
html_title = f"machinery {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
# A prompt and what a command printed are not copied.
copybutton_prompt_text = "$ "

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Docstrings say `name` for what a reader would type.
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

# These have no entry in the reference.
nitpick_ignore_regex = [("py:class", r"machinery\..*\.(T(_co|_contra)?|HasLoop)")]


def python_inventory() -> str:
    """Return an inventory of the Python names that our pages link to, so that no build needs the network."""
    # Sphinx reads the fourth line for the word zlib.
    header = b"# Sphinx inventory version 2\n# Project: Python\n# Version: 3\n# The rest is compressed using zlib.\n"
    entries = []
    for line in (HERE / "python-names.txt").read_text(encoding="utf-8").splitlines():
        role, page, *names = line.split()
        for name, _, anchor in (each.partition("=") for each in names):
            entries.append(f"{name} {role} 1 {page}#{anchor or '$'} -\n")
    path = HERE / "_build" / "python.inv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(header + zlib.compress("".join(entries).encode()))
    return str(path)


def without_signature(
    app: object, what: str, name: str, documented: object, options: object, signature: str, returns: str
) -> tuple[str, str]:
    """Return no signature for a protocol, which nobody calls."""
    return "" if getattr(documented, "_is_protocol", False) else signature, returns


def without_marks(app: object, what: str, name: str, documented: object, options: object, lines: list[str]) -> None:
    """Take away what a docstring says to pytest only."""
    lines[:] = [line for line in lines if line != "PYTEST_DONT_REWRITE"]


def setup(app: Sphinx) -> None:
    """Be asked about each signature and docstring."""
    app.connect("autodoc-process-signature", without_signature)
    app.connect("autodoc-process-docstring", without_marks)


intersphinx_mapping = {"python": ("https://docs.python.org/3", python_inventory())}
