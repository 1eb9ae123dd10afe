"""Read the SBOM that came with a bundle, in CycloneDX, SPDX or syft's own JSON. It may be hostile, huge or broken.

What is taken over: names, versions, licences, package URLs, CPEs, digests, and what depends on what.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from metalauncher.tooling.sbom.model import LICENCE_REF, Component, is_cpe, is_hash, is_purl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MERGE_LIMIT = (
    4 << 20
)  # bytes; those of lifecycle releases have 20 to 200 KB, and JSON takes 20 times its size in memory
_COMPONENTS_LIMIT = 10_000
_RELATIONS_LIMIT = 100_000
_TEXT_LIMIT = 512
_LICENCES_LIMIT = 16
_LICENCE_TEXT_LIMIT = 64 << 10  # characters of what a LicenseRef stands for
_UNSAID = (None, "", "NOASSERTION", "NONE")
_SPDX_HASHES = {"SHA1": "SHA-1", "SHA256": "SHA-256", "SHA384": "SHA-384", "SHA512": "SHA-512"}
# SPDX's and syft's relationships by which the first is made of, or needs, the second; and those the other way round.
_FORWARD = frozenset(("CONTAINS", "DEPENDS_ON", "STATIC_LINK", "DYNAMIC_LINK", "contains"))
_BACKWARD = frozenset(("DEPENDENCY_OF", "CONTAINED_BY", "RUNTIME_DEPENDENCY_OF", "dependency-of"))


class Unusable(Exception):
    """The text says why an SBOM is left out."""


class Sbom(NamedTuple):
    """What an SBOM says.

    Attributes:
        parts: by the id each has in it; their `ref` and `depends` are not set.
        edges: id of what is made of, or needs, the other; the other's.
        roots: ids that stand for the described thing itself.
    """

    parts: dict[str, Component]
    edges: frozenset[tuple[str, str]]
    roots: frozenset[str]


def parse(data: bytes) -> Sbom:
    """Return what an SBOM says, whatever its format.

    Raises:
        Unusable: nothing can be made of it.
    """
    try:
        document = json.loads(data)
    except RecursionError:
        raise Unusable("is nested too deeply") from None
    except ValueError:
        raise Unusable("is not JSON") from None
    if not isinstance(document, dict):
        raise Unusable("is not a JSON object")
    if document.get("bomFormat") == "CycloneDX":
        return _cyclonedx(document)
    if isinstance(document.get("spdxVersion"), str) and document["spdxVersion"].startswith("SPDX-2."):
        return _spdx(document)
    if isinstance(document.get("artifacts"), list):
        return _syft(document)
    raise Unusable("is neither CycloneDX, nor SPDX 2, nor syft's JSON")


def merge(top: Component, sbom: Sbom) -> list[Component]:
    """Return `top` and its parts: each has a ref under the one of `top`, and everything hangs together."""
    unique: dict[Component, list[str]] = {}
    for identifier, part in sbom.parts.items():
        if identifier not in sbom.roots:
            unique.setdefault(part, []).append(identifier)
    refs = dict.fromkeys(sbom.roots, top.ref)
    named: list[tuple[str, Component]] = []
    for number, part in enumerate(sorted(unique), start=1):
        ref = f"{top.ref}#{number}"
        named.append((ref, part))
        refs |= dict.fromkeys(unique[part], ref)
    depends: dict[str, set[str]] = {}
    held: set[str] = set()
    for above, below in sbom.edges:
        first, second = refs.get(above), refs.get(below)
        if first is None or second is None or second in {first, top.ref}:
            continue
        depends.setdefault(first, set()).add(second)
        held.add(second)
    reached: set[str] = set()
    own = depends.setdefault(top.ref, set())
    own |= {ref for ref, _ in named if ref not in held}
    _reach(top.ref, depends, reached)
    for ref, _ in named:
        if ref not in reached:  # one of a circle that nothing else leads to
            own.add(ref)
            _reach(ref, depends, reached)
    return [
        part._replace(ref=ref, depends=tuple(sorted(depends.get(ref, ())))) for ref, part in [(top.ref, top), *named]
    ]


def _reach(start: str, depends: dict[str, set[str]], reached: set[str]) -> None:
    """Add to `reached` all that `start` leads to."""
    reached.add(start)
    todo = [start]
    while todo:
        new = depends.get(todo.pop(), set()) - reached
        reached |= new
        todo += new


def _cyclonedx(document: dict[str, Any]) -> Sbom:
    parts: dict[str, Component] = {}
    edges: set[tuple[str, str]] = set()
    described = _table(_table(document.get("metadata")).get("component"))
    roots = frozenset(filter(None, (_text(described.get("bom-ref")),)))
    todo: list[tuple[str, Any]] = [("", item) for item in _list(document.get("components"))]
    while todo:
        above, item = todo.pop()
        item = _table(item)
        name = _text(item.get("name"))
        identifier = _text(item.get("bom-ref")) or f"number {len(parts)}"
        if name:
            group = _text(item.get("group"))
            _add(
                parts,
                identifier,
                Component(
                    "",
                    f"{group}/{name}" if group else name,
                    _text(item.get("version")),
                    _kind(item.get("type")),
                    _licences(_cyclonedx_licences(item.get("licenses"))),
                    _purl(item.get("purl")),
                    _cpe(item.get("cpe")),
                    _hashes((_table(h).get("alg"), _table(h).get("content")) for h in _list(item.get("hashes"))),
                ),
            )
            if above:
                _relate(edges, above, identifier)
        todo += [(identifier if name else above, part) for part in _list(item.get("components"))]
    for item in _list(document.get("dependencies")):
        above = _text(_table(item).get("ref"))
        for below in _list(_table(item).get("dependsOn")):
            _relate(edges, above, _text(below))
    return Sbom(parts, frozenset(edges), roots)


def _cyclonedx_licences(value: Any) -> Iterator[Any]:
    for choice in _list(value):
        licence = _table(_table(choice).get("license"))
        yield _table(choice).get("expression") or licence.get("id") or licence.get("name")


def _spdx(document: dict[str, Any]) -> Sbom:
    parts: dict[str, Component] = {}
    edges: set[tuple[str, str]] = set()
    roots = {_text(item) for item in _list(document.get("documentDescribes"))}
    for item in map(_table, _list(document.get("relationships"))):
        first, second = _text(item.get("spdxElementId")), _text(item.get("relatedSpdxElement"))
        kind = item.get("relationshipType")
        if kind == "DESCRIBES" and first == "SPDXRef-DOCUMENT":
            roots.add(second)
        elif first != "SPDXRef-DOCUMENT":
            _relate_by(edges, kind, first, second)
    texts = {
        _text(item.get("licenseId")): _long_text(item.get("extractedText"))
        for item in map(_table, _list(document.get("hasExtractedLicensingInfos")))
    }
    for item in map(_table, _list(document.get("packages"))):
        name, identifier = _text(item.get("name")), _text(item.get("SPDXID"))
        if not name or not identifier:
            continue
        references = {
            _text(_table(reference).get("referenceType")): _table(reference).get("referenceLocator")
            for reference in reversed(_list(item.get("externalRefs")))
        }
        # What was declared stays declared; what somebody concluded takes its place only where nothing was.
        said = [text for key in ("licenseDeclared", "licenseConcluded") if (text := item.get(key)) not in _UNSAID]
        licences = _licences(said[:1])
        _add(
            parts,
            identifier,
            Component(
                "",
                name,
                _text(item.get("versionInfo")),
                _kind(_text(item.get("primaryPackagePurpose")).lower()),
                licences,
                _purl(references.get("purl")),
                _cpe(references.get("cpe23Type")),
                _hashes(
                    (_SPDX_HASHES.get(_text(_table(h).get("algorithm"))), _table(h).get("checksumValue"))
                    for h in _list(item.get("checksums"))
                ),
                texts=_texts_of(licences, texts),
            ),
        )
    return Sbom(parts, frozenset(edges), frozenset(roots))


def _syft(document: dict[str, Any]) -> Sbom:
    parts: dict[str, Component] = {}
    edges: set[tuple[str, str]] = set()
    for item in map(_table, _list(document.get("artifacts"))):
        name, identifier = _text(item.get("name")), _text(item.get("id"))
        if not name or not identifier:
            continue
        cpes = [_table(cpe).get("cpe", cpe) for cpe in _list(item.get("cpes"))]
        licences = [
            _table(licence).get("spdxExpression") or _table(licence).get("value") or licence
            for licence in _list(item.get("licenses"))
        ]
        _add(
            parts,
            identifier,
            Component(
                "",
                name,
                _text(item.get("version")),
                licences=_licences(licences),
                purl=_purl(item.get("purl")),
                cpe=next(filter(None, map(_cpe, cpes)), ""),
            ),
        )
    for item in map(_table, _list(document.get("artifactRelationships"))):
        _relate_by(edges, item.get("type"), _text(item.get("parent")), _text(item.get("child")))
    source = _text(_table(document.get("source")).get("id"))
    return Sbom(parts, frozenset(edges), frozenset(filter(None, (source,))))


def _add(parts: dict[str, Component], identifier: str, part: Component) -> None:
    if len(parts) >= _COMPONENTS_LIMIT:
        raise Unusable(f"has more than {_COMPONENTS_LIMIT} components")
    while identifier in parts:
        identifier += "'"
    parts[identifier] = part


def _relate(edges: set[tuple[str, str]], above: str, below: str) -> None:
    if len(edges) >= _RELATIONS_LIMIT:
        raise Unusable(f"has more than {_RELATIONS_LIMIT} relationships")
    if above and below:
        edges.add((above, below))


def _relate_by(edges: set[tuple[str, str]], kind: Any, first: str, second: str) -> None:
    if not isinstance(kind, str):
        return
    if kind in _FORWARD:
        _relate(edges, first, second)
    elif kind in _BACKWARD:
        _relate(edges, second, first)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    """Return a text without what is not printable, "" for anything else; half a surrogate pair becomes `?`."""
    if not isinstance(value, str):
        return ""
    text = value[:_TEXT_LIMIT].encode("utf-8", "replace").decode()
    return "".join([character if character.isprintable() else " " for character in text]).strip()


def _long_text(value: Any) -> str:
    """Return a text of several lines, without what a terminal would obey; "" for anything else."""
    if not isinstance(value, str):
        return ""
    text = value[:_LICENCE_TEXT_LIMIT].encode("utf-8", "replace").decode()
    return "".join([character if character.isprintable() or character in "\n\t" else " " for character in text])


def _texts_of(licences: Iterable[str], texts: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    references = {reference for licence in licences for reference in LICENCE_REF.findall(licence)}
    return tuple(sorted([(reference, texts[reference]) for reference in references if texts.get(reference)]))


def _kind(value: Any) -> str:
    return value if value in ("application", "file") else "library"


def _licences(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted({text for value in values if (text := _text(value))}))[:_LICENCES_LIMIT]


def _purl(value: Any) -> str:
    text = _text(value)
    return text if text == value and is_purl(text) else ""


def _cpe(value: Any) -> str:
    text = _text(value)
    return text if text == value and is_cpe(text) else ""


def _hashes(pairs: Iterable[tuple[Any, Any]]) -> tuple[tuple[str, str], ...]:
    found = {
        algorithm: digest.lower()
        for algorithm, digest in pairs
        if isinstance(algorithm, str) and isinstance(digest, str) and is_hash(algorithm, digest.lower())
    }
    return tuple(sorted(found.items()))
