"""Layers that lie one over the other, by chance: few names, so that they meet; and what unpackers make of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import NamedTuple

from raw_tar import END, member, pax


class Place(NamedTuple):
    """What there is at one path; of a file the digest of its content, of a link its target."""

    kind: str
    mode: int
    owner: int
    group: int
    what: str


_NAMES = ("a", "b", "c", "lib", "usr")
_TARGETS = (
    "a",
    "b",
    "lib",
    "usr",
    "/a",
    "/usr/lib",
    "../a",
    "../../b",
    "usr/lib",
    "none",
    "/none/more",
    "a/../b",
    "./b",
    "..",
)
_WHITEOUTS = (".wh.a", ".wh.b", ".wh.lib", ".wh.usr", ".wh..wh..opq", ".wh..wh..opq")


class Stacks:
    """Layers from one seed."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self.random = random.Random(seed)
        self._files = 0
        self._known: list[str] = []  # files of this layer
        self._odd = self.random.choice((0.0, 0.0, 0.02, 0.1))

    def layers(self) -> list[bytes]:
        """Return two to four layers, the lowest first."""
        return [self._layer(number) for number in range(self.random.choice((2, 2, 3, 4)))]

    def _path(self, depth: int) -> str:
        return "/".join(self.random.choices(_NAMES, k=depth))

    def _layer(self, number: int) -> bytes:
        chance = self.random
        self._known = self._known if chance.random() < 0.1 else []
        parts = []
        if chance.random() < 0.7:  # as most programs write them: directories first
            folders = sorted({self._path(chance.choice((1, 1, 2))) for _ in range(chance.choice((1, 2, 4)))})
            parts += [
                member(f"{path}/".encode(), kind=b"5", mode=self._mode(b"5"), owner=self._owner()) for path in folders
            ]
        for _ in range(chance.choice((1, 2, 3, 5))):
            parts.append(self._member(number))
        return b"".join(parts) + END

    def _mode(self, kind: bytes) -> int:
        usual = 0o755 if kind == b"5" else 0o644
        return self.random.choice((usual, usual, usual, 0o700, 0o1777, 0o4755))

    def _owner(self) -> int:
        return self.random.choice((0, 0, 0, 1000))

    def _member(self, number: int) -> bytes:  # noqa: PLR0911  # one return for each kind of member
        chance = self.random
        path = self._path(chance.choice((1, 2, 2, 3)))
        if chance.random() < self._odd:
            return self._odd_member(path)
        self._files += 1
        kind = chance.choice((b"0", b"0", b"0", b"5", b"5", b"2", b"2", b"1", b"w", b"w"))
        if kind == b"w" and number:
            folder = path.rpartition("/")[0]
            name = chance.choice(_WHITEOUTS)
            return member((f"{folder}/{name}" if folder else name).encode())
        if kind == b"2":
            return member(path.encode(), kind=b"2", target=chance.choice(_TARGETS).encode(), mode=0o777)
        if kind == b"1":
            if not self._known:
                return b""
            target = chance.choice(self._known) if chance.random() < 0.9 else self._path(2)
            return member(path.encode(), kind=b"1", target=target.encode(), mode=chance.choice((0o644, 0o644, 0o600)))
        if kind == b"5":
            return member(path.encode(), kind=b"5", mode=self._mode(kind), owner=self._owner())
        self._known.append(path)
        return member(path.encode(), b"file %d" % self._files, mode=self._mode(b"0"), owner=self._owner())

    def _odd_member(self, path: str) -> bytes:  # noqa: PLR0911  # one return for each oddity
        chance = self.random
        name = path.encode()
        spelled = chance.choice(
            (b"/" + name, b"./" + name, b"../" + name, b"a/../" + name, name + b"/", b"", b".", b"./", b"//a")
        )
        wrong = chance.choice((b"/.wh.", b"/.wh..", b"/.wh...", b"/.wh..wh.plnk", b"/.wh.a/b"))
        match chance.randrange(10):
            case 0 | 1 | 2:
                kind = chance.choice((b"0", b"5", b"2"))
                return member(spelled, b"odd" if kind == b"0" else b"", kind, target=b"a", mode=0o755)
            case 3 | 4:
                return member(name + wrong)
            case 5:
                return member(
                    name, kind=chance.choice((b"3", b"4", b"6")), device=chance.choice(((0, 0), (1, 3), (0, 300)))
                )
            case 6:
                key = chance.choice((b"user.a", b"trusted.overlay.opaque", b"user.overlay.opaque", b"security.a", b"a"))
                return pax([(b"SCHILY.xattr." + key, b"y")]) + member(
                    name, kind=chance.choice((b"0", b"5", b"2")), target=b"a"
                )
            case 7:
                return member(name, kind=chance.choice((b"7", b"S", b"V", b"\0")))
            case 8:
                return member(b"g", b"", b"g") + member(name)
            case _:
                target = chance.choice((name + b"/", b"/" + name, b"./a", b"a/../b", b"", name))
                return member(chance.choice((name, b"hard")), kind=b"1", target=target)


def covered(path: str, doubts: Sequence[tuple[str, str]]) -> bool:
    """Tell whether one of the doubts is about a path."""
    return any([place in {"", path} or path.startswith(f"{place}/") for place, _ in doubts])


def digest(data: bytes) -> str:
    """Return what stands for a content."""
    return hashlib.sha256(data).hexdigest()
