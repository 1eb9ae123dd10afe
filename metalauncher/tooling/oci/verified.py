"""Read a body that nobody vouches for but a digest."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, Final

from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from metalauncher.tooling.oci.model import Descriptor
    from metalauncher.tooling.oci.transport import Answer

CHUNK: Final = 64 << 10


class Verified(io.RawIOBase):
    """A body that is what its descriptor says, or ends in an ImageError."""

    def __init__(self, answer: Answer, descriptor: Descriptor) -> None:
        """Take a body that is still whole.

        Raises:
            ImageError: it says itself that it is of another size.
        """
        length = answer.length()
        if length is not None and length != descriptor.size:
            raise ImageError("damaged", f"{answer.host} serves {length} bytes, not {descriptor.size}")
        self._answer = answer
        self._descriptor = descriptor
        self._hash = hashlib.new(descriptor.digest.partition(":")[0])
        self._left = descriptor.size
        self._ended = False

    def readable(self) -> bool:
        """Say yes, as `io` asks."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes; the last ones only once all together have the digest.

        Raises:
            ImageError: they don't come, or are not what they should be.
        """
        if self._ended:
            return 0
        data = self._answer.read(min(len(buffer), self._left, CHUNK))
        self._hash.update(data)
        self._left -= len(data)
        if self._left == 0 or not data:
            self._end()
        buffer[: len(data)] = data
        return len(data)

    def whole(self) -> bytes:
        """Return all of it."""
        data = bytearray()
        buffer = bytearray(CHUNK)
        while amount := self.readinto(buffer):
            data += buffer[:amount]
        return bytes(data)

    def _end(self) -> None:
        self._ended = True
        size, host = self._descriptor.size, self._answer.host
        if self._left:
            raise ImageError("damaged", f"{host} served {size - self._left} bytes, not {size}")
        if self._answer.read(1):
            raise ImageError("damaged", f"{host} served more than {size} bytes")
        if self._hash.hexdigest() != self._descriptor.digest.partition(":")[2]:
            raise ImageError("damaged", f"{host} served a blob with another digest than {self._descriptor.digest}")
