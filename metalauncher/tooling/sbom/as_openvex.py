"""Statements as an OpenVEX 0.2.0 document. Pure: the format is twenty lines of JSON, which need no library."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from metalauncher import __version__

if TYPE_CHECKING:
    from datetime import datetime

    from metalauncher.explain.jsontext import Json
    from metalauncher.tooling.sbom.model import Product, Stated, Statement

CONTEXT: Final = "https://openvex.dev/ns/v0.2.0"  # also the type of a predicate that is such a document
_IDS = "https://openvex.dev/docs/public/vex-"  # where OpenVEX's own tools have the ids of documents


def document(stated: Stated, created: datetime) -> dict[str, Json]:
    """Return the document; its id is that of its content."""
    body: dict[str, Json] = {
        "author": "; ".join(stated.authors),
        "timestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": 1,
        "tooling": f"metalauncher/{__version__}",
        "statements": [_statement(statement) for statement in stated.statements],
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {"@context": CONTEXT, "@id": f"{_IDS}{digest}", **body}


def _statement(statement: Statement) -> dict[str, Json]:
    vulnerability: dict[str, Json] = {"name": statement.vulnerability}
    if statement.aliases:
        vulnerability["aliases"] = list(statement.aliases)
    texts: dict[str, Json] = {
        "justification": statement.justification,
        "impact_statement": statement.impact,
        "action_statement": statement.action,
        "status_notes": statement.notes,
    }
    return {
        "vulnerability": vulnerability,
        "products": [_product(statement.product)],
        "status": statement.status,
        **{key: text for key, text in texts.items() if text},
    }


def _product(product: Product) -> dict[str, Json]:
    result = _component(product.purl, "")
    if product.sha256:
        result["hashes"] = {"sha-256": product.sha256}
    if product.parts:
        result["subcomponents"] = [_component(purl, cpe) for purl, cpe in product.parts]
    return result


def _component(purl: str, cpe: str) -> dict[str, Json]:
    identifiers: dict[str, Json] = {"purl": purl}
    if cpe:
        identifiers["cpe23"] = cpe
    return {"@id": purl, "identifiers": identifiers}
