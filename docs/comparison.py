"""Asks each tool on the comparison page the same questions, and writes the answers into the tables of the page.

python -m docs.comparison           asks all tools; this takes some minutes, and needs uv and Python 3.13
python -m docs.comparison --check   asks ours in this environment, and fails unless the page shows its answers

Each question is asked in a process of its own.
"""

import asyncio
import contextlib
import datetime
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import time as imported_time

from benchmarks.subjects import SUBJECTS, Subject, loop_time, plain, run

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "comparison.md"
WORK = 0.3  # real seconds that a thread, a process or a server needs
UV_RUN = ["uv", "run", "--quiet", "--isolated", "--no-project", "--no-python-downloads", "--python=3.13"]
TOO_LONG = 10  # real seconds after which a question is given up
SERVER = f"""
import socket, time
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    time.sleep({WORK})
    connection.sendall(connection.recv(100))
"""


class Enough(Exception):
    """Ends a run early."""


class Kit:
    """What the questions need of a tool: its clock, and how time is moved by hand."""

    def __init__(self, advance=None, by_hand=False, clock=None):
        self.advance, self.by_hand, self.now = advance, by_hand, clock or loop_time

    async def during(self, seconds, body, *, to_the_end=True):
        """Run a body that takes so many virtual seconds, and move them by hand where they do not pass by themselves."""
        if not self.by_hand:
            return await body()
        task = asyncio.ensure_future(body())
        for _ in range(10):
            await asyncio.sleep(0)
        await self.advance(seconds)
        return await task if to_the_end else task.cancel()


def together(*bodies):
    return asyncio.gather(*(body() for body in bodies))


@contextlib.asynccontextmanager
async def frozen(module, function, *args, move, **options):
    """Enter a tool that replaces clocks and does not know the loop."""

    async def advance(seconds):
        getattr(clock, move)(seconds)
        for _ in range(10):
            await asyncio.sleep(0)

    with getattr(__import__(module), function)(*args, **options) as clock:
        yield advance


freezegun = partial(frozen, "freezegun", "freeze_time", "1970-01-01", move="tick")
time_machine = partial(frozen, "time_machine", "travel", 0, move="shift", tick=False)
OURS = "machinery"
TOOLS = SUBJECTS | {
    OURS: SUBJECTS["ours"]._replace(needs=("time-machine",)),
    "freezegun": Subject(("freezegun",), enter=freezegun),
    "time-machine": Subject(("time-machine",), enter=time_machine),
}
BY_HAND = ("aiofastforward", "freezegun", "time-machine")


def run_with(tool, body, loop=None, **options):
    """Run a body under a tool."""
    subject = TOOLS[tool]
    for_loop, for_block = ({}, options) if subject.enter is not plain else (options, {})

    async def main():
        async with subject.enter(**for_block) as advance:
            return await body(Kit(advance, tool in BY_HAND, subject.clock))

    return run(Subject(new_loop=loop or partial(subject.new_loop, **for_loop)), main())


def real_time():
    """Return the real time from a clock that no tool replaces."""
    return os.times().elapsed


def ended_by(run):
    """Return what a run is ended by."""
    try:
        run()
    except BaseException as error:
        while getattr(error, "exceptions", None):
            error = error.exceptions[0]
        return f"`{type(error).__name__}`"
    return None


def sleeps(tool, **options):
    async def body(kit):
        await asyncio.sleep(0)  # uvloop reads its clock once per iteration: entering the block must not count
        began = real_time()
        await kit.during(3, lambda: asyncio.sleep(3))
        return real_time() - began < 1

    return run_with(tool, body, **options) and (tool not in BY_HAND or "by hand")


async def step_by_step(kit):
    woken, began = [], kit.now()

    async def thrice():
        for _ in range(3):
            await asyncio.sleep(1)
            woken.append(round(kit.now() - began, 3))

    async def hand():
        for _ in range(5):
            await asyncio.sleep(0)
        await kit.advance(3)
        raise Enough

    with contextlib.suppress(BaseException):
        await together(thrice, hand)
    return woken == [1, 2, 3]


async def moves(read, kit):
    before = read(kit)
    await kit.during(60, lambda: asyncio.sleep(60), to_the_end=False)
    return abs(read(kit) - before - 60) < 1


