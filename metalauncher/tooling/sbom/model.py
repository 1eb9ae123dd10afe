"""What an SBOM or a VEX says, in no format's words. Pure: no files."""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from metalauncher.tooling.console import Unable

if TYPE_CHECKING:
    from collections.abc import Mapping

PLATFORM = "platform"  # the note that names a component's, where a document is of several
PROJECT = "The metalauncher project"
# Without SOURCE_DATE_EPOCH nothing knows when an image was made, and the same image is to have the same documents.
EPOCH = datetime(1980, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # years have four digits in the documents
_DECIMAL = re.compile(rb"[0-9]{1,40}")
_NAMESPACE = uuid.UUID("6f1cf8c5-7d0e-5d2b-9a3c-1f3c6f2c9b1e")  # of all ids made here; any fixed one will do
_CPE = re.compile(r"cpe:2\.3:[aho*-](?::(?:[A-Za-z0-9._*?-]|\\[\x21-\x7e])+){10}")
# Its form alone, for what is passed on: packageurl-python reads more than package URLs, such as blanks and control
# characters, which it escapes; and `vex` would need an extra that it does not need now.
_PURL = re.compile(r"pkg:[a-zA-Z][a-zA-Z0-9.+-]*/[A-Za-z0-9._~%:@/+!$&'(),;=?#-]+")
LICENCE_REF: Final = re.compile(r"(?<![A-Za-z0-9.:-])LicenseRef-[A-Za-z0-9.-]+")  # SPDX 2.3, annex D; in this document
_HEX = re.compile(r"[0-9a-f]+")
_DIGITS = {"SHA-1": 40, "SHA-256": 64, "SHA-384": 96, "SHA-512": 128}


class Component(NamedTuple):
    """A piece of software.

    Attributes:
        ref: names it in the document; no other has it.
        name: as people know it.
        version: "" where nobody says.
        kind: `application`, `library` or `file`.
        licences: SPDX expressions, or whatever text came instead.
        purl: package URL, "" for none.
        cpe: CPE 2.3, "" for none.
        hashes: algorithm as CycloneDX spells it, lower-case hex.
        path: of its file inside the image, "" for what is part of another one's.
        notes: further facts, name and value.
        depends: refs of what it is made of or needs.
        texts: for each licence reference (`LicenseRef-…`) in `licences` whose text came with it, both.
    """

    ref: str
    name: str
    version: str = ""
    kind: str = "library"
    licences: tuple[str, ...] = ()
    purl: str = ""
    cpe: str = ""
    hashes: tuple[tuple[str, str], ...] = ()
    path: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    depends: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()

    @property
    def sha256(self) -> str:
        """Of its file; "" where unknown."""
        return dict(self.hashes).get("SHA-256", "")


class Inventory(NamedTuple):
    """What one document describes.

    Attributes:
        name: the document's.
        components: sorted by ref.
        tops: refs of those that are part of nothing else in it.
        warnings: what had to be left out.
    """

    name: str
    components: tuple[Component, ...]
    tops: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def identity(self, kind: str) -> uuid.UUID:
        """Return an id that is the same for the same content, and another one for any other."""
        content = repr((kind, self.name, self.components, self.tops))
        return uuid.uuid5(_NAMESPACE, hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest())


def of_platforms(inventories: Mapping[str, Inventory]) -> Inventory:
    """Return what the inventories of one image for several platforms say together: a note names each one's platform."""
    components: list[Component] = []
    tops: list[str] = []
    warnings: list[str] = []
    for platform, inventory in inventories.items():
        for one in inventory.components:
            depends = tuple([f"{platform}/{ref}" for ref in one.depends])
            notes = (*one.notes, (PLATFORM, platform))
            components.append(one._replace(ref=f"{platform}/{one.ref}", depends=depends, notes=notes))
        tops += [f"{platform}/{ref}" for ref in inventory.tops]
        warnings += [f"{platform}: {warning}" for warning in inventory.warnings]
    name = next(iter(inventories.values())).name
    return Inventory(name, tuple(sorted(components)), tuple(sorted(tops)), tuple(warnings))


class Product(NamedTuple):
    """What a statement about a vulnerability is about.

    Attributes:
        purl: as in the SBOM.
        sha256: of its file, "" where the statement is about no file here.
        parts: purl and CPE, which may be "", of the components of it that the vulnerability is in.
    """

    purl: str
    sha256: str = ""
    parts: tuple[tuple[str, str], ...] = ()


class Statement(NamedTuple):
    """What a vulnerability means for a product; the fields are OpenVEX's, "" for one that is not given."""

    vulnerability: str
    product: Product
    status: str
    justification: str = ""
    impact: str = ""
    action: str = ""
    notes: str = ""
    aliases: tuple[str, ...] = ()


class Stated(NamedTuple):
    """All that a VEX document states.

    Attributes:
        statements: sorted.
        authors: who makes them.
        reviewed: when the project last looked through the vulnerabilities it knows.
    """

    statements: tuple[Statement, ...]
    authors: tuple[str, ...]
    reviewed: datetime


def within(stated: Stated, image: str) -> Stated:
    """Return the same statements about an image: what they were about, and its parts, are subcomponents of it.

    That is how scanners of images match them (OpenVEX 0.2.0, "Product" and "Subcomponent").

    Args:
        stated: about executables and their parts.
        image: its package URL.
    """
    moved = [
        statement._replace(product=Product(image, "", ((statement.product.purl, ""), *statement.product.parts)))
        for statement in stated.statements
    ]
    return stated._replace(statements=tuple(sorted(set(moved))))


def bundle_purl(identifier: str, version: str) -> str:
    """Return the package URL of a launcher: the same rule for everybody's."""
    return f"pkg:generic/{quote(identifier, safe='/')}@{quote(version, safe='')}"


def image_purl(host: str, repository: str, digest: str) -> str:
    """Return the package URL of an image in a registry, by its digest (package-url, type `oci`)."""
    name = repository.rpartition("/")[2]
    return f"pkg:oci/{name}@{quote(digest, safe='')}?repository_url={quote(f'{host}/{repository}', safe='/')}"


def is_purl(text: str) -> bool:
    """Tell whether it has the form of a package URL."""
    return _PURL.fullmatch(text) is not None


def is_cpe(text: str) -> bool:
    """Tell whether it has the form of a CPE 2.3 name."""
    return _CPE.fullmatch(text) is not None


def is_hash(algorithm: str, digest: str) -> bool:
    """Tell whether it is a digest of an algorithm that both formats know."""
    return len(digest) == _DIGITS.get(algorithm) and _HEX.fullmatch(digest) is not None


def moment(source_date_epoch: bytes | None, default: datetime = EPOCH) -> datetime:
    """Return the time that documents carry: SOURCE_DATE_EPOCH's, else a fixed one.

    Raises:
        Unable: the variable is no time.
    """
    if not source_date_epoch:
        return default
    reason = ""
    if not _DECIMAL.fullmatch(source_date_epoch):
        reason = "is not seconds since 1970"
    elif int(source_date_epoch) > _LATEST.timestamp():
        reason = "is after the year 9999"
    if reason:
        raise Unable(
            f"SOURCE_DATE_EPOCH: {source_date_epoch.decode('utf-8', 'replace')!r} {reason}",
            command="export SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct)",
        )
    return datetime.fromtimestamp(int(source_date_epoch), UTC)
