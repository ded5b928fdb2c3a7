"""Checks links, without the network and after the site has been built: python docs/links.py.

Every link inside the site, and every relative link of a Markdown file, has to lead somewhere.
Every address in a Markdown file or in `src` has to be one of those that are known to exist.
Every version on the page on web applications has to be the one that its examples are run with.
"""

import re
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
KNOWN = ("https://docs.python.org/3/", "https://keepachangelog.com/", "https://semver.org/")
TESTED = re.compile(r"(\w+) (\d+\.[\d.]*\d)")


def broken_in_site() -> list[str]:
    """Return the links of the site that lead nowhere."""
    pages = {path: path.read_text(encoding="utf-8") for path in ROOT.glob("docs/_build/html/**/*.html")}
    anchors = {path: {"", *map(unescape, re.findall(r'\sid="([^"]+)"', text))} for path, text in pages.items()}
    broken = []
    for path, text in pages.items():
        for link in map(unescape, re.findall(r'\s(?:href|src)="([^"]+)"', text)):
            url = urlsplit(link)
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            found = target.is_file() and unquote(url.fragment) in anchors.get(target, {url.fragment})
            if not (found or url.scheme or url.netloc):
                broken.append(f"{path.relative_to(ROOT)}: {link} leads nowhere")
    return broken if pages else ["the site has not been built"]


def broken_in_sources() -> list[str]:
    """Return the relative links of the Markdown files that lead nowhere, and the addresses that are not known."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("docs/**/*.md")]
    broken = []
    for path in [*pages, *ROOT.glob("src/**/*.py")]:
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
        addresses = re.findall(r"(?:\w+://|\b[\w-]+\.(?:com|dev|io|net|org)\b)[^\s)>\"'`\]]*", text)
        links = re.findall(r"\]\(([^\s)#:]+)[^\s):]*\)", text) if path in pages else []
        broken += [f"{name}: {each} is not a known address" for each in addresses if not each.startswith(KNOWN)]
        broken += [f"{name}: {each} leads nowhere" for each in links if not (path.parent / each).exists()]
    return broken


def wrong_versions() -> list[str]:
    """Return the versions on the page on web applications that are not those of pyproject.toml."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "how-to" / "web-applications.md").read_text(encoding="utf-8")
    return [
        f"{name} {each} is not tested" for name, each in TESTED.findall(page) if f'"{name}=={each}"' not in settings
    ]


if __name__ == "__main__":
    sys.exit("\n".join(broken_in_site() + broken_in_sources() + wrong_versions()) or None)
