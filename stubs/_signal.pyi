# What CPython's signal.py is made of; typeshed has only the latter, whose import brings enum.
from collections.abc import Callable, Iterable

SIG_BLOCK: int
SIG_DFL: int
SIG_IGN: int
SIG_UNBLOCK: int
SIGINT: int
SIGPIPE: int
SIGXFSZ: int

def pthread_sigmask(how: int, mask: Iterable[int], /) -> set[int]: ...
def sigpending() -> set[int]: ...
def sigtimedwait(sigset: Iterable[int], timeout: float, /) -> object: ...
def signal(signalnum: int, handler: int, /) -> Callable[..., object] | int | None: ...
