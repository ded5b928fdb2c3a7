"""A heartbeat with anyio: a peer that is silent for too long is considered dead."""

import time

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from machinery import test_helpers as thp


async def beat(peer: ObjectSendStream[str], *, every: float) -> None:
    """Send a heartbeat for ever."""
    while True:
        await peer.send("alive")
        await anyio.sleep(every)


async def watch(peer: ObjectReceiveStream[str], *, patience: float) -> None:
    """Return once the peer has been silent for `patience` seconds."""
    while True:
        with anyio.move_on_after(patience) as silence:
            await peer.receive()
        if silence.cancelled_caught:
            return


async def test_a_peer_that_sends_is_alive_all_day() -> None:
    """With a heartbeat every 30 seconds, a patience of 90 seconds never runs out."""
    sender, receiver = anyio.create_memory_object_stream[str]()
    async with thp.mocked_call_later(), sender, receiver, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: beat(sender, every=30))
        with anyio.move_on_after(24 * 60 * 60) as day:
            await watch(receiver, patience=90)

        assert day.cancelled_caught
        assert time.time() == 24 * 60 * 60
        tasks.cancel_scope.cancel()


async def test_silence_is_noticed_90_seconds_after_the_last_heartbeat() -> None:
    """The last heartbeat comes after 10 minutes, so the peer is dead after 11.5 minutes."""
    sender, receiver = anyio.create_memory_object_stream[str]()
    async with thp.mocked_call_later(), sender, receiver, anyio.create_task_group() as tasks:

        async def die_after_ten_minutes() -> None:
            with anyio.move_on_after(601):
                await beat(sender, every=30)

        tasks.start_soon(die_after_ten_minutes)
        await watch(receiver, patience=90)
        assert time.time() == 690
