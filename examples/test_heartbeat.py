"""A heartbeat with anyio: a peer that has been silent for too long is taken for dead."""

import time

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from machinery import test_helpers as thp


async def beat(peer: ObjectSendStream[str], *, every: float) -> None:
    """Tell a peer again and again that we are alive."""
    while True:
        await peer.send("alive")
        await anyio.sleep(every)


async def watch(peer: ObjectReceiveStream[str], *, patience: float) -> None:
    """Return once a peer has been silent for that many seconds."""
    while True:
        with anyio.move_on_after(patience) as silence:
            await peer.receive()
        if silence.cancelled_caught:
            return


async def test_a_peer_that_beats_is_alive_all_day() -> None:
    """Beats every half minute keep a watcher with a patience of a minute and a half waiting."""
    sender, receiver = anyio.create_memory_object_stream[str]()
    async with thp.mocked_call_later(), sender, receiver, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: beat(sender, every=30))
        with anyio.move_on_after(24 * 60 * 60) as day:
            await watch(receiver, patience=90)

        assert day.cancelled_caught
        assert time.time() == 24 * 60 * 60
        tasks.cancel_scope.cancel()


async def test_silence_is_noticed_a_minute_and_a_half_after_the_last_beat() -> None:
    """A peer whose last beat came after 10 minutes is dead after 11.5 minutes."""
    sender, receiver = anyio.create_memory_object_stream[str]()
    async with thp.mocked_call_later(), sender, receiver, anyio.create_task_group() as tasks:

        async def die_after_ten_minutes() -> None:
            with anyio.move_on_after(601):
                await beat(sender, every=30)

        tasks.start_soon(die_after_ten_minutes)
        await watch(receiver, patience=90)
        assert time.time() == 690
