"""Runs inside the interpreter that becomes the snapshot: imports the application, warms it up, prunes what is left.

Frozen as `metalauncher_driver`, for the build alone. The working directory is warm-up/, and
`/proc/self/cwd` a name for it that is the same in every build.
"""

from __future__ import annotations

import sys
from types import CodeType, FunctionType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APPLICATION: list[str] = []  # its modules: filled in by freeze.py
# What the application imports while it runs, besides itself.
KEPT = ("_sha2", "_signal", "builtins", "errno", "posix", "sys", "tomli", "tomli._parser", "tomli._re")
# Of these, C code looks up names.
WHOLE = ("builtins", "sys", "tomli._parser")

_HERE = b"/proc/self/cwd"
# In the order in which they are used. What the interpreter keeps of a dispatch is allocated in the first of the roots,
# with one descriptor: with more of them, where it lies would depend on the order in which a file system lists them.
_ROOTS = (_HERE + b"/first", _HERE)


class _Became(BaseException):
    """Raised in place of the exec; no `except Exception` holds it up."""


def prepare() -> Callable[..., int]:
    """Import everything, warm it up and prune it; return the function that start-up calls."""
    for name in (*KEPT, *APPLICATION):
        __import__(name)
    start: Callable[..., int] = sys.modules["metalauncher.__main__"].start
    _prune()
    _warm_up(start)
    return start


def _become(_path: bytes, _skip: int) -> int:
    raise _Became


def _warm_up(start: Callable[..., int]) -> None:
    """Dispatch until the interpreter has specialised the code of the common path."""
    for root in _ROOTS:
        environ = [b"METALAUNCHER_ROOT=" + root, b"CNB_LAYERS_DIR=" + root + b"/layers", b"PATH=/usr/bin:/bin"]
        for api in (b"0.12", b"0.9", b"0.14") * 12:
            try:
                start([b"/cnb/process/web"], [*environ, b"CNB_PLATFORM_API=" + api], b"/proc/self/exe", _become)
            except _Became:
                continue
            raise AssertionError("the warm-up did not dispatch")


def _prune() -> None:
    """Drop what only imports needed, so that the snapshot holds what can still be reached."""
    import _codecs  # noqa: PLC2701  # `codecs` would come into the snapshot
    import encodings

    # utf-8, ascii and latin-1 are CPython's own; other codecs would be modules, which are not there.
    _codecs.unregister(encodings.search_function)
    # The cache is of no use to a process that parses a few files, and its class holds on to two modules.
    expressions = vars(sys.modules["tomli._re"])
    expressions["cached_tz"] = expressions["cached_tz"].__wrapped__

    kept = {name: module for name, module in sys.modules.items() if name in KEPT or name.startswith("metalauncher")}
    del kept[__name__]
    for name in list(sys.modules):
        if name not in kept:
            del sys.modules[name]
    used = {name for module in kept.values() for code in _code_of(module) for name in code.co_names}
    for name, module in kept.items():
        _prune_module(module, None if name in WHOLE else used)


def _prune_module(module: ModuleType, used: set[str] | None) -> None:
    """Remove from a module's namespace what no code names; keep all of it if `used` is None."""
    namespace = module.__dict__
    for name in ("__doc__", "__loader__", "__spec__"):
        if name in namespace:
            namespace[name] = None
    if used is None:
        return
    for name in list(namespace):
        if (name not in used and not name.startswith("__")) or name in ("__all__", "__cached__", "__file__"):
            del namespace[name]
    # A dict keeps the table that it once grew to; what is left is put into one of its own size.
    left = dict(namespace)
    namespace.clear()
    namespace.update(left)


def _code_of(module: ModuleType) -> Iterator[CodeType]:
    """Yield the code of all functions that a module defines."""
    pending: list[object] = list(module.__dict__.values())
    while pending:
        item = pending.pop()
        if isinstance(item, CodeType):
            yield item
            pending += item.co_consts
        elif isinstance(item, FunctionType):
            pending.append(item.__code__)
        elif isinstance(item, (classmethod, staticmethod)):
            pending.append(item.__func__)
        elif isinstance(item, property):
            pending += (item.fget, item.fset, item.fdel)
        elif isinstance(item, type) and item.__module__ == module.__name__:
            pending += item.__dict__.values()
