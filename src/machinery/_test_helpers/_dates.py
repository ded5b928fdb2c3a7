"""Dates that follow a clock, through time-machine, for blocks that ask for it with ``datetime=True``.

PYTEST_DONT_REWRITE
"""

import datetime as _datetime_module
from datetime import datetime as _datetime
from datetime import timedelta, timezone
from threading import get_ident
from typing import TYPE_CHECKING, Any

from machinery._test_helpers._clock import Clock

if TYPE_CHECKING:
    import time_machine

# In a tuple, where freezegun does not look for classes to replace.
_DATETIME: tuple[Any] = (_datetime,)
# Not UTC: time-machine would set the local time zone of the process to the zone of its destination, if it knows it.
_ZONE = timezone(timedelta(hours=1))
_EPOCH = _datetime(1970, 1, 1, 1, tzinfo=_ZONE)
_FIRST, _LAST = _datetime(1, 1, 3, tzinfo=_ZONE), _datetime(9999, 12, 29, tzinfo=_ZONE)
"""Two days inside the range of ``datetime``, so that every time zone can show them."""


class Dates:
    """One time-machine traveller for the process, shared by the blocks of one thread."""

    def __init__(self) -> None:
        self.clocks: list[Clock] = []
        """The clocks whose blocks asked for dates."""
        self._thread = 0
        self._travel: time_machine.travel | None = None
        self._traveller: time_machine.Traveller | None = None

    def start(self, clock: Clock) -> None:
        """Make dates follow, on behalf of a clock."""
        if _datetime_module.datetime is not _DATETIME[0]:
            # Imported now, time-machine would keep the replacement, and a later block would crash the interpreter.
            raise RuntimeError(
                "datetime=True does not work while another tool, such as freezegun, replaces datetime.datetime:"
                " open the block outside of it"
            )
        try:
            from time_machine import travel
        except ImportError as error:
            raise ImportError(
                "datetime=True needs the package time-machine: install it, or this project with its extra `datetime`"
            ) from error
        try:
            destination = _date_of(clock)
        except OverflowError:
            destination = None
        if destination is None or not _FIRST <= destination <= _LAST:
            raise ValueError(
                "with datetime=True, start_time must be a date from 0001-01-03 to 9999-12-28,"
                f" got {clock.now!r} seconds since 1970"
            )
        thread = get_ident()
        if self._travel is not None and self._thread != thread:
            raise RuntimeError(
                "datetime=True is in use by a block in another thread: time-machine sets the date for the whole"
                " process, so only one thread at a time can have it"
            )
        self.clocks.append(clock)
        if self._travel is None:
            travelling = travel(destination, tick=False)
            # With nothing in between that could fail: `stop` must not end a journey that has not begun.
            traveller = travelling.start()
            self._travel, self._traveller, self._thread = travelling, traveller, thread

    def stop(self, clock: Clock) -> None:
        """Stop following on behalf of a clock; dates are real again when no clock is left."""
        if clock in self.clocks:
            self.clocks.remove(clock)
            if self._travel is not None and not self.clocks:
                travelling, self._travel, self._traveller = self._travel, None, None
                travelling.stop()

    def follow(self, clock: Clock) -> None:
        """Show the time of a clock as the date, if it belongs to the thread whose blocks asked for it."""
        if self._traveller is not None and self._thread == get_ident():
            try:
                destination = min(_date_of(clock), _LAST)
            except OverflowError:
                destination = _LAST
            self._traveller.move_to(destination)


def seconds_since_1970(value: object) -> object:
    """Return the timestamp of an aware datetime, and anything else as it is."""
    __tracebackhide__ = True
    if not isinstance(value, _DATETIME):
        return value
    if value.utcoffset() is None:
        raise TypeError(
            f"start_time must be an aware datetime, got {value!r} without a time zone: add tzinfo=, for example UTC"
        )
    return value.timestamp()


def _date_of(clock: Clock) -> _datetime:
    # From whole microseconds: through a float of seconds, the date would lag behind the clock by one of them.
    return _EPOCH + timedelta(microseconds=clock.now_ns() // 1000)
