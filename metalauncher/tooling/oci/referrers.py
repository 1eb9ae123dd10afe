"""What refers to a manifest: signatures, attestations, SBOMs. They are listed, and not read.

Source: the OCI distribution specification 1.1 ("Listing referrers", "Referrers tag schema").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from metalauncher.tooling.oci.go_json import MANIFEST
from metalauncher.tooling.oci.http.errors import Refused
from metalauncher.tooling.oci.http.urls import InvalidUrl, resolve
from metalauncher.tooling.oci.model import MANIFEST_LIMIT, OCI_INDEX, ImageError, parse_descriptor, parse_json

if TYPE_CHECKING:
    from metalauncher.tooling.oci.http.deadlines import Deadline
    from metalauncher.tooling.oci.http.response import Answer
    from metalauncher.tooling.oci.model import Descriptor
    from metalauncher.tooling.oci.repository import Repository

PAGES: Final = 100
ENTRIES: Final = 10_000
_WHAT = "list of referrers"
_OFFERED = frozenset((200,))
# What registries without that list answer.
_UNKNOWN = frozenset((400, 404, 405, 406, 410, 501))
_NEXT = re.compile(r'<([^<>]*)>[^<>,]*;\s*rel="?next"?', re.IGNORECASE)


def list_referrers(repository: Repository, digest: str) -> tuple[Descriptor, ...]:
    """Return what refers to a manifest.

    Args:
        repository: that has it.
        digest: of the manifest.

    Raises:
        ImageError: the registry does not say, says it of too many, or in an endless list.
    """
    found: dict[str, Descriptor] = {}
    first = f"referrers/{digest}"
    asked = {first}
    page = _page(repository, first) or _page(repository, f"manifests/{tag_of(digest)}")
    while page is not None:
        entries, following = page
        found.update({entry.digest: entry for entry in entries})
        if len(found) > ENTRIES:
            raise ImageError("too-large", f"{repository.host} lists more than {ENTRIES} referrers")
        if not following:
            break
        if following in asked or len(asked) == PAGES:
            raise ImageError("damaged", f"{repository.host} has a {_WHAT} that does not end")
        asked.add(following)
        page = _page(repository, following)
        if page is None:
            raise ImageError("damaged", f"{repository.host} has a {_WHAT} that breaks off")
    return tuple(found.values())


def tag_of(digest: str) -> str:
    """Return the tag of the index that lists what refers to a manifest where the registry keeps no such lists."""
    algorithm, _, digits = digest.partition(":")
    return f"{algorithm}-{digits[:64]}"  # 64 digits at most: a tag has 128 characters


def _page(repository: Repository, path: str) -> tuple[tuple[Descriptor, ...], str] | None:
    """Return what one page lists, and where the next one is, "" for nowhere; None where there is no such list."""
    return repository.retry(lambda deadline: _ask(repository, path, deadline))


def _ask(repository: Repository, path: str, deadline: Deadline) -> tuple[tuple[Descriptor, ...], str] | None:
    try:
        with repository.read(path, _WHAT, deadline, accept=OCI_INDEX, expected=_OFFERED) as answer:
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != OCI_INDEX:
                return None
            data = answer.whole(MANIFEST_LIMIT, f"the {_WHAT}")
            following = _next(answer)
    except Refused as refused:
        if refused.status in _UNKNOWN:
            return None
        raise
    entries = parse_json(data, f"the {_WHAT}", MANIFEST).get("manifests") or []
    return tuple([parse_descriptor(entry, f"an entry of the {_WHAT}") for entry in entries]), following


def _next(answer: Answer) -> str:
    """Return the URL of the page after this one (RFC 8288)."""
    match = _NEXT.search(answer.headers.get("Link", "")[:16384])
    if not match:
        return ""
    try:
        url = resolve(answer.url, match[1])
    except InvalidUrl as error:
        raise ImageError("damaged", f"{answer.host} has more of the {_WHAT} at {error}") from None
    if url.origin != answer.url.origin:
        raise ImageError("damaged", f"{answer.host} has more of the {_WHAT} at another host, {url.netloc}")
    return str(url)
