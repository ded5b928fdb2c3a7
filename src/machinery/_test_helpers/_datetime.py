"""``datetime`` and all else that time-machine covers, which follow the clock for those who ask for it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import time_machine


class Datetime:
    """One traveller, who is on the way as long as somebody asks for it."""

    def __init__(self) -> None:
        self.asked_by: list[object] = []
        self._travel: time_machine.travel | None = None
        self._traveller: time_machine.Traveller | None = None

    def ask(self, who: object, now: float) -> None:
        """Begin to travel, on behalf of somebody, unless on the way already."""
        try:
            import time_machine
        except ImportError as error:
            raise ImportError('datetime=True needs time-machine: pip install "machinery[datetime]"') from error
        if self._travel is None:
            self._travel = time_machine.travel(now, tick=False)
            self._traveller = self._travel.start()
        self.asked_by.append(who)

    def follow(self, now: float) -> None:
        """Go to this time, if on the way."""
        if self._traveller is not None:
            self._traveller.move_to(now)

    def dismiss(self, who: object) -> None:
        """Ask no more on behalf of somebody; come back when nobody asks."""
        if who in self.asked_by:
            self.asked_by.remove(who)
            if self._travel is not None and not self.asked_by:
                self._travel.stop()
                self._travel = self._traveller = None
