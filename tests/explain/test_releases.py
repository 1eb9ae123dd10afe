"""releases.py: what it says of lifecycle releases is the release data, and it names the right ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness import DATA

from metalauncher.apis import ApiVersion
from metalauncher.explain.releases import RELEASES, supporting

LINES: list[dict[str, Any]] = json.loads((DATA / "lifecycle_apis.json").read_text())["lines"]


def test_is_the_release_data() -> None:
    """Every release line from 0.9.0 on, with its first and last release and its APIs, none left out."""
    expected = [
        (
            line["from"],
            line["to"],
            [f"0.{minor}" for minor in range(platform_oldest, platform_newest + 1)],
            [f"0.{minor}" for minor in range(oldest, newest + 1)],
        )
        for line, (_, _, platform_oldest, platform_newest, oldest, newest) in zip(LINES, RELEASES, strict=True)
    ]
    assert expected == [
        (line["from"], line["to"], line["apis"]["platform"]["supported"], line["apis"]["buildpack"]["supported"])
        for line in LINES
    ]
    assert [(line["from"], line["to"]) for line in LINES] == [row[:2] for row in RELEASES]


@pytest.mark.parametrize(
    ("platform", "buildpacks", "spans"),
    [
        ("0.3", "", [("0.9.0", "0.17.7")]),
        ("0.15", "", [("0.21.0", "0.21.17")]),
        ("0.12", "0.2 0.10", [("0.17.0", "0.17.7")]),
        ("0.7", "0.9 0.10", [("0.17.0", "0.21.17")]),
        (None, "0.11", [("0.19.1", "0.21.17")]),
        ("0.13", "0.2", []),
        ("0.2", "", []),
        ("0.16", "", []),
        ("1.3", "", []),
        ("0.9", "1.3", []),
    ],
)
def test_supporting(platform: str | None, buildpacks: str, spans: list[tuple[str, str]]) -> None:
    """The releases that support all the APIs together, adjacent spans joined; none for what no release supports."""
    apis = [ApiVersion.parse(text) for text in buildpacks.split()]
    assert supporting(ApiVersion.parse(platform) if platform else None, iter(apis)) == spans
