"""Runs the commands that the pages of docs/ show, and writes what they print into the pages.

`python -m docs.outputs` brings the pages up to date; with `--check` it changes nothing and fails where they are not.
Pages may be named; without names it takes all that have a `console` block.

A page is a session in an empty folder, from top to bottom.
A block whose first line is a comment with the name of a file is written to that file; with `(continued)` behind the
name it is added to it.
In a `console` block each line that begins with `$ ` is run, and the lines up to the next one are what it printed.
A `py` block is a `python` block that the suite does not run, since it is meant to fail: a command has to.
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.runners.surroundings import environment

DOCS = Path(__file__).parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/-]+\.\w+)( \(continued\))?\n")
# What is another number each time (how long it took, where things lie in memory), and the marks below a line of source,
# of which each Python sets others.
VARYING = re.compile(
    r"(?<= in )\d+\.\d+s|(?<=\()[\d.e-]+ m?s(?= real time)|(?<=_task_watch\.py:)\d+"
    r"|(?<=each other )[\d,]+|[\d,]+(?= timers have fired)|0x[0-9a-f]+"
    r"|^[E ]*[~^]+\n",
    re.MULTILINE,
)
LIBRARIES = re.compile(r"[^\s\"']*/(?=site-packages/|python3\.\d+/)")
# A reader has the one plugin that the settings of the page speak of, and we have them all.
PLUGINS = {
    "alt_pytest_asyncio": "alt_pytest_asyncio.plugin",
    "anyio_mode": "anyio.pytest_plugin",
    "asyncio_mode": "pytest_asyncio.plugin",
}
# Loaded by its name and not as an installed plugin, a plugin is loaded too early for pytest's taste.
OPTIONS = "-p no:cacheprovider --color=no -W ignore::pytest.PytestAssertRewriteWarning"
SETTINGS = {
    "COLUMNS": "80",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
}


def renewed(page: str) -> str:
    """Return a page with what its commands print today."""
    with TemporaryDirectory() as folder:
        return BLOCK.sub(lambda block: renewed_block(block, Path(folder)), page)


def renewed_block(block: re.Match[str], folder: Path) -> str:
    """Write the file that a block stands for, or run the commands that it shows."""
    language, text = block.groups()
    if language == "console":
        return f"```console\n{''.join(session(text, folder))}```"
    name = FILE.match(text)
    if name is not None:
        path = folder / name[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if name[2] else "w", encoding="utf-8") as file:
            file.write(text)
    elif language == "py":
        raise SystemExit(f"a block that the suite does not run has to be a file for a command to run:\n{text}")
    return block[0]


def session(text: str, folder: Path) -> Iterator[str]:
    """Run each command of a block, and give it back with what it printed."""
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        path = folder / "pyproject.toml"
        settings = path.read_text(encoding="utf-8") if path.exists() else ""
        plugins = [f" -p {plugin}" for setting, plugin in PLUGINS.items() if setting in settings]
        run = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=environment(**SETTINGS, PYTEST_ADDOPTS=f"{OPTIONS}{''.join(plugins)}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        # The files of a reader are elsewhere.
        stdout = LIBRARIES.sub(".../", run.stdout.replace(f"{folder}{os.sep}", ""))
        printed = "".join(f"{line.rstrip()}\n" for line in stdout.strip("\n").splitlines())
        yield f"$ {command}\n"
        yield shown if VARYING.sub("", shown) == VARYING.sub("", printed) else printed


def main() -> int:
    """Renew or check the pages; return 1 if one of them is not what it should be."""
    parser = argparse.ArgumentParser(prog="python -m docs.outputs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, and fail where a page is out of date")
    parser.add_argument("pages", nargs="*", type=Path)
    arguments = parser.parse_args()
    stale = 0
    for path in arguments.pages or sorted(DOCS.rglob("*.md")):
        page = path.read_text(encoding="utf-8")
        if "```console\n" not in page:
            if "```py\n" in page:
                raise SystemExit(f"{path}: a `py` block is run by nothing")
            continue
        new = renewed(page)
        if new == page:
            continue
        if arguments.check:
            stale += 1
            names = str(path), f"{path} as printed now"
            sys.stdout.writelines(difflib.unified_diff(page.splitlines(True), new.splitlines(True), *names))
        else:
            path.write_text(new, encoding="utf-8")
            print(path)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
