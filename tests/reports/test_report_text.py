"""The text of reports as it is printed, made from plain data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinery._test_helpers._report import (
    WIDTH,
    DominosSnapshot,
    FailedTask,
    PendingTimer,
    TasksSnapshot,
    VirtualTimeSnapshot,
    dominos_report,
    fitted,
    moment_text,
    virtual_time_report,
)

LONG = "a_module_with_a_long_name.a_function_with_a_long_name"


def text_of(snapshot: VirtualTimeSnapshot | DominosSnapshot) -> str:
    """Return a report as one text."""
    lines = virtual_time_report(snapshot) if isinstance(snapshot, VirtualTimeSnapshot) else dominos_report(snapshot)
    return "\n".join(lines)


class TestVirtualTime:
    """All that a report on virtual time can tell."""

    @pytest.mark.proves("R2", "R3")
    def test_a_failure_with_everything_else_there_is(self) -> None:
        """The cause is first, and places go on a line of their own where the line would be too long."""
        snapshot = VirtualTimeSnapshot(
            name="'shop'",
            now=102.0,
            passed=2.0,
            real_seconds=0.00058,
            precision=0.5,
            pending=[
                PendingTimer(130.0, 28.0, "task 'buyer' waits\nat shop/client.py:12:\nawait asyncio.sleep(30)"),
                PendingTimer(161.05, 59.05, f"{LONG},\nset at shop/limits.py:7:\nloop.call_at(161.05, {LONG})"),
            ],
            pending_count=12,
            last_fired=(102, "the end of a sleep or wait"),
            fired_count=1,
            work=["process 7, ['ls']"],
            tasks=TasksSnapshot(
                failed=[
                    FailedTask("task 'seller'", "KeyError(7)\nat shop/server.py:30:\nraise KeyError(7)", False),
                    FailedTask("task 'clerk'", "KeyError(8)\nat shop/server.py:30:\nraise KeyError(8)", False),
                    FailedTask("task 'guard'", "KeyError(9)\nat shop/server.py:30:\nraise KeyError(9)", True),
                ],
                failed_count=13,
                waiting=["task 'idler' waits\nat shop/server.py:40:\nawait orders.get()"],
            ),
        )

        assert text_of(snapshot) == (
            "virtual time 'shop' is at 102.0, 2 s after its start (0.58 ms real time; precision 0.5 s)\n"
            "  look here first: task 'seller' failed: KeyError(7) at shop/server.py:30: raise KeyError(7)\n"
            "  task 'clerk' failed: KeyError(8) at shop/server.py:30: raise KeyError(8)\n"
            "  task 'guard' failed: KeyError(9) at shop/server.py:30: raise KeyError(9)\n"
            "  and 3 more failed tasks\n"
            "  under way in real time: process 7, ['ls']\n"
            "  pending at 130.0, in 28 s: task 'buyer' waits at shop/client.py:12: await asyncio.sleep(30)\n"
            "  pending at 161.05, in 59.05 s: a_module_with_a_long_name.a_function_with_a_long_name,\n"
            "    set at shop/limits.py:7:\n"
            "      loop.call_at(161.05, a_module_with_a_long_name.a_function_with_a_long_name)\n"
            "  and 2 more pending timers\n"
            "  last timer fired, due at 102.0: the end of a sleep or wait\n"
            "  task 'idler' waits at shop/server.py:40: await orders.get()"
        )

    @pytest.mark.proves("R5", "R8")
    def test_a_wait_that_nothing_ends(self) -> None:
        """Who waits is first where no timer is pending."""
        snapshot = VirtualTimeSnapshot(
            name="",
            now=0.0,
            passed=0.0,
            real_seconds=1.04,
            precision=0.001,
            waits=True,
            tasks=TasksSnapshot(
                own="the task of this block waits\nat test_answer.py:17:\nawait answered.wait()",
                waiting=["task 'teller' waits at asyncio's sleep"],
                wakeups=["thread 'poller'"],
            ),
        )

        assert text_of(snapshot) == (
            "virtual time is at 0.0, 0 s after its start (1.0 s real time; precision 1 ms)\n"
            "  the task of this block waits at test_answer.py:17: await answered.wait()\n"
            "  task 'teller' waits at asyncio's sleep\n"
            "  could still be woken by thread 'poller'\n"
            "  no timer is pending\n"
            "  no timer has fired yet"
        )

    @pytest.mark.proves("R10")
    def test_a_busy_loop(self) -> None:
        """What keeps it busy stands below, with what to do; that many timers have fired is no cause of its own."""
        snapshot = VirtualTimeSnapshot(
            name="",
            now=0.0,
            passed=0.0,
            real_seconds=2,
            precision=0.1,
            waits=True,
            fired_count=1001,
            tasks=TasksSnapshot(polling=["task 'poller'\nat test_poll.py:12:\nawait asyncio.sleep(0)"] * 11),
        )

        busy = "    kept busy by task 'poller' at test_poll.py:12: await asyncio.sleep(0)\n"
        assert text_of(snapshot) == (
            "virtual time is at 0.0, 0 s after its start (2.0 s real time; precision 0.1 s)\n"
            "  look here first: the event loop is never idle, so neither the clock nor the dominos can move\n"
            + 10
            * busy
            + "    and 1 more of these\n"
            "    wait for an event instead of calling sleep(0), or sleep for longer than 0\n"
            "  no timer is pending\n"
            "  no timer has fired yet"
        )

    @pytest.mark.proves("R10")
    @pytest.mark.parametrize(("busy", "lines"), [([], []), (["again"], ["    kept busy by again"])])
    def test_a_loop_that_something_else_keeps_busy(self, busy: list[str], lines: list[str]) -> None:
        """There is no advice on `sleep(0)`."""
        snapshot = DominosSnapshot(name="", expected=1, fallen=[], next="", tasks=TasksSnapshot(polling=[], busy=busy))

        assert text_of(snapshot).splitlines()[1:] == [
            "  look here first: the event loop is never idle, so neither the clock nor the dominos can move",
            *lines,
        ]

    @pytest.mark.proves("R2")
    @pytest.mark.parametrize(
        ("fired", "waits", "line"),
        [
            (1000, True, "  no timer is pending"),
            (1001, False, "  no timer is pending"),
            (1001, True, "  look here first: 1,001 timers have fired: something keeps setting new ones"),
        ],
    )
    def test_more_than_a_thousand_timers_are_pointed_at_where_the_block_waits(
        self, fired: int, waits: bool, line: str
    ) -> None:
        """A failure that comes after them has another cause."""
        snapshot = VirtualTimeSnapshot(
            name="", now=0.0, passed=0.0, real_seconds=2, precision=1, waits=waits, fired_count=fired
        )

        assert text_of(snapshot).splitlines()[1] == line

    @pytest.mark.proves("R2")
    @pytest.mark.parametrize(
        ("pending", "waits", "line"),
        [
            (1, True, "  look here first: only add() moves this clock, since autojump_threshold is infinite"),
            (1, False, "  only add() moves this clock, since autojump_threshold is infinite"),
            (0, True, "  only add() moves this clock, since autojump_threshold is infinite"),
        ],
    )
    def test_a_clock_that_only_add_moves_is_pointed_at_where_a_timer_is_waited_for(
        self, pending: int, waits: bool, line: str
    ) -> None:
        """Otherwise it is only told."""
        snapshot = VirtualTimeSnapshot(
            name="",
            now=0.0,
            passed=0.0,
            real_seconds=2,
            precision=1,
            waits=waits,
            only_add_moves=True,
            pending=[PendingTimer(1, 1, "f")] * pending,
            pending_count=pending,
        )

        lines = text_of(snapshot).splitlines()
        assert [each for each in lines if "only add()" in each] == [line] == lines[1:2]

    @pytest.mark.proves("R2", "T14")
    def test_with_datetime_times_are_dates(self) -> None:
        """In UTC, as `datetime.isoformat` shows them, as short as they can be."""
        snapshot = VirtualTimeSnapshot(
            name="",
            now=1_777_636_800.8,
            passed=0.7,
            real_seconds=0.1,
            precision=0.1,
            shows_dates=True,
            pending=[PendingTimer(1_777_636_860.0, 59.2, "print")],
            pending_count=1,
            last_fired=(1_777_636_800.1234, "print"),
        )

        assert text_of(snapshot) == (
            "virtual time is at 2026-05-01T12:00:00.8Z, 0.7 s after its start\n"
            "  (100 ms real time; precision 0.1 s)\n"
            "  pending at 2026-05-01T12:01:00Z, in 59.2 s: print\n"
            "  last timer fired, due at 2026-05-01T12:00:00.1234Z: print"
        )


class TestDominos:
    """All that a report on dominos can tell."""

    @pytest.mark.proves("R4")
    def test_a_row_that_nobody_has_begun(self) -> None:
        """What the test has to do is first."""
        snapshot = DominosSnapshot(
            name="'upload'",
            expected=9,
            fallen=[1, 2, 4, 5, 7],
            next="begin() has not been called",
            next_needs_action=True,
            waits=True,
            waiters=[(3, "callback when_fallen"), (8, "task 'one'\nat test_upload.py:9:\nawait futs[8]")],
            ended=[
                ("task 'two' failed after domino 4: KeyError(7)\nat test_upload.py:15:\nraise KeyError(7)", True),
                ("task 'three' returned after domino 5", False),
            ],
            work=["run()"],
            tasks=TasksSnapshot(
                failed=[FailedTask("task 'four'", "KeyError(8)\nat test_upload.py:16:\nraise KeyError(8)", False)],
                failed_count=1,
                own="the task of this block waits\nat test_upload.py:27:\nawait asyncio.wait(tasks)",
            ),
        )

        assert text_of(snapshot) == (
            "dominos 'upload' (expected=9): fallen 1-2, 4-5, 7\n"
            "  look here first: begin() has not been called\n"
            "  task 'two' failed after domino 4: KeyError(7) at test_upload.py:15: raise KeyError(7)\n"
            "  task 'four' failed: KeyError(8) at test_upload.py:16: raise KeyError(8)\n"
            "  task 'three' returned after domino 5\n"
            "  domino 3 is awaited by callback when_fallen\n"
            "  domino 8 is awaited by task 'one' at test_upload.py:9: await futs[8]\n"
            "  the task of this block waits at test_upload.py:27: await asyncio.wait(tasks)\n"
            "  under way in real time: run()"
        )

    @pytest.mark.proves("R4", "R13")
    def test_ten_tasks_that_took_part_are_named(self) -> None:
        """The others are counted, whether or not they failed."""
        ended = [(f"task '{number}' failed after domino {number}", number < 3) for number in range(13)]
        snapshot = DominosSnapshot(name="", expected=1, fallen=[1], next="", ended=ended)

        assert text_of(snapshot).splitlines() == [
            "dominos (expected=1): all have fallen",
            "  look here first: task '0' failed after domino 0",
            *(f"  task '{number}' failed after domino {number}" for number in range(1, 10)),
            "  and 3 more tasks that took part",
        ]


PART = st.text(st.characters(codec="ascii", exclude_characters=" \n\r\x0b\x0c\x1c\x1d\x1e"), min_size=1, max_size=60)


class TestLines:
    """How long lines are."""

    @pytest.mark.proves("R13")
    @given(st.lists(PART, min_size=1, max_size=6), st.sampled_from(["", "  ", "    "]))
    def test_a_line_is_as_long_as_it_may_be_or_cannot_be_broken(self, parts: list[str], indent: str) -> None:
        """Nothing is lost, and what would fit on one line is one line."""
        lines = list(fitted("\n".join(parts), indent))

        assert " ".join(line.strip() for line in lines).split() == " ".join(parts).split()
        assert [line for line in lines if len(line) > WIDTH and " " in line.strip()] == []
        assert (len(lines) == 1) == (len(indent + " ".join(parts)) <= WIDTH or len(parts) == 1)

    @pytest.mark.proves("R13")
    def test_with_the_margin_of_pytest_a_line_has_100_characters_at_most(self) -> None:
        """Pytest puts `E` and three spaces in front of it."""
        lines = list(fitted(f"{'x' * 92}\n{'y' * 40}\n{'z' * 51}")) + list(fitted(f"{'x' * 40}\n{'y' * 53}"))

        assert [len(f"E   {line}") for line in lines] == [98, 100, 100]


class TestTimes:
    """Units and precision as people write them."""

    @pytest.mark.proves("R2")
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0.000012, "0.012 ms"),
            (0.00058, "0.58 ms"),
            (0.0994, "99 ms"),
            (0.0996, "100 ms"),
            (0.5, "500 ms"),
            (1.0, "1.0 s"),
            (83.21, "83.2 s"),
        ],
    )
    def test_real_durations_have_two_digits_or_whole_milliseconds(self, seconds: float, text: str) -> None:
        """Nobody needs more of them."""
        snapshot = VirtualTimeSnapshot(name="", now=0.0, passed=0.0, real_seconds=seconds, precision=1)

        assert f"({text} real time;" in text_of(snapshot)

    @pytest.mark.proves("R2")
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0 s"),
            (0.1, "0.1 s"),
            (0.01, "0.01 s"),
            (0.0025, "2.5 ms"),
            (0.001, "1 ms"),
            (0.0001, "100 µs"),
            (1e-9, "1 ns"),
            (1e-12, "1e-12 s"),
            (59.35, "59.35 s"),
            (86400.0, "86400 s"),
            (1234567890.123, "1234567890.123 s"),
        ],
    )
    def test_virtual_durations_are_exact(self, seconds: float, text: str) -> None:
        """In the unit in which the number is short."""
        snapshot = VirtualTimeSnapshot(
            name="",
            now=0.0,
            passed=seconds,
            real_seconds=0,
            precision=1,
            pending=[PendingTimer(0, seconds, "f")],
            pending_count=1,
        )

        header, pending, *_ = text_of(snapshot).splitlines()
        assert f" {text} after its start" in header
        assert pending == f"  pending at 0.0, in {text}: f"

    @pytest.mark.proves("R2")
    @pytest.mark.parametrize(
        ("time", "text"),
        [
            (0, "1970-01-01T00:00:00Z"),
            (-0.5, "1969-12-31T23:59:59.5Z"),
            (1_777_636_800.1234, "2026-05-01T12:00:00.1234Z"),
            (1_777_636_810.0, "2026-05-01T12:00:10Z"),
            (1e18, "1e+18"),
        ],
    )
    def test_dates_are_short_and_what_is_no_date_is_a_number(self, time: float, text: str) -> None:
        """After the year 9999 there are none."""
        assert moment_text(time, dates=True) == text
        assert moment_text(time, dates=False) == repr(float(time))
