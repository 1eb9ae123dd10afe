"""What two flat lists leave no doubt of, held against every set of lifecycle releases that could have made them up."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from metalauncher.apis import ApiVersion
from metalauncher.tooling.apps.check.label_lists import is_certain, releases, union

RELEASES = releases()
MINORS = st.integers(0, 16).map(lambda minor: ApiVersion((0, minor)))


@given(
    st.sets(st.sampled_from(range(len(RELEASES))), min_size=1, max_size=3),
    MINORS,
    st.frozensets(MINORS, min_size=1, max_size=2),
)
def test_certainty(numbers: set[int], platform: ApiVersion, apis: frozenset[ApiVersion]) -> None:
    """An app is certain to start where every set of releases with these lists has one for it, and only there."""
    lists = union([RELEASES[number] for number in numbers])
    possible = [release for release in RELEASES if release[0] <= lists[0] and release[1] <= lists[1]]
    sets = [one for size in range(1, 5) for one in combinations(possible, size) if union(one) == lists]
    assert sets
    expected = all(any(platform in release[0] and apis <= release[1] for release in one) for one in sets)
    assert is_certain(platform, apis, lists) == expected


def test_of_no_release() -> None:
    """Lists that no releases make up leave every pair in doubt."""
    platform, api = ApiVersion((0, 12)), ApiVersion((0, 10))
    for lists in (
        (frozenset([platform]), frozenset([api])),
        (RELEASES[-1][0] | {ApiVersion((1, 0))}, RELEASES[-1][1]),
        (RELEASES[-1][0], RELEASES[-1][1] | {ApiVersion((0, 99))}),
    ):
        assert not is_certain(platform, frozenset([api]), lists)
    assert is_certain(platform, frozenset([api]), RELEASES[-1])
