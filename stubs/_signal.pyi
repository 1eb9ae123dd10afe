# What CPython's signal.py is made of; typeshed has only the latter, whose import brings enum.
from collections.abc import Callable

SIG_DFL: int
SIG_IGN: int
SIGINT: int
SIGPIPE: int
SIGXFSZ: int

def signal(signalnum: int, handler: int, /) -> Callable[..., object] | int | None: ...
