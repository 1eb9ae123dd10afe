"""The APIs that lifecycle releases support: what to name when an app needs a launcher the run image does not have.

Source: api/apis.go at every release tag of buildpacks/lifecycle from 0.9.0, the first that records APIs in an image, to
0.21.17. A test holds it against the release data in tests/data/lifecycle_apis.json.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from metalauncher.apis import ApiVersion

# first release, last release, oldest and newest minor of Platform API 0.x, the same of Buildpack API 0.x
RELEASES = (
    ("0.9.0", "0.9.3", 3, 4, 2, 4),
    ("0.10.0", "0.10.2", 3, 5, 2, 5),
    ("0.11.0", "0.11.4", 3, 6, 2, 6),
    ("0.12.0", "0.12.0", 3, 7, 2, 6),
    ("0.13.0", "0.13.5", 3, 8, 2, 7),
    ("0.14.0", "0.14.3", 3, 9, 2, 8),
    ("0.15.0", "0.15.3", 3, 10, 2, 9),
    ("0.16.0", "0.16.5", 3, 11, 2, 9),
    ("0.17.0", "0.17.7", 3, 12, 2, 10),
    ("0.18.0", "0.18.5", 7, 12, 7, 10),
    ("0.19.0", "0.19.0", 7, 13, 7, 10),
    ("0.19.1", "0.19.7", 7, 13, 7, 11),
    ("0.20.0", "0.20.20", 7, 14, 7, 11),
    ("0.21.0", "0.21.17", 7, 15, 7, 12),
)


def supporting(platform_api: ApiVersion | None, buildpack_apis: Iterable[ApiVersion]) -> list[tuple[str, str]]:
    """Return the spans (first release, last release) of lifecycle that support all these APIs; adjacent ones joined."""
    wanted = list(buildpack_apis)
    spans: list[tuple[str, str]] = []
    joined = False
    for first, last, platform_oldest, platform_newest, oldest, newest in RELEASES:
        fits = (platform_api is None or _within(platform_api, platform_oldest, platform_newest)) and all(
            _within(api, oldest, newest) for api in wanted
        )
        if fits and joined:
            spans[-1] = (spans[-1][0], last)
        elif fits:
            spans.append((first, last))
        joined = fits
    return spans


def _within(api: ApiVersion, oldest: int, newest: int) -> bool:
    return api[0] == 0 and oldest <= api[1] <= newest
