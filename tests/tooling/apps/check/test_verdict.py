"""Results as JSON and back: nothing is lost, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalauncher.tooling.apps.check.verdict import (
    KINDS,
    ROUTES,
    Before,
    Chosen,
    Kind,
    Result,
    Route,
    from_json,
    from_line,
    in_sum,
    to_json,
    to_line,
)
from metalauncher.tooling.apps.launcher_inventory import SOURCES, OwnLauncher

TEXTS = st.text(max_size=20)
KIND: st.SearchStrategy[Kind] = st.sampled_from(KINDS)
ROUTE: st.SearchStrategy[Route | None] = st.sampled_from((None, *ROUTES))
CHOSEN = st.none() | st.builds(Chosen, TEXTS, TEXTS, TEXTS)
OWN = st.builds(
    OwnLauncher,
    release=st.none() | TEXTS,
    go_version=st.none() | TEXTS,
    module=st.none() | TEXTS,
    source=st.sampled_from(SOURCES),
    path=TEXTS,
    layer=st.none() | TEXTS,
    digest=st.none() | TEXTS,
    size=st.integers(0, 1 << 40),
    notes=st.lists(TEXTS, max_size=2).map(tuple),
)
PARTS = st.builds(
    Result,
    app=TEXTS,
    digest=st.none() | TEXTS,
    kind=KIND,
    reason=TEXTS,
    launcher=CHOSEN,
    exit_code=st.none() | st.integers(0, 255),
    platform_api=st.none() | TEXTS,
    buildpacks=st.lists(st.tuples(TEXTS, st.none() | TEXTS), max_size=3).map(tuple),
    route=ROUTE,
    remedy=TEXTS,
    notes=st.lists(TEXTS, max_size=3).map(tuple),
    before=st.none() | st.builds(Before, KIND, CHOSEN),
    own_launcher=st.none() | OWN,
    assumes=st.lists(TEXTS, max_size=2).map(tuple),
    layers_read=st.integers(0, 512),
    bytes_read=st.integers(0, 1 << 40),
    wrong_name=st.booleans(),
    platform=st.none() | TEXTS,
    parts=st.just(()),
)
RESULTS = PARTS | st.builds(in_sum, TEXTS, TEXTS, st.lists(PARTS, min_size=1, max_size=3).map(tuple))
ONE = Result(
    "app", None, "starts", "why", Chosen("a", "1", "/a"), buildpacks=(("b", None),), before=Before("starts", None)
)


@given(RESULTS)
def test_there_and_back(result: Result) -> None:
    """A result is the same after a line of JSON."""
    line = to_line(result)
    assert "\n" not in line
    assert line.isascii()
    assert from_line(line) == from_line(line.encode()) == from_json(to_json(result)) == result


@given(RESULTS, st.data())
def test_cut_off(result: Result, data: st.DataObject) -> None:
    """No beginning of a line is taken for a result."""
    line = to_line(result)
    with pytest.raises(ValueError, match=r"."):
        from_line(line[: data.draw(st.integers(0, len(line) - 1))])


WRONG: dict[str, tuple[Any, str]] = {
    "app": (1, "app is not a string"),
    "digest": (1, "digest is not a string"),
    "kind": ("fine", "kind is 'fine', not one of starts, refused, does-not-start, keeps-own-launcher, unknown"),
    "reason": (None, "reason is not a string"),
    "launcher": ("x", "launcher is not an object"),
    "exit_code": (True, "exit_code is True, not an integer"),
    "platform_api": (0.12, "platform_api is not a string"),
    "buildpacks": ({}, "buildpacks is not an array"),
    "route": ("road", "route is 'road', not one of symlink, shim, copy, binary"),
    "remedy": (None, "remedy is not a string"),
    "notes": ([1], "notes is not a string"),
    "before": ([], "before is not an object"),
    "own_launcher": ({"source": "hearsay"}, "source is 'hearsay', not one of ldflags, module, label, unknown"),
    "assumes": ("all", "assumes is not an array"),
    "layers_read": (None, "layers_read is None, not an integer"),
    "wrong_name": (1, "wrong_name is not a boolean"),
    "bytes_read": (True, "bytes_read is True, not an integer"),
}


@pytest.mark.parametrize("key", WRONG)
def test_wrong_values(key: str) -> None:
    """Each value is of its type, or the whole is refused."""
    value, reason = WRONG[key]
    document = {**to_json(ONE), key: value}
    with pytest.raises(ValueError, match="^" + reason.replace(".", r"\.") + "$"):
        from_json(document)


@pytest.mark.parametrize("version", [0, 2, "1", True, None])
def test_other_versions(version: Any) -> None:
    """A line of another schema version is refused."""
    line = json.dumps({**to_json(ONE), "schema_version": version})
    with pytest.raises(ValueError, match=f"^is of schema version {version!r}, not 1$"):
        from_line(line)


@pytest.mark.parametrize("line", ["", "[]", "null", "1", '"x"', "{", "[" * 100_000, "{}"])
def test_other_lines(line: str) -> None:
    """So is what is no result at all."""
    with pytest.raises(ValueError, match=r"."):
        from_line(line)


@pytest.mark.parametrize("kind", KINDS)
def test_regressions(kind: Kind) -> None:
    """A regression would have started before, and now would not, or can't be told."""
    for before in KINDS:
        result = ONE._replace(kind=kind, before=Before(before, None))
        assert result.regressed == (kind in ("refused", "does-not-start", "unknown") and before == "starts")
    assert not ONE._replace(kind=kind, before=None).regressed


def test_in_sum() -> None:
    """An app for several platforms is what the most urgent of them is; one that regressed goes before its like."""
    cases: tuple[tuple[str, Kind, str, Before | None], ...] = (
        ("linux/amd64", "starts", "why", None),
        ("linux/arm64", "refused", "none", Before("refused", None)),
        ("linux/s390x", "refused", "gone", Before("starts", None)),
    )
    parts = tuple(
        ONE._replace(kind=kind, reason=reason, before=before, platform=platform, layers_read=1, assumes=(platform,))
        for platform, kind, reason, before in cases
    )
    found = in_sum("app", "sha256:1", parts)
    assert (found.kind, found.reason, found.regressed) == ("refused", "on linux/s390x: gone", True)
    assert (found.digest, found.platform, found.parts, found.judged) == ("sha256:1", None, parts, parts)
    assert (found.layers_read, found.assumes) == (3, ("linux/amd64", "linux/arm64", "linux/s390x"))
    alike = in_sum("app", "sha256:1", (parts[0], parts[0]._replace(platform="linux/arm64")))
    assert alike.reason == "why"
    line = to_line(found).replace('"platforms": [{', '"platforms": [{"platforms": [{}], ')
    with pytest.raises(ValueError, match="platforms has platforms of its own"):
        from_line(line)
