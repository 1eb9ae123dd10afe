"""Where patched images go: what `--to` may say, and that nothing is ever overwritten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalauncher.tooling.apps.patch.template import (
    InvalidTemplate,
    find_targets,
    parse_template,
    source_of,
)
from metalauncher.tooling.console import Unable

D = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "app", "target"),
    [
        ("{repository}:{tag}-shim", "r.example.com/team/app:1", "r.example.com/team/app:1-shim"),
        ("{repository}-shim:{tag}", "r.example.com:5000/app:1", "r.example.com:5000/app-shim:1"),
        ("r.example.com/patched/{tag}:x", "r.example.com/app:v1", "r.example.com/patched/v1:x"),
        ("mirror.example.com/{repository}:{tag}", "localhost/app:1", "mirror.example.com/localhost/app:1"),
        ("{repository}:{tag}-shim", "app:1", "docker.io/library/app:1-shim"),
        ("{repository}:{tag}-shim", "docker.io/app", "docker.io/library/app:latest-shim"),
        ("{repository}:{tag}-shim", f"r.example.com/app:1@{D}", "r.example.com/app:1-shim"),
        ("{repository}:shim", f"r.example.com/app@{D}", "r.example.com/app:shim"),
        ("r.example.com/app:x", "r.example.com/app:1", "r.example.com/app:x"),
    ],
)
def test_targets(text: str, app: str, target: str) -> None:
    """The two parts are put in as text; the repository has its host."""
    assert str(parse_template(text).target(source_of(app))) == target


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("{repository}:{tag", "another brace"),
        ("{repository}:{ tag}", "another brace"),
        ("{repository}:{{tag}}", "another brace"),
        ("{repository}:{tag!r}", "another brace"),
        ("{repository.host}:{tag}", "another brace"),
        ("{repository}:{TAG}", "another brace"),
        ("{host}/{repository}:{tag}", "another brace"),
        ("{}:{0}", "another brace"),
        ("{repository}:{tag}}", "another brace"),
        ("a" * 1025, "1025 characters"),
    ],
)
def test_what_is_no_template(text: str, reason: str) -> None:
    """Any other brace is an error: nothing is formatted."""
    with pytest.raises(InvalidTemplate, match=reason):
        parse_template(text)


@pytest.mark.parametrize(
    ("text", "app", "reason"),
    [
        ("{repository}:{tag}-shim", f"r.example.com/app@{D}", "has only a digest"),
        ("{repository}:{tag}-shim", "r.example.com/app:" + "x" * 124, "is not 1 to 128"),
        ("{repository}:{tag}/x", "r.example.com/app:1", "is not an image's name"),
        ("{repository}", "r.example.com/app:1", "has no tag"),
        ("{repository}", "r.example.com/app:latest", "has no tag"),
        (f"{{repository}}:{{tag}}@{D}", "r.example.com/app:1", "only a tag can be written"),
        (f"{{repository}}@{D}", "r.example.com/app:1", "only a tag can be written"),
        ("https://{repository}:{tag}", "r.example.com/app:1", "it is a URL"),
        ("user:pw@{repository}:{tag}", "r.example.com/app:1", "is not a digest"),
        ("{repository}: {tag}", "r.example.com/app:1", "is not 1 to 128"),
        ("{repository}:{tag}\n", "r.example.com/app:1", "is not 1 to 128"),
        ("../{repository}:{tag}", "r.example.com/app:1", "is not a registry's host"),
        ("{repository}/../x:{tag}", "r.example.com/app:1", "the repository"),
        ("{repository}/" + "x" * 255 + ":{tag}", "r.example.com/app:1", "more than 255"),
    ],
)
def test_what_is_no_target(text: str, app: str, reason: str) -> None:
    """What comes of a template is a reference with a tag, or refused."""
    with pytest.raises(InvalidTemplate, match=reason):
        parse_template(text).target(source_of(app))
    with pytest.raises(Unable) as refused:
        find_targets(parse_template(text), [app])
    assert reason in refused.value.headline


@pytest.mark.parametrize(
    ("text", "apps", "reason"),
    [
        ("{repository}:{tag}", ["r.io/app:1"], "the app r.io/app:1, which would be overwritten"),
        ("r.io/app:2", ["r.io/app:1", "r.io/app:2"], "the app r.io/app:2, which would be overwritten"),
        ("r.io/app:{tag}", ["r.io/other:1", "r.io/app:1"], "the app r.io/app:1, which would be overwritten"),
        ("{repository}:{tag}", [f"r.io/app:1@{D}"], "would be overwritten"),
        ("R.io/app:{tag}", ["r.io/app:1"], "would be overwritten"),  # hosts know no case
        ("index.docker.io/library/app:{tag}", ["app:1"], "would be overwritten"),
        ("r.io:443/app:{tag}", ["r.io/app:1"], "would be overwritten"),  # the port that is meant where there is none
        ("{repository}:x", ["r.io/app:1", "r.io:443/app:2"], "r.io/app:1 and r.io:443/app:2 have one target"),
        ("{repository}:x", ["r.io/app:1", "r.io/app:2"], "r.io/app:1 and r.io/app:2 have one target, r.io/app:x"),
        ("r.io/all:{tag}", ["r.io/a:1", "r.io/b:1"], "r.io/a:1 and r.io/b:1 have one target, r.io/all:1"),
        ("r.io/all:{tag}", ["app", "docker.io/library/app:latest"], "have one target, r.io/all:latest"),
        ("{repository}:{tag}-x", ["oci:layout:1"], "is in no registry"),
        ("{repository}:{tag}-x", ["dir:rootfs"], "is in no registry"),
    ],
)
def test_nothing_is_overwritten(text: str, apps: list[str], reason: str) -> None:
    """Two apps with one target, and a target that is a source, are refused for the whole run."""
    with pytest.raises(Unable) as refused:
        find_targets(parse_template(text), [*apps, "r.io/fine:z"])
    assert reason in "\n".join(refused.value.lines())


def test_all_faults_are_said_at_once() -> None:
    """As many as can be read, and how many more there are."""
    with pytest.raises(Unable) as refused:
        find_targets(parse_template("{repository}:{tag}"), [f"r.io/app:{number}" for number in range(30)])
    assert refused.value.headline == "--to {repository}:{tag}: 30 apps can't go there"
    assert len(refused.value.have) == 11
    assert refused.value.have[-1] == "and 20 more"


@given(st.text(st.sampled_from("{}repositytag:/-.@ar0"), max_size=40), st.sampled_from(["r.io/a:1", "app", "x.y/b:v"]))
def test_never_anything_else_than_text(text: str, app: str) -> None:
    """Whatever the template, the target is what replacing the two words gives, or there is none."""
    source = source_of(app)
    try:
        target = parse_template(text).target(source)
    except InvalidTemplate:
        return
    put = text.replace("{repository}", f"{source.host}/{source.repository}").replace("{tag}", source.tag)
    assert "{" not in put
    assert str(target).endswith(put.partition("/")[2].rpartition("/")[2])
