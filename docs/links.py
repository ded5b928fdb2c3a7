"""Checks links, without the network and after the site has been built: python docs/links.py.

Every link inside the site, and every relative link of a Markdown file, has to lead somewhere.
Every address in a Markdown file or in `src` has to be one of those that are known to exist.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "docs" / "_build" / "html"
KNOWN = ("https://docs.python.org/3/", "https://keepachangelog.com/", "https://semver.org/")


class Page(HTMLParser):
    """Collects the links of a page and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element links to and how it can be linked to."""
        for name, value in attrs:
            if name == "id":
                self.anchors.add(value or "")
            elif name in ("href", "src") and value:
                self.links.append(value)


def broken_in_site() -> list[str]:
    """Return the links of the site that lead nowhere."""
    pages = {path: Page(path) for path in SITE.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if url.scheme or url.netloc:
                continue
            if not target.is_file() or (target in pages and unquote(url.fragment) not in pages[target].anchors):
                broken.append(f"{path.relative_to(ROOT)}: {link} leads nowhere")
    return broken if pages else ["the site has not been built"]


def broken_in_sources() -> list[str]:
    """Return the relative links of the Markdown files that lead nowhere, and the addresses that are not known."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("docs/**/*.md")]
    broken = []
    for path in [*pages, *ROOT.glob("src/**/*.py")]:
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
        addresses = re.findall(r"\w+://[^\s)>\"'`\]]+", text)
        links = re.findall(r"\]\(([^\s)#:]+)[^\s):]*\)", text) if path in pages else []
        broken += [f"{name}: {each} is not a known address" for each in addresses if not each.startswith(KNOWN)]
        broken += [f"{name}: {each} leads nowhere" for each in links if not (path.parent / each).exists()]
    return broken


if __name__ == "__main__":
    sys.exit("\n".join(broken_in_site() + broken_in_sources()) or None)
