"""What an app image's labels say of its layers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from metalauncher.tooling.apps.check.layer_map import LayerMap, read_layer_map
from metalauncher.tooling.run_image.labels import APP_LABEL

if TYPE_CHECKING:
    from metalauncher.tooling.oci.image import Image

NO_REBASE = "where its run image ends is not known: it can't be rebased as it is"
LABEL: dict[str, Any] = {
    "runImage": {"topLayer": "b", "reference": "c"},
    "launcher": {"sha": "d"},
    "config": {"sha": "e"},
    "process-types": {"sha": "f"},
    "app": [{"sha": "g"}],
    "sbom": {"sha": "h"},
    "buildpacks": [{"key": "acme", "layers": {"one": {"sha": "i"}, "two": {"sha": 5, "data": {"sha": "j"}}}}],
}


def layers(label: Any, diff_ids: str, **labels: str) -> LayerMap:
    """Return what is said of layers, each named by a letter; of a label's document, or its text."""
    if label is not None:
        labels[APP_LABEL] = label if isinstance(label, str) else json.dumps(label)
    image = SimpleNamespace(labels=labels, layers=[SimpleNamespace(diff_id=letter) for letter in diff_ids])
    return read_layer_map(cast("Image", image))


def test_every_layer_has_its_part() -> None:
    """The run image's end at its topmost; of the others, what lifecycle wrote and decides nothing is known."""
    assert layers(LABEL, "abdefghijx") == LayerMap(2, frozenset([5, 6, 7, 8]), ())


def test_what_else_names_a_layer_is_no_part() -> None:
    """Neither the run image's own entry, nor a text beside `sha`, makes a layer one that lifecycle wrote."""
    label = {**LABEL, "runImage": {"topLayer": "b", "sha": "x"}, "buildpacks": [{"key": "y", "layers": {"z": "z"}}]}
    assert layers(label, "abdefgxyz") == LayerMap(2, frozenset([5]), ())


def test_the_same_layer_twice() -> None:
    """The lower one ends the run image; each of a buildpack's counts; what decides is never taken for known."""
    assert layers(LABEL, "abbbgxgd") == LayerMap(2, frozenset([4, 6]), ())
    label = {**LABEL, "app": [{"sha": "d"}, {"sha": "g"}, {"sha": "c"}]}
    assert layers(label, "abcdgd") == LayerMap(2, frozenset([2, 4]), ())


@pytest.mark.parametrize(
    ("label", "diff_ids", "note"),
    [
        (None, "ab", f"has no label {APP_LABEL}"),
        ("", "ab", f"its label {APP_LABEL} can't be read"),
        ("{", "ab", f"its label {APP_LABEL} can't be read"),
        ("[]", "ab", f"its label {APP_LABEL} can't be read"),
        ("[" * 100_000, "ab", f"its label {APP_LABEL} can't be read"),
        (json.dumps(LABEL).ljust((4 << 20) + 1), "ab", f"its label {APP_LABEL} can't be read"),
        ({}, "ab", f"its label {APP_LABEL} does not name the run image's topmost layer"),
        ({"runImage": "b"}, "ab", f"its label {APP_LABEL} does not name the run image's topmost layer"),
        ({"runImage": {"topLayer": ["b"]}}, "ab", f"its label {APP_LABEL} does not name the run image's topmost layer"),
        ({"runImage": {"topLayer": "z"}}, "ab", f"its label {APP_LABEL} does not name the run image's topmost layer"),
        (LABEL, "adb", f"its label {APP_LABEL} counts the app's layers among the run image's"),
        (LABEL, "aeb", f"its label {APP_LABEL} counts the app's layers among the run image's"),
        (LABEL, "afbd", f"its label {APP_LABEL} counts the app's layers among the run image's"),
        (
            {"runImage": {"topLayer": "b"}, "config": {"sha": "b"}},
            "ab",
            f"its label {APP_LABEL} counts the app's layers among the run image's",
        ),
    ],
)
def test_labels_that_do_not_say_it(label: Any, diff_ids: str, note: str) -> None:
    """Where the run image ends is then not known, and why."""
    assert layers(label, diff_ids) == LayerMap(None, frozenset(), (note, NO_REBASE))


def test_a_label_as_large_as_may_be() -> None:
    """One of 4 MiB is read."""
    assert layers(json.dumps(LABEL).ljust(4 << 20), "abd") == LayerMap(2, frozenset(), ())


def test_what_refuses_a_rebase() -> None:
    """The label that says so is named, also where there is no other."""
    note = "a rebase refuses it: its label io.buildpacks.rebasable is false"
    labels = {"io.buildpacks.rebasable": "false"}
    assert layers(LABEL, "ab", **labels) == LayerMap(2, frozenset(), (note,))
    assert layers(None, "ab", **labels).notes == (note, f"has no label {APP_LABEL}", NO_REBASE)
    assert layers(LABEL, "ab", **{"io.buildpacks.rebasable": "true"}).notes == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from("abcdefgz"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["sha", "topLayer", "launcher", "runImage", "config", "app"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@examples(400)
@given(JSON, st.text("abcdefg", max_size=7))
def test_any_label(label: Any, diff_ids: str) -> None:
    """Whatever it holds: nothing is raised, and what decides is never taken for known."""
    found = layers(json.dumps(label), diff_ids)
    assert (found.own is None) == (NO_REBASE in found.notes)
    assert found.own is None or 1 <= found.own <= len(diff_ids)
    assert found.exported <= frozenset(range(len(diff_ids)))
    for key in ("launcher", "config", "process-types"):
        part = label.get(key) if isinstance(label, dict) else None
        if isinstance(part, dict) and isinstance(part.get("sha"), str):
            assert not any(diff_ids[number] == part["sha"] for number in found.exported)
