"""Give memory back to the system as soon as nobody needs it."""

from __future__ import annotations

import contextlib

# mallopt's M_MMAP_THRESHOLD, and glibc's own first value of it (malloc.h, mallopt(3)).
_MMAP_THRESHOLD, _BYTES = -3, 128 << 10


def return_large_blocks() -> None:
    """Have every large block of memory go back to the system when it is freed.

    glibc raises the size from which they do with each that is freed, up to 32 MiB, and keeps the others for the thread
    that had them: sixteen threads that read 2 MiB each held 300 MiB. Where there is another C library, or no ctypes,
    nothing is changed.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _BYTES)