async def timeout(kit):
    began = kit.now()
    with contextlib.suppress(asyncio.TimeoutError):
        await kit.during(3600, lambda: asyncio.wait_for(asyncio.sleep(7200), 3600))
        return False
    return abs(kit.now() - began - 3600) < 0.2


async def naps(tasks, seconds, check, kit):
    woken, began = [], kit.now()

    async def one(num):
        for nap in tasks[num]:
            await asyncio.sleep(nap)
        woken.append(num)

    await kit.during(seconds, lambda: together(*(partial(one, num) for num in range(len(tasks)))))
    return check(woken, kit.now() - began)


async def in_time(work, kit):
    began = kit.now()
    await asyncio.wait_for(work(), 5)
    return kit.now() - began < 5  # a thread cannot be cancelled: the work ends, but too late


async def in_process():
    await (await asyncio.create_subprocess_exec(sys.executable, "-c", f"import time; time.sleep({WORK})")).wait()


async def ask_elsewhere():
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as process:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(process.stdout.readline()))
            writer.write(b"hello\n")
            assert await reader.readline() == b"hello\n"
            writer.close()
        finally:
            process.kill()


def hang(tool, **options):
    return ended_by(lambda: run_with(tool, lambda _: asyncio.get_running_loop().create_future(), **options))


async def polling(kit):
    began, virtually = real_time(), kit.now()

    async def poll():
        while kit.now() < virtually + 1:
            assert real_time() < began + WORK
            await asyncio.sleep(0)

    await kit.during(1, lambda: together(poll, partial(asyncio.sleep, 1)))
    return True


def puts_back(tool):
    def replaceable(*loops):
        return [
            *(time.time, time.time_ns, time.monotonic, time.monotonic_ns, time.perf_counter, time.sleep),
            *(datetime.datetime, asyncio.sleep, asyncio.wait_for, asyncio.new_event_loop),
            *(getattr(asyncio.BaseEventLoop, name) for name in ("time", "call_later", "call_at")),
            *(getattr(loop, name) for loop in loops for name in dir(loop) if name[0] != "_"),
            *(loop._selector.select for loop in loops),
        ]

    async def fail(*_):
        raise Enough

    async def block():
        before = replaceable(asyncio.get_running_loop())
        try:
            async with TOOLS[tool].enter():
                raise Enough
        finally:
            assert before == replaceable(asyncio.get_running_loop())

    before = replaceable()
    end = ended_by(lambda: run_with(tool, fail) if TOOLS[tool].enter is plain else asyncio.run(block()))
    return end == "`Enough`" and before == replaceable()


def nests(tool):
    async def body(kit):
        outer = kit.now()
        async with TOOLS[tool].enter() as advance:
            inner = Kit(advance, kit.by_hand)
            await inner.during(10, lambda: asyncio.sleep(10))
        back = abs(kit.now() - outer) < 1
        await kit.during(10, lambda: asyncio.sleep(10))
        return back and abs(kit.now() - outer - 10) < 1

    return TOOLS[tool].enter is not plain and run_with(tool, body)


def on_uvloop(tool):
    import uvloop

    return TOOLS[tool].enter is not plain and bool(sleeps(tool, loop=uvloop.new_event_loop))


INSIDE = {
    "moved by hand, step by step": step_by_step,
    "`loop.time`": partial(moves, lambda _: loop_time()),
    "`time.time`": partial(moves, lambda _: time.time()),
    "imported before": partial(moves, lambda _: imported_time()),
    "`monotonic`": partial(moves, lambda _: time.monotonic()),
    "`datetime`": partial(moves, lambda _: datetime.datetime.now().timestamp()),
    "timeouts on time": timeout,
    "equal deadlines in order": partial(naps, [(1,)] * 100, 1, lambda woken, _: woken == sorted(woken)),
    "follow-up work first": partial(naps, [(1, 0, 0, 0, 0, 0), (2,)], 2, lambda woken, _: woken == [0, 1]),
    "1,000 times 0.1 s is 100 s": partial(naps, [(0.1,) * 1000], 100, lambda _, passed: passed == 100),
    "a thread at work": partial(in_time, partial(asyncio.to_thread, time.sleep, WORK)),
    "a process at work": partial(in_time, in_process),
    "a server elsewhere": partial(in_time, ask_elsewhere),
    "works while a task polls": polling,
}
"""What is asked while the tool is in charge."""
QUESTIONS = {
    "sleeps": sleeps,
    "a deadlock": hang,
    "restores everything": puts_back,
    "nests": nests,
    "uvloop": on_uvloop,
}
DATES, PATIENT = {"datetime": True}, {"autojump_threshold": 2 * WORK}
OPTIONS = {
    OURS: {"`datetime`": DATES, "a server elsewhere": PATIENT},
    "looptime": {"a deadlock": {"idle_timeout": 1.0}},
}
"""Arguments with which a tool does what it does not do without."""


