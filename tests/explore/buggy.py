"""Programs with a bug that only some orders of the answers show, each of another kind."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from machinery.test_helpers import Outside

Scenario = Callable[[Outside], Awaitable[None]]


async def lost_update(outside: Outside) -> None:
    """Both deposits read before either writes."""
    row = {"balance": 0}

    async def deposit(amount: int) -> None:
        await outside("read")
        seen = row["balance"]
        await outside("write")
        row["balance"] = seen + amount

    await asyncio.gather(deposit(10), deposit(5))
    assert row["balance"] == 15


async def pool_without_reservation(outside: Outside) -> None:
    """There is room for one connection more, and both users see it before either has connected."""
    connections: list[str] = []

    async def connect(name: str) -> None:
        if len(connections) < 1:
            await outside("connected")
            connections.append(name)

    await asyncio.gather(connect("a"), connect("b"))
    assert len(connections) == 1


async def cache_stampede(outside: Outside) -> None:
    """Everybody who misses loads for himself."""
    cache: dict[str, int] = {}
    loads = 0

    async def get(key: str) -> int:
        nonlocal loads
        await outside("cache")
        if key not in cache:
            loads += 1
            await outside("loaded")
            cache[key] = loads
        return cache[key]

    await asyncio.gather(get("a"), get("a"))
    assert loads == 1


async def double_close(outside: Outside) -> None:
    """The flag is set only after the last flush."""
    is_closed, closes = False, 0

    async def close() -> None:
        nonlocal is_closed, closes
        if not is_closed:
            await outside("flushed")
            is_closed = True
            closes += 1

    async def lose_connection() -> None:
        await outside("connection lost")
        await close()

    async def leave() -> None:
        await outside("done")
        await close()

    await asyncio.gather(leave(), lose_connection())
    assert closes == 1


async def connection_lost_in_hand_over(outside: Outside) -> None:
    """The timeout strikes when the connection has been handed over and its new user has not run yet."""
    idle: list[str] = []
    waiters: list[asyncio.Future[str]] = []

    async def take() -> str:
        if idle:
            return idle.pop()
        waiters.append(asyncio.get_running_loop().create_future())
        return await waiters[-1]

    def give_back(connection: str) -> None:
        while waiters:
            waiter = waiters.pop(0)
            if not waiter.done():
                waiter.set_result(connection)
                return
        idle.append(connection)

    async def first() -> None:
        await outside("rows")
        give_back("the connection")

    async def second() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                connection = await take()
            give_back(connection)

    await asyncio.gather(first(), second())
    assert idle == ["the connection"]


async def connection_lost_to_a_cancelled_waiter(outside: Outside) -> None:
    """Two answers arrive in one iteration: the first hands the connection over, the second cancels its new user."""
    idle: list[str] = []
    waiters: list[asyncio.Future[str]] = []

    async def use() -> None:
        waiters.append(asyncio.get_running_loop().create_future())
        idle.append(await waiters[0])

    async def give_back() -> None:
        await outside("rows")
        if waiters[0].done():
            idle.append("the connection")
        else:
            waiters[0].set_result("the connection")

    async def hang_up() -> None:
        await outside("client has gone")
        user.cancel()

    user = asyncio.create_task(use())
    await asyncio.gather(give_back(), hang_up())
    await asyncio.wait([user])
    assert idle == ["the connection"]


async def item_lost_by_wait_for(outside: Outside) -> None:
    """The timeout strikes between taking an item and being done with it."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    queue.put_nowait("job")
    done: list[str] = []

    async def work() -> None:
        item = await queue.get()
        await outside("acknowledged")
        done.append(item)

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(work(), 5)
    assert done + [queue.get_nowait() for _ in range(queue.qsize())] == ["job"]


async def forgotten_event(outside: Outside) -> None:
    """The reply is lost if it comes before there is an event for it."""
    events: dict[int, asyncio.Event] = {}

    async def request() -> None:
        await outside("sent")
        events[1] = asyncio.Event()
        await events[1].wait()

    async def read() -> None:
        await outside("reply")
        if 1 in events:
            events[1].set()

    await asyncio.gather(request(), read())


async def two_locks_in_two_orders(outside: Outside) -> None:
    """Each holds what the other one needs."""
    first, second = asyncio.Lock(), asyncio.Lock()

    async def transfer(source: asyncio.Lock, target: asyncio.Lock, label: str) -> None:
        await outside(f"{label} begins")
        async with source:
            await outside(f"{label} is booked")
            async with target:
                pass

    await asyncio.gather(transfer(first, second, "deposit"), transfer(second, first, "withdrawal"))


async def older_answer_wins(outside: Outside) -> None:
    """What is shown is the answer that came last, not that to the last question."""
    shown = ""

    async def search(text: str) -> None:
        nonlocal shown
        await outside(f"results for {text}")
        shown = text

    await asyncio.gather(search("a"), search("ab"))
    assert shown == "ab"


async def changed_while_iterating(outside: Outside) -> None:
    """A client leaves while a message is sent to all."""
    clients = {"a": 1, "b": 2}

    async def broadcast() -> None:
        for name in clients:
            await outside(f"sent to {name}")

    async def leave() -> None:
        await outside("b leaves")
        clients.pop("b")

    await asyncio.gather(broadcast(), leave())


async def permit_lost_by_timeout(outside: Outside) -> None:
    """A timeout skips the release."""
    permits = asyncio.Semaphore(1)

    async def work() -> None:
        await permits.acquire()
        await outside("worked")
        permits.release()

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(work(), 5)
    assert not permits.locked()


async def reply_to_another_request(outside: Outside) -> None:
    """A reply that comes after its timeout is taken for the reply to the next request."""
    waiting: list[asyncio.Future[str]] = []

    async def read() -> None:
        for reply in ("one", "two"):
            await outside(f"reply {reply}", channel="wire")
            if waiting:
                waiting.pop(0).set_result(reply)

    async def request() -> str:
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting.append(waiter)
        try:
            async with asyncio.timeout(5):
                return await waiter
        finally:
            if waiter in waiting:
                waiting.remove(waiter)

    reader = asyncio.create_task(read())
    with contextlib.suppress(TimeoutError):
        assert await request() == "one"
    with contextlib.suppress(TimeoutError):
        assert await request() == "two"
    reader.cancel()


async def ready_too_early(outside: Outside) -> None:
    """The flag is set before what it stands for is there."""
    is_started, connection = False, None

    async def start() -> None:
        nonlocal is_started, connection
        if not is_started:
            is_started = True
            await outside("connected")
            connection = "the connection"

    async def use() -> None:
        await outside("request")
        await start()
        assert connection is not None

    await asyncio.gather(use(), use())


BUGGY: list[Scenario] = [
    lost_update,
    pool_without_reservation,
    cache_stampede,
    double_close,
    connection_lost_in_hand_over,
    connection_lost_to_a_cancelled_waiter,
    item_lost_by_wait_for,
    forgotten_event,
    two_locks_in_two_orders,
    older_answer_wins,
    changed_while_iterating,
    permit_lost_by_timeout,
    reply_to_another_request,
    ready_too_early,
]
