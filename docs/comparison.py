"""Asks each tool on the comparison page the same questions, and writes the answers into the tables of the page.

python -m docs.comparison           asks all tools; this takes some minutes, and uv has to be installed
python -m docs.comparison --check   asks ours in this environment, and fails unless the page shows its answers

Each question is asked in a process of its own, on the newest Python found on which the tool works.
"""

import asyncio
import contextlib
import datetime
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import time as imported_time

from benchmarks.subjects import SUBJECTS, TRIO, Subject, plain, run

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "comparison.md"
PYTHONS = ("3.14", "3.13", "3.12", "3.11", "3.10")
WORK = 0.3  # real seconds that a thread, a process or a server needs
UV_RUN = ["uv", "run", "--quiet", "--isolated", "--no-project", "--no-python-downloads"]
TOO_LONG = 10  # real seconds after which a question is given up
CHILD = [sys.executable, "-c", f"import time; time.sleep({WORK})"]
SERVER = f"""
import socket, time
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    line = connection.recv(100)
    time.sleep({WORK})
    connection.sendall(line)
"""


class Enough(Exception):
    """Ends a run early."""


class Kit:
    """What the questions need of asyncio."""

    too_late = asyncio.TimeoutError  # another class than the built-in one before Python 3.11
    sleep = staticmethod(lambda seconds: asyncio.sleep(seconds))  # looked up now: one of the tools replaces it
    loop_time = staticmethod(lambda: asyncio.get_running_loop().time())
    forever = staticmethod(lambda: asyncio.get_running_loop().create_future())
    in_thread = staticmethod(partial(asyncio.to_thread, time.sleep, WORK))
    together = staticmethod(lambda *bodies: asyncio.gather(*(body() for body in bodies)))
    within = staticmethod(lambda seconds, body: asyncio.wait_for(body(), seconds))

    def __init__(self, advance=None, by_hand=False, clock=None):
        self.advance, self.by_hand, self.now = advance, by_hand, clock or self.loop_time

    async def during(self, seconds, body, *, to_the_end=True):
        """Run a body that takes so many virtual seconds, and move them by hand where they do not pass by themselves."""
        if not self.by_hand:
            return await body()
        task = asyncio.ensure_future(body())
        for _ in range(10):
            await asyncio.sleep(0)
        await self.advance(seconds)
        return await task if to_the_end else task.cancel()

    async def in_process(self):
        await (await asyncio.create_subprocess_exec(*CHILD)).wait()

    async def ask(self, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()

    async def on_loopback(self):
        async def serve(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        for _ in range(20):
            await self.ask(server.sockets[0].getsockname()[1])
        server.close()

    async def in_order(self, count, *tasks):
        """Run tasks that get a function: it waits for the turn of a number, and then calls something."""
        from machinery import test_helpers as thp

        async def turn(num, call):
            await futs[num]
            call(num)

        async with thp.future_dominos(expected=count) as futs:
            futs.begin()
            await self.together(*(partial(task, turn) for task in tasks))


class TrioKit(Kit):
    """The same for Trio."""

    def __init__(self, advance=None):
        import trio.testing

        self.trio, self.too_late = trio, trio.TooSlowError
        self.loop_time, self.sleep, self.forever = trio.current_time, trio.sleep, trio.sleep_forever
        self.in_thread = partial(trio.to_thread.run_sync, time.sleep, WORK)
        self.in_process = partial(trio.run_process, CHILD)
        super().__init__(advance)

    async def together(self, *bodies):
        async with self.trio.open_nursery() as nursery:
            for body in bodies:
                nursery.start_soon(body)

    async def within(self, seconds, body):
        with self.trio.fail_after(seconds):
            await body()

    async def ask(self, port):
        async with await self.trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"hello\n")
            assert await stream.receive_some() == b"hello\n"

    async def on_loopback(self):
        async def serve(stream):
            await stream.send_all(await stream.receive_some())

        async with self.trio.open_nursery() as nursery:
            listeners = await nursery.start(self.trio.serve_tcp, serve, 0)
            for _ in range(20):
                await self.ask(listeners[0].socket.getsockname()[1])
            nursery.cancel_scope.cancel()

    async def in_order(self, count, *tasks):
        sequencer = self.trio.testing.Sequencer()

        async def turn(num, call):
            async with sequencer(num - 1):
                call(num)

        await self.together(*(partial(task, turn) for task in tasks))


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
OURS, ASYNCTEST = "machinery", "asynctest"
TOOLS = SUBJECTS | {
    OURS: SUBJECTS["ours"]._replace(needs=("time-machine",)),
    ASYNCTEST: Subject(("asynctest",)),
    "freezegun": Subject(("freezegun",), enter=freezegun),
    "time-machine": Subject(("time-machine",), enter=time_machine),
}
BY_HAND = ("aiofastforward", ASYNCTEST, "freezegun", "time-machine")


def run_with(tool, body, loop=None, in_real_time=False, **options):
    """Run a body under a tool, or only on the kind of loop that the tool is for."""
    subject = TOOLS[tool]
    if tool == TRIO:
        import trio.testing

        if in_real_time:
            return trio.run(body, TrioKit())
        clock = trio.testing.MockClock(**{"autojump_threshold": 0, **options})

        async def advance(seconds):
            clock.jump(seconds)
            await trio.testing.wait_all_tasks_blocked()

        return trio.run(body, TrioKit(advance), clock=clock)
    if in_real_time:
        return asyncio.run(body(Kit()))
    if tool == ASYNCTEST:
        import asynctest

        class Case(asynctest.ClockedTestCase):
            async def test(self):
                self.result = await body(Kit(self.advance, by_hand=True))

        (case := Case("test")).debug()
        return case.result

    async def main():
        async with subject.enter(**({} if subject.enter is plain else options)) as advance:
            return await body(Kit(advance, tool in BY_HAND, subject.clock))

    new_loop = loop or partial(subject.new_loop, **(options if subject.enter is plain else {}))
    return run(Subject(new_loop=new_loop), main())


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
        await kit.sleep(0)  # uvloop reads its clock once per iteration: entering the block must not count
        began = real_time()
        await kit.during(3, lambda: kit.sleep(3))
        return real_time() - began < 1

    return run_with(tool, body, **options) and (tool not in BY_HAND or "by hand")


async def step_by_step(kit):
    woken, began = [], kit.now()

    async def thrice():
        for _ in range(3):
            await kit.sleep(1)
            woken.append(round(kit.now() - began, 3))

    async def hand():
        for _ in range(5):
            await kit.sleep(0)
        await kit.advance(3)
        raise Enough

    with contextlib.suppress(BaseException):
        await kit.together(thrice, hand)
    return woken == [1, 2, 3]


async def moves(read, kit):
    before = read(kit)
    await kit.during(60, lambda: kit.sleep(60), to_the_end=False)
    return abs(read(kit) - before - 60) < 1


async def timeout(kit):
    began = kit.now()
    with contextlib.suppress(kit.too_late):
        await kit.during(3600, lambda: kit.within(3600, lambda: kit.sleep(7200)))
        return False
    return abs(kit.now() - began - 3600) < 0.2


async def naps(tasks, seconds, check, kit):
    woken, began = [], kit.now()

    async def one(num):
        for nap in tasks[num]:
            await kit.sleep(nap)
        woken.append(num)

    await kit.during(seconds, lambda: kit.together(*(partial(one, num) for num in range(len(tasks)))))
    return check(woken, kit.now() - began)


async def long_sleeps(kit):
    started = [time.process_time()]
    for seconds in (3600, 30 * 86400):
        await kit.during(seconds, partial(kit.sleep, seconds))
        started.append(time.process_time())
    return (started[1] - started[0]) * 10 + 0.1 > started[2] - started[1]


async def in_time(work, kit):
    began = kit.now()
    await kit.within(5, lambda: work(kit))
    return kit.now() - began < 5  # a thread cannot be cancelled: the work ends, but too late


async def ask_elsewhere(kit):
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as process:
        try:
            await kit.ask(int(process.stdout.readline()))
        finally:
            process.kill()


def hang(tool, **options):
    return ended_by(lambda: run_with(tool, lambda kit: kit.forever(), **options))


async def polling(kit):
    began, virtually = real_time(), kit.now()

    async def poll():
        while kit.now() < virtually + 1:
            assert real_time() < began + WORK
            await kit.sleep(0)

    await kit.during(1, lambda: kit.together(poll, partial(kit.sleep, 1)))
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
            await inner.during(10, lambda: inner.sleep(10))
        back = abs(kit.now() - outer) < 1
        await kit.during(10, lambda: kit.sleep(10))
        return back and abs(kit.now() - outer - 10) < 1

    return TOOLS[tool].enter is not plain and run_with(tool, body)


def on_uvloop(tool):
    import uvloop

    return TOOLS[tool].enter is not plain and bool(sleeps(tool, loop=uvloop.new_event_loop))


def steps(body, tool):
    taken = []
    end = ended_by(lambda: run_with(tool, lambda kit: body(kit, taken.append), in_real_time=True))
    return end or taken == sorted(taken)


async def take(tasks, kit, call):
    async def one(numbers, turn):
        for num in numbers:
            await turn(num, call)

    await kit.in_order(max(map(max, tasks)), *(partial(one, numbers) for numbers in tasks))


async def one_gives_up(kit, call):
    async def impatient(turn):
        with contextlib.suppress(kit.too_late):
            await kit.within(WORK, lambda: turn(2, call))
            return
        await turn(1, call)

    await kit.in_order(3, impatient, lambda turn: turn(3, call))


def many_steps(tool):
    started = [time.process_time()]
    for count in (100, 1000):
        steps(partial(take, [range(1, count + 1, 2), range(2, count + 1, 2)]), tool)
        started.append(time.process_time())
    return (started[1] - started[0]) * 30 + 0.3 > started[2] - started[1]


INSIDE = {
    "by hand, step by step": step_by_step,
    "`loop.time`": partial(moves, lambda kit: kit.loop_time()),
    "`time.time`": partial(moves, lambda _: time.time()),
    "that, imported before": partial(moves, lambda _: imported_time()),
    "`monotonic`": partial(moves, lambda _: time.monotonic()),
    "`datetime`": partial(moves, lambda _: datetime.datetime.now().timestamp()),
    "timeouts strike on time": timeout,
    "equal deadlines keep order": partial(naps, [(1,)] * 100, 1, lambda woken, _: woken == sorted(woken)),
    "follow-up work comes first": partial(naps, [(1, 0, 0, 0, 0, 0), (2,)], 2, lambda woken, _: woken == [0, 1]),
    "1,000 times 0.1 s are 100 s": partial(naps, [(0.1,) * 1000], 100, lambda _, passed: passed == 100),
    "30 days cost as an hour": long_sleeps,
    "a thread at work": partial(in_time, lambda kit: kit.in_thread()),
    "a process at work": partial(in_time, lambda kit: kit.in_process()),
    "client and server on one loop": partial(in_time, lambda kit: kit.on_loopback()),
    "a server elsewhere": partial(in_time, ask_elsewhere),
    "goes on while a task polls": polling,
}
"""What is asked while the tool is in charge."""
QUESTIONS = {
    "sleeps": sleeps,
    "a test that waits for ever": hang,
    "puts all back": puts_back,
    "nests": nests,
    "uvloop": on_uvloop,
    "three tasks by turns": partial(steps, partial(take, [(2, 5, 8), (3, 6, 9), (1, 4, 7)])),
    "one gives up waiting": partial(steps, one_gives_up),
    "nobody takes a step": partial(steps, partial(take, [(1,), (3,)])),
    "1,000 cost as ten times 100": many_steps,
}
DATETIME, PATIENT = {"datetime": True}, {"autojump_threshold": 2 * WORK}
OPTIONS = {
    OURS: {"`datetime`": DATETIME, "a server elsewhere": PATIENT},
    TRIO: dict.fromkeys(["a thread at work", "a process at work", "a server elsewhere"], PATIENT),
    "looptime": {"a test that waits for ever": {"idle_timeout": 1.0}},
}
"""Arguments with which a tool does what it does not do without."""


def python(tool, version):
    """Return a command that starts a Python with a tool; the one that runs this has ours."""
    if version == "this":
        return [sys.executable]
    packages = [f"--with={need}" for need in (*TOOLS[tool].needs, *["uvloop"] * (tool != TRIO))]
    return [*UV_RUN, f"--python={version}", *packages, "python"]


def ask(tool, version, title, *options):
    """Ask a tool in a process of its own; an exception is a no, and so is an answer that takes too long."""
    command = [*python(tool, version), "-m", "docs.comparison", tool, title, *options]
    env = os.environ | ({"PYTHONPATH": str(ROOT / "src")} if tool == OURS else {})
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=TOO_LONG)
        answer = done.stdout.strip() if done.returncode == 0 else "no"
    except subprocess.TimeoutExpired:
        answer = "hangs" if title in ("a test that waits for ever", "nobody takes a step") else "no"
    if answer in ("no", "hangs") and title in OPTIONS.get(tool, {}) and not options:
        asked = ask(tool, version, title, "--with-options")
        return {answer: answer, "yes": "if asked"}.get(asked, f"{asked}, if asked")
    return answer


