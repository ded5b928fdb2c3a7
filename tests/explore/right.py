"""Programs that are right; most of them only because asyncio runs tasks and timers in the order in which it does."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from machinery.test_helpers import Outside

Scenario = Callable[[Outside], Awaitable[None]]


async def update_under_a_lock(outside: Outside) -> None:
    """Only one deposit at a time."""
    row, lock = {"balance": 0}, asyncio.Lock()

    async def deposit(amount: int) -> None:
        async with lock:
            await outside("read")
            seen = row["balance"]
            await outside("write")
            row["balance"] = seen + amount

    await asyncio.gather(deposit(10), deposit(5))
    assert row["balance"] == 15


async def one_load_for_all(outside: Outside) -> None:
    """Those who miss wait for the one who loads."""
    loading: dict[str, asyncio.Task[None]] = {}

    async def get(key: str) -> None:
        await outside("request")
        if key not in loading:
            loading[key] = asyncio.ensure_future(outside("loaded"))
        await loading[key]

    await asyncio.gather(get("a"), get("a"))
    assert len(loading) == 1


async def hand_over_that_takes_back(outside: Outside) -> None:
    """What has been handed over to somebody who is gone is given to the next one."""
    idle: asyncio.Queue[str] = asyncio.Queue()

    async def first() -> None:
        await outside("rows")
        idle.put_nowait("the connection")

    async def second() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                idle.put_nowait(await idle.get())

    await asyncio.gather(first(), second())
    assert idle.qsize() == 1


async def cancelled_waiter_that_gives_back(outside: Outside) -> None:
    """Whoever is cancelled after the connection has been handed over gives it back."""
    idle: list[str] = []
    waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def use() -> None:
        try:
            idle.append(await waiter)
        except asyncio.CancelledError:
            if not waiter.cancelled():
                idle.append(waiter.result())
            raise

    async def give_back() -> None:
        await outside("rows")
        if waiter.done():
            idle.append("the connection")
        else:
            waiter.set_result("the connection")

    async def hang_up() -> None:
        await outside("client has gone")
        user.cancel()

    user = asyncio.create_task(use())
    await asyncio.gather(give_back(), hang_up())
    await asyncio.wait([user])
    assert idle == ["the connection"]


async def release_in_finally(outside: Outside) -> None:
    """A timeout does not skip the release."""
    permits = asyncio.Semaphore(1)

    async def work() -> None:
        async with permits:
            await outside("worked")

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(work(), 5)
    assert not permits.locked()


async def event_before_the_request(outside: Outside) -> None:
    """There is an event before a reply can come."""
    event = asyncio.Event()

    async def request() -> None:
        await outside("sent")
        await event.wait()

    async def read() -> None:
        await outside("reply")
        event.set()

    await asyncio.gather(request(), read())


async def newest_answer_wins(outside: Outside) -> None:
    """An answer to an older question is dropped."""
    shown, latest = "", 0

    async def search(number: int, text: str) -> None:
        nonlocal shown, latest
        await outside(f"results for {text}")
        if number > latest:
            shown, latest = text, number

    await asyncio.gather(search(1, "a"), search(2, "ab"))
    assert shown == "ab"


async def check_and_act_without_waiting(outside: Outside) -> None:
    """No other task runs between two lines without `await`."""
    seats = ["1A"]
    sold: list[str] = []

    async def buy(name: str) -> None:
        await outside(f"{name} has paid")
        if seats:
            seats.pop()
            sold.append(name)

    await asyncio.gather(buy("ann"), buy("bob"))
    assert len(sold) == 1


async def a_lock_is_fair(outside: Outside) -> None:
    """Those who wait for a lock get it in the order in which they came."""
    lock, came, got = asyncio.Lock(), list[str](), list[str]()

    async def visit(name: str) -> None:
        await outside(f"{name} comes")
        came.append(name)
        async with lock:
            got.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(visit("ann"), visit("bob"), visit("eve"))
    assert came == got


async def tasks_begin_in_order(outside: Outside) -> None:
    """A task that was started first runs first."""
    settings: dict[str, int] = {}
    seen: list[int] = []

    async def load() -> None:
        settings["size"] = 3

    async def use() -> None:
        seen.append(settings["size"])

    async def handle() -> None:
        await outside("request")
        settings.clear()
        await asyncio.gather(load(), use())

    await asyncio.gather(handle(), handle())
    assert seen == [3, 3]


async def messages_of_one_channel_keep_their_order(outside: Outside) -> None:
    """What is sent by one connection arrives in the order of sending."""
    arrived: list[int] = []

    async def receive(number: int) -> None:
        await outside(f"message {number}", channel="wire")
        arrived.append(number)

    await asyncio.gather(*map(receive, range(3)))
    assert arrived == [0, 1, 2]


async def a_queue_keeps_its_order(outside: Outside) -> None:
    """The sentinel comes last."""
    queue: asyncio.Queue[int | None] = asyncio.Queue()
    got: list[int | None] = []

    async def produce() -> None:
        for number in (1, 2):
            await outside("row")
            queue.put_nowait(number)
        queue.put_nowait(None)

    async def consume() -> None:
        while got[-1:] != [None]:
            got.append(await queue.get())

    await asyncio.gather(consume(), produce())
    assert got == [1, 2, None]


async def an_event_wakes_in_order(outside: Outside) -> None:
    """Those who wait for an event run in the order in which they came."""
    event, came, woke = asyncio.Event(), list[str](), list[str]()

    async def wait(name: str) -> None:
        await outside(f"{name} comes")
        if not event.is_set():
            came.append(name)
            await event.wait()
            woke.append(name)

    async def release() -> None:
        await outside("go")
        event.set()

    await asyncio.gather(wait("ann"), wait("bob"), release())
    assert came == woke


async def what_a_timer_sets_off_ends_before_the_next(outside: Outside) -> None:
    """A second is long enough for some steps of a task."""
    log: list[str] = []

    async def tick(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        for part in range(3):
            log.append(f"{name}{part}")
            await asyncio.sleep(0)

    await asyncio.gather(tick("a", 1), tick("b", 2), outside("reply"))
    assert log == ["a0", "a1", "a2", "b0", "b1", "b2"]


async def a_callback_runs_before_who_waits(outside: Outside) -> None:
    """What was added to a future first is called first."""
    log: list[str] = []

    async def fetch() -> None:
        task = asyncio.ensure_future(outside("reply"))
        task.add_done_callback(lambda _: log.append("callback"))
        await task
        log.append("waiter")

    await asyncio.gather(fetch(), outside("other"))
    assert log == ["callback", "waiter"]


async def first_one_wins(outside: Outside) -> None:
    """The loser of a race is cancelled, unless it is done as well."""
    tasks = [asyncio.ensure_future(outside(name)) for name in ("primary", "replica")]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() or task in done for task in tasks)


RIGHT: list[Scenario] = [
    update_under_a_lock,
    one_load_for_all,
    hand_over_that_takes_back,
    cancelled_waiter_that_gives_back,
    release_in_finally,
    event_before_the_request,
    newest_answer_wins,
    check_and_act_without_waiting,
    a_lock_is_fair,
    tasks_begin_in_order,
    messages_of_one_channel_keep_their_order,
    a_queue_keeps_its_order,
    an_event_wakes_in_order,
    what_a_timer_sets_off_ends_before_the_next,
    a_callback_runs_before_who_waits,
    first_one_wins,
]
