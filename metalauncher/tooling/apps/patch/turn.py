"""One app at a time holds large layers: a run of many at a time would else hold as many as an attacker likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import threading
    from types import TracebackType
    from typing import Self

LARGE: Final = 4 << 20  # bytes of a layer, stored or not; those of SBOMs of most apps have less


class Turn:
    """An app's turn, of one thread; what is taken is given back at the end of the block."""

    def __init__(self, lock: threading.Lock) -> None:
        """Take the lock that the apps of a run share; nothing is waited for yet."""
        self._lock: Final = lock
        self._is_taken = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End."""
        self.give()

    def take(self) -> None:
        """Wait until no other app has its turn."""
        if not self._is_taken:
            self._lock.acquire()
            self._is_taken = True

    def give(self) -> None:
        """Let another app have its turn."""
        if self._is_taken:
            self._is_taken = False
            self._lock.release()
