"""What tests of several parts share."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from machinery._test_helpers import _deadlocks, _pieces
from machinery._test_helpers._asyncio_internals import callback_of
from machinery._test_helpers._known_tools import is_watchdog

# On a busy machine any example may take long.
settings.register_profile("without deadline", deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=500)
settings.load_profile("without deadline")


@pytest.fixture
async def quiet_loop() -> AsyncIterator[None]:
    """Give a loop on which earlier tests have left no timer or task, and end the tasks that a test leaves on it."""
    loop = asyncio.get_running_loop()
    for handle in getattr(loop, "_scheduled", ()):
        if not is_watchdog(getattr(callback_of(handle)[0], "__module__", None)):
            handle.cancel()
    await _cancel_other_tasks()
    yield
    await _cancel_other_tasks()


async def _cancel_other_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def no_debug_mode() -> AsyncIterator[None]:
    """Turn off debug mode, in which asyncio shows every callback and is much slower."""
    loop = asyncio.get_running_loop()
    before = loop.get_debug()
    loop.set_debug(False)
    yield
    loop.set_debug(before)


@pytest.fixture
def work_patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Shorten how long work elsewhere holds the clock, and give that, in real seconds."""
    seconds = 0.1
    monkeypatch.setattr(_pieces, "HOLD_LIMIT", seconds)
    return seconds


@pytest.fixture
def deadlock_patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Shorten how long nothing has to happen before a wait is hopeless, and give that, in real seconds."""
    seconds = 0.02
    monkeypatch.setattr(_deadlocks, "STUCK_AFTER", seconds)
    return seconds


# What these tests are about is different on uvloop, or not there.
NOT_ON_UVLOOP = {
    "test_a_block_of_a_loop_that_is_gone_can_be_left": "patches a class of asyncio's loops",
    "test_a_deadlock_is_reported_at_once": "deadlocks are never certain there",
    "test_a_handler_of_the_interrupt_counts_when_it_is_the_loops": "cannot tell which handlers of signals it has",
    "test_a_program_does_in_virtual_time_what_it_does_in_real_time": "its real timers have another order",
    "test_a_scenario_that_keeps_the_cancellation_to_itself_is_reported_too": "deadlocks are never certain there",
    "test_a_task_that_polls_gets_an_answer_at_last": "it is never idle",
    "test_a_task_that_failed_in_its_eager_start_is_named_by_its_coroutine": "runs no first step in an eager factory",
    "test_a_zero_delay_is_served_where_asyncio_would_serve_it": "serves timers before callbacks",
    "test_an_eager_task_that_took_part_is_named_by_its_coroutine": "runs no first step in an eager factory",
    "test_an_interrupt_in_a_callback_that_is_due_at_once_loses_no_other": "other callbacks run before it stops",
    "test_an_interrupt_in_a_callback_stops_the_loop_as_it_does_without_us": "an interrupt in a callback ends pytest",
    "test_closing_the_loop_puts_everything_back": "has no selector",
    "test_eager_tasks_keep_the_order": "passes eager_start to a factory that does not take it",
    "test_it_tells_what_comes_in_the_middle": "does not show its iterations",
    "test_real_work_is_named": "its processes do not show their command",
    "test_reports_name_the_tasks_of_an_eager_factory": "runs no first step in an eager factory",
    "test_the_clock_moves_once_in_the_middle_of_what_an_answer_set_off": "does not show its iterations",
    "test_the_clock_waits_for_work_that_an_answer_has_set_off": "does not show its iterations",
    "test_the_warning_names_the_block_how_long_it_waited_and_all_that_it_moves_past": "as test_real_work_is_named",
    "test_the_watchdog_of_a_test_framework_is_real_inside_the_block": "its real timers are handles of its own",
    "test_what_a_thread_has_made_ready_comes_first": "has no selector",
    "test_while_something_comes_from_a_socket_time_does_not_stand_still": "shows only what waits in a socket",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is not there on uvloop."""
    for item in items if config.getoption("--uvloop") else ():
        reason = NOT_ON_UVLOOP.get(getattr(item, "originalname", item.name))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"not on uvloop: {reason}"))