def runs_on(tool):
    """Install a tool where it can be installed, and return the Pythons on which it does anything, newest first."""

    def works(version):
        installed = subprocess.run([*python(tool, version), "-c", ""], capture_output=True).returncode == 0
        return installed and any(ask(tool, version, title) != "no" for title in ("sleeps", "`time.time`"))

    return list(filter(works, PYTHONS))


def version_of(tool, version):
    code = "import sys; from importlib.metadata import version; print(sys.argv[1], version(sys.argv[1]))"
    command = [*python(tool, version), "-c", code, TOOLS[tool].needs[0]]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def renewed(page, pythons, pool):
    """Return the lines of the page with the answers of these tools. A dash stays: there a question makes no sense."""

    def cell(tool, title, shown):
        versions = pythons[tool]
        if shown == "-" or (versions == ["this"] and title == "Python"):
            return shown
        return ask(tool, versions[0], title) if title != "Python" else " to ".join(sorted({versions[0], versions[-1]}))

    titles, lines = [], []
    for line in page.splitlines():
        first, *cells = [cell.strip() for cell in line.split("|")[1:-1]] or [""]
        tool = first.partition(" ")[0].strip("*")
        titles = cells if cells and not first else titles
        known = tool in pythons and len(cells) == len(titles)
        lines.append((first, pool.map(cell, [tool] * len(cells), titles, cells)) if known else (line, None))
    return [f"| {' | '.join([first, *cells])} |" if cells else first for first, cells in lines]


