"""What lifecycle's releases read of a metadata.toml: which parser each was built with, and what that one refuses.

Source: go.mod at the release tags of buildpacks/lifecycle, and that parser's own behaviour. Tests hold both: against
the release data in tests/data/lifecycle_toml.json, and against the launchers themselves. Loaded only when something is
said.
"""

from __future__ import annotations

from metalauncher.toml import BYTE_ORDER_MARK, CONTROL_CHARACTERS, INVALID_UTF_8, REPLACEMENT_CHARACTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    Version = tuple[int, ...]

LIFECYCLE = "buildpacks/lifecycle"

# first release, last release, the oldest and the newest github.com/BurntSushi/toml that these may have been built with:
# two where only the neighbours' is known.
RELEASES: tuple[tuple[Version, Version, Version, Version], ...] = (
    ((0, 9, 0), (0, 11, 4), (0, 3, 1), (0, 3, 1)),
    ((0, 12, 0), (0, 13, 0), (0, 4, 1), (0, 4, 1)),
    ((0, 13, 1), (0, 13, 2), (0, 4, 1), (1, 0, 0)),
    ((0, 13, 3), (0, 14, 0), (1, 0, 0), (1, 0, 0)),
    ((0, 14, 1), (0, 16, 4), (1, 1, 0), (1, 1, 0)),
    ((0, 16, 5), (0, 16, 5), (1, 1, 0), (1, 3, 2)),
    ((0, 17, 0), (0, 19, 6), (1, 3, 2), (1, 3, 2)),
    ((0, 19, 7), (0, 20, 0), (1, 3, 2), (1, 4, 0)),
    ((0, 20, 1), (0, 20, 5), (1, 4, 0), (1, 4, 0)),
    ((0, 20, 6), (0, 20, 7), (1, 4, 0), (1, 5, 0)),
    ((0, 20, 8), (0, 20, 11), (1, 5, 0), (1, 5, 0)),
    ((0, 20, 12), (0, 20, 20), (1, 5, 0), (1, 6, 0)),
    ((0, 21, 0), (0, 21, 0), (1, 5, 0), (1, 5, 0)),
    ((0, 21, 1), (0, 21, 7), (1, 5, 0), (1, 6, 0)),
    ((0, 21, 8), (0, 21, 17), (1, 6, 0), (1, 6, 0)),
)

# What that parser refuses: from this version on, and up to but without that one.
_REFUSED: tuple[tuple[str, Version, Version], ...] = (
    (CONTROL_CHARACTERS, (0, 4), (9,)),
    (INVALID_UTF_8, (0, 4), (9,)),
    (REPLACEMENT_CHARACTERS, (0, 4), (1, 4)),
    (BYTE_ORDER_MARK, (0,), (1, 3)),
)


def release_of(identifier: object, version: object) -> Version | None:
    """Return the release of lifecycle that a launcher is, or is a vendor's rebuild of; None where it is none known."""
    if identifier != LIFECYCLE or not isinstance(version, str):
        return None
    parts = version.partition("+")[0].split(".")
    if len(parts) != 3 or not all([part.isascii() and part.isdecimal() for part in parts]):
        return None
    release = tuple([int(part) for part in parts])
    return release if parsers_of(release) else None


def parsers_of(release: Version) -> tuple[Version, Version] | None:
    """Return the oldest and the newest parser that a release may have been built with."""
    return next((row[2:] for row in RELEASES if row[0] <= release <= row[1]), None)


def cannot_read(identifier: object, version: object) -> tuple[str, ...] | None:
    """Return what a launcher is known to refuse, for its descriptor's `cannot-read`; None where nothing is known."""
    release = release_of(identifier, version)
    parsers = parsers_of(release) if release else None
    if parsers is None:
        return None
    oldest, newest = parsers
    return tuple([kind for kind, since, until in _REFUSED if since <= oldest and newest < until])
