"""The code of each thing that can be wrong with a descriptor: what `lint` numbers its findings by."""

from __future__ import annotations

from typing import Any

import pytest

from metalauncher.apis import ApiRange, OpenRange
from metalauncher.descriptor import InvalidValue, parse_descriptor

APIS: dict[str, Any] = {"platform": {"supported": ["0.7"]}, "buildpack": {"supported": ["0.7"]}}
LAUNCHER: dict[str, Any] = {"id": "a", "version": "1"}


def apis(supported: object = None, **more: object) -> dict[str, Any]:
    """Return a document whose Platform APIs are these."""
    platform = {"supported": supported or ["0.7"], **more}
    return {"launcher": LAUNCHER, "apis": {**APIS, "platform": platform}}


def launcher(**more: object) -> dict[str, Any]:
    """Return a document with more keys of `[launcher]`."""
    return {"launcher": {**LAUNCHER, **more}, "apis": APIS}


@pytest.mark.parametrize(
    ("document", "key", "code"),
    [
        ({}, "", "invalid"),
        ({"launcher": LAUNCHER}, "apis", "invalid"),
        ({"launcher": LAUNCHER, "apis": {"platform": APIS["platform"]}}, "apis.buildpack", "invalid"),
        ({"launcher": LAUNCHER, "apis": {**APIS, "buildpack": 7}}, "apis.buildpack", "wrong-type"),
        ({"launcher": 7}, "launcher", "wrong-type"),
        (launcher(id=7), "launcher.id", "wrong-type"),
        (launcher(id="a b"), "launcher.id", "invalid"),
        (launcher(version="one"), "launcher.version", "invalid"),
        (launcher(priority="high"), "launcher.priority", "wrong-type"),
        (launcher(priority=2**63), "launcher.priority", "invalid"),
        (launcher(prioritaet=1), "launcher.prioritaet", "unknown-key"),
        (launcher(path="cnb"), "launcher.path", "invalid"),
        (launcher(path="/cnb/x"), "launcher.path", "app-path"),
        (launcher(path="/x/"), "launcher.path", "directory-path"),
        (launcher(requires="x"), "launcher.requires", "invalid"),
        (apis(0.7), "apis.platform.supported", "wrong-type"),
        (apis([0.7]), "apis.platform.supported", "wrong-type"),
        (apis(["x"]), "apis.platform.supported", "invalid"),
        (apis(">=0.7"), "apis.platform.supported", "open-range"),
        (apis("~0.7"), "apis.platform.supported", "invalid"),
        (apis(default="0.8"), "apis.platform.default", "invalid"),
    ],
)
def test_codes(document: dict[str, Any], key: str, code: str) -> None:
    """Each problem has its key and its code."""
    with pytest.raises(InvalidValue) as refused:
        parse_descriptor(document)
    assert (refused.value.key, refused.value.code) == (key, code)


def test_an_open_range_is_an_error_of_its_own() -> None:
    """It is told from a clause that is none."""
    with pytest.raises(OpenRange, match="is open above"):
        ApiRange(">=0.3")
    with pytest.raises(ValueError, match="is not one of") as refused:
        ApiRange("~0.3")
    assert not isinstance(refused.value, OpenRange)
