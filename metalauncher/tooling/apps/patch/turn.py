"""One app at a time holds large layers: a run of many at a time would else hold as many as an attacker likes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

LARGE: Final = 4 << 20  # bytes of a layer, stored or not; those of SBOMs of most apps have less


class Turns:
    """What the apps of a run share.

    Attributes:
        holding: had by the app that holds large layers, until it is done with them, which a registry may draw out.
        making: had while a layer is unpacked and made anew, which no registry has a say in.
    """

    def __init__(self) -> None:
        """Begin with nobody's turn."""
        self.holding: Final = threading.Lock()
        self.making: Final = threading.Lock()


class Turn:
    """An app's turn, of one thread; what is taken is given back at the end of the block."""

    def __init__(self, turns: Turns) -> None:
        """Take what the apps of a run share; nothing is waited for yet."""
        self._turns: Final = turns
        self.making: Final = turns.making
        self.is_taken = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End."""
        self.give()

    def take(self) -> None:
        """Wait until no other app holds large layers."""
        if not self.is_taken:
            self._turns.holding.acquire()
            self.is_taken = True

    def give(self) -> None:
        """Hold none any more."""
        if self.is_taken:
            self.is_taken = False
            self._turns.holding.release()
