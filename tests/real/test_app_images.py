"""App images as lifecycle's own exporter and rebaser write them: what `check` says of them is what crun does."""

from __future__ import annotations

from collections.abc import Iterator

import golang
import launchers
import pytest
from appimages import FIRST, LAUNCHERS, RUN_IMAGES, AppImages, Outcome, app_images
from containers import need
from exporting import Exporter, recipes
from table import Row, fill, rows

from metalauncher.tooling.run_image.labels import MIRRORS

# Each kind of verdict, each release that exports, the shim and what is brought along; the rest takes minutes.
QUICK = (
    "p03-shim-on-three",
    "p06-shim-on-newest",
    "p12-launcher-on-newest",
    "p15-shim-on-three",
    "p15-shim-on-newest",
    "p15-shim-on-plain",
    "p15-copy-on-newest",
)


def expected(row: Row) -> Outcome:
    """Return what is to become of an app, told from what the launchers of the run images declare."""
    recipe = row.recipe
    if recipe.brings == "launcher":
        return Outcome("keeps-own-launcher")
    if RUN_IMAGES[row.on] is None:
        return Outcome("refused", None, 80) if recipe.brings == "copy" else Outcome("does-not-start", None, 127)
    platform = int(recipe.platform_api.partition(".")[2])
    # 0.17.7 ends at Platform API 0.12 and Buildpack API 0.10, 0.21.17 begins at 0.7 and 0.7. What is made of p12 has a
    # buildpack of 0.11, the mixed apps have some of 0.2.
    old = platform <= 12 and recipe.source != "p12"
    new = platform >= 7 and "mixed" not in recipe.source
    covering = {
        "three": "0.21.17" if new else "0.17.7",
        "newest": "0.21.17" if new else None,
        "older": "0.17.7" if old else None,
    }[row.on]
    if covering is not None:
        return Outcome("starts", f"{LAUNCHERS}/buildpacks/lifecycle/{covering}/launcher")
    return Outcome("refused", None, 12 if 7 <= platform <= 12 else 11)


@pytest.fixture(scope="module")
def images() -> Iterator[AppImages]:
    """Return run images with real launchers, and the apps on them."""
    need("crun", "skopeo", "umoci", "docker-registry")
    try:
        go = golang.find()
        real = {version: launchers.build(version, go).executable for version in launchers.QUICK}
    except golang.Unavailable as missing:
        pytest.fail(str(missing))
    with app_images(Exporter(go), real) as images:
        yield images


def cases() -> list[object]:
    """Return the rows of the table."""
    found = [pytest.param(r, id=r.name, marks=() if r.name in QUICK else (pytest.mark.thorough,)) for r in rows()]
    assert {row.name for row in rows()} >= set(QUICK)
    return list(found)


@pytest.mark.parametrize("row", cases())
def test_check_says_what_crun_does(row: Row, images: AppImages) -> None:
    """Before the rebase and after it; by each way to start the app; and what was said to start it did."""
    filled = fill(row, images)
    outcome = expected(row)
    assert (filled.before, filled.after) == (outcome, outcome)
    assert {start.name: seen.outcome for start, seen in filled.seen.items()} == {
        start.name: outcome for start in filled.seen
    }
    assert filled.alike
    for start, seen in filled.seen.items():
        ended = seen.ended
        match outcome.kind:
            case "refused":
                assert (ended.code, ended.out) == (outcome.exit_code, ""), start
                assert ended.err.splitlines()[0] == f"ERROR: {filled.reason}", start
            case "does-not-start":
                assert (ended.code, ended.out) == (1, ""), start
            case _:
                assert (ended.out.rstrip("\n").endswith(start.prints), ended.err) == (True, ""), (start, ended)
                assert (ended.code == 0) == start.works, (start, ended)


@pytest.mark.parametrize(("platform_api", "refreshed"), [("0.9", False), ("0.12", True)])
def test_labels_after_a_rebase(platform_api: str, refreshed: bool, images: AppImages) -> None:
    """docs/platforms/rebase.md: the rebaser's Platform API decides which of the run image's labels an app gets."""
    recipe = next(recipe for recipe in recipes() if recipe.name == "p12-shim")
    labels = images.labels(images.rebased_by(recipe, "newest", platform_api))
    old, new = (images.labels(images.run_image(name)) for name in (FIRST, "newest"))
    assert set(MIRRORS) <= set(old) & set(new)
    for name, copy in MIRRORS.items():
        assert labels[name] == old[name]
        assert labels[copy] == (new if refreshed else old)[copy]
    assert [name for name in MIRRORS if old[name] != new[name]]  # so that it can be seen


def test_every_kind_of_app_is_in_the_table() -> None:
    """Of each Platform API that changed how apps start there is one, and of each release that exports."""
    made = recipes()
    assert {recipe.platform_api for recipe in made} >= {"0.3", "0.4", "0.6", "0.7", "0.9", "0.12", "0.15"}
    assert {recipe.lifecycle for recipe in made} == set(launchers.QUICK)
    assert {recipe.brings for recipe in made} == {"shim", "launcher", "copy"}
    assert [recipe.name for recipe in made if recipe.prints is None] == ["p04-shim", "p04-launcher"]
    kinds = {expected(row).kind for row in rows() if row.name in QUICK}
    assert kinds == {"starts", "refused", "does-not-start", "keeps-own-launcher"}