def python(tool, here):
    """Return a command that starts a Python with a tool; the one that runs this has ours."""
    packages = [f"--with={need}" for need in (*TOOLS[tool].needs, "uvloop")]
    return [sys.executable] if here else [*UV_RUN, *packages, "python"]


def ask(tool, here, title, *options):
    """Ask a tool in a process of its own; an exception is a no, and so is an answer that takes too long."""
    command = [*python(tool, here), "-m", "docs.comparison", tool, title, *options]
    env = os.environ | ({"PYTHONPATH": str(ROOT / "src")} if tool == OURS else {})
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=TOO_LONG)
        answer = done.stdout.strip() if done.returncode == 0 else "no"
    except subprocess.TimeoutExpired:
        answer = "hangs" if title == "a deadlock" else "no"
    if answer in ("no", "hangs") and title in OPTIONS.get(tool, {}) and not options:
        asked = ask(tool, here, title, "--with-options")
        return {answer: answer, "yes": "if asked"}.get(asked, f"{asked}, if asked")
    return answer


def version_of(tool):
    code = "import sys; from importlib.metadata import version; print(sys.argv[1], version(sys.argv[1]))"
    command = [*python(tool, here=False), "-c", code, TOOLS[tool].needs[0]]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def renewed(page, tools, here, pool):
    """Return the lines of the page with the answers of these tools. A dash stays: there a question makes no sense."""

    def cell(tool, title, shown):
        return shown if shown == "-" else ask(tool, here, title)

    titles, lines = [], []
    for line in page.splitlines():
        first, *cells = [cell.strip() for cell in line.split("|")[1:-1]] or [""]
        tool = first.partition(" ")[0].strip("*")
        titles = cells if cells and not first else titles
        known = tool in tools and len(cells) == len(titles)
        lines.append((first, pool.map(cell, [tool] * len(cells), titles, cells)) if known else (line, None))
    return [f"| {' | '.join([first, *cells])} |" if cells else first for first, cells in lines]


def main():
    page = PAGE.read_text(encoding="utf-8")
    if len(sys.argv) > 2:
        tool, title, *options = sys.argv[1:]
        signal.alarm(TOO_LONG + 5)  # `uv run` is killed when it takes too long, and this process is not
        ask_inside = partial(run_with, body=INSIDE.get(title))
        answer = QUESTIONS.get(title, ask_inside)(tool, **(OPTIONS[tool][title] if options else {}))
        print({True: "yes", False: "no"}.get(answer, answer))
        return
    with ThreadPoolExecutor(4) as pool:
        if sys.argv[1:] == ["--check"]:
            pairs = zip(page.splitlines(), renewed(page, [OURS], True, pool), strict=True)
            sys.exit("\n".join(f"shown: {old}\nfound: {new}" for old, new in pairs if old != new) or 0)
        names = [name for name in TOOLS if f"\n| {name}" in page.replace("*", "")]
        versions = {name: version_of(name) for name in names}  # and so all are installed before time counts
        text = "\n".join([*renewed(page, names, False, pool), ""])
        peers = ", ".join(versions[name] for name in names if name != OURS)
        measured = f"Measured on {datetime.date.today()} with `python -m docs.comparison`, on Python 3.13: {peers}."
        PAGE.write_text(re.sub(r"^Measured on .*$", measured, text, flags=re.MULTILINE), encoding="utf-8")


if __name__ == "__main__":
    main()
