"""Which launchers to add: the fewest that serve whatever some known launcher can serve."""

from __future__ import annotations

from itertools import pairwise

import pytest

from metalauncher.apis import ApiVersion
from metalauncher.explain.releases import RELEASES, supporting
from metalauncher.tooling.apps.check.missing_launchers import missing_bundles
from metalauncher.tooling.apps.check.verdict import Kind, Result
from metalauncher.versions import version_key


def refused(platform: str | None, *apis: str | None, code: int = 12, kind: Kind = "refused") -> Result:
    """Return the result of an app that recorded this."""
    buildpacks = tuple([(f"acme/{number}", api) for number, api in enumerate(apis)])
    return Result("app", None, kind, "", exit_code=code, platform_api=platform, buildpacks=buildpacks)


KINDS: tuple[Kind, ...] = ("starts", "does-not-start", "unknown", "keeps-own-launcher")
OLD, NEW = "buildpacks/lifecycle@0.17.7", "buildpacks/lifecycle@0.21.17"
CASES: dict[str, tuple[list[Result], tuple[str, ...]]] = {
    "nothing": ([], ()),
    "old": ([refused("0.3", "0.2")], (OLD,)),
    "new": ([refused("0.15", "0.12")], (NEW,)),
    "either": ([refused("0.12", "0.10")], (NEW,)),
    "both": ([refused("0.3", "0.2", code=11), refused("0.15", "0.12", code=80)], (NEW, OLD)),
    "together": ([refused("0.12", "0.2", "0.10"), refused("0.12", "0.7")], (OLD,)),
    "no-buildpacks": ([refused("0.4", code=11)], (OLD,)),
    "no-buildpacks-new": ([refused("0.15", code=11)], (NEW,)),
    "none-known": ([refused("0.12", "0.99"), refused("0.99", "0.10"), refused("9.9", code=11)], ()),
    "none-together": ([refused("0.15", "0.2")], ()),
    "some-known": ([refused("0.12", "0.99"), refused("0.7", "0.6")], (OLD,)),
    "malformed": ([refused("junk", "0.7", code=11), refused("0.12", "junk"), refused("0.12", None)], ()),
    "unrecorded": ([refused(None, None, code=11)], ()),
    "other-reasons": ([refused("0.12", "0.10", code=code) for code in (1, 81, 82)], ()),
    "other-verdicts": ([refused("0.12", "0.10", kind=kind) for kind in KINDS], ()),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    """What is named, in the order of its worth."""
    results, expected = CASES[case]
    assert sorted(missing_bundles(results)) == sorted(expected)


def test_every_release_is_served() -> None:
    """Whatever two neighbouring releases could export, one launcher or two are named for it, and serve it."""
    for first, second in pairwise(RELEASES):
        needs = [(f"0.{line[3]}", f"0.{line[4]}", f"0.{line[5]}") for line in (first, second)]
        names = missing_bundles([refused(*need) for need in needs])
        assert 1 <= len(names) <= 2
        for need in needs:
            platform, *apis = map(ApiVersion.parse, need)
            versions = [version_key(name.partition("@")[2]) for name in names]
            spans = [(version_key(low), version_key(high)) for low, high in supporting(platform, apis)]
            assert any(low <= version <= high for version in versions for low, high in spans)