def main():
    page = PAGE.read_text(encoding="utf-8")
    if len(sys.argv) > 2:
        tool, title, *options = sys.argv[1:]
        wishes = OPTIONS[tool][title] if options else {}
        ask_inside = partial(run_with, body=INSIDE.get(title))
        answer = QUESTIONS.get(title, ask_inside)(tool, **wishes)
        print({True: "yes", False: "no"}.get(answer, answer))
        return
    with ThreadPoolExecutor(4) as pool:
        if sys.argv[1:] == ["--check"]:
            pairs = zip(page.splitlines(), renewed(page, {OURS: ["this"]}, pool), strict=True)
            sys.exit("\n".join(f"shown: {old}\nfound: {new}" for old, new in pairs if old != new) or 0)
        names = [name for name in TOOLS if f"\n| {name}" in page.replace("*", "")]
        pythons = dict(zip(names, pool.map(runs_on, names), strict=True))
        text = "\n".join([*renewed(page, pythons, pool), ""])
        peers = ", ".join(version_of(name, pythons[name][0]) for name in names if name != OURS)
        measured = f"Measured on {datetime.date.today()} with `python -m docs.comparison`: {peers}."
        PAGE.write_text(re.sub(r"^Measured on .*$", measured, text, flags=re.MULTILINE), encoding="utf-8")


if __name__ == "__main__":
    main()
