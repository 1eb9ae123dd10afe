"""`metalauncher matrix`: the picture, the gaps and the smallest set agree with the release data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundles import TOOLING, Tool, lifecycle_toml, on_terminal
from harness import DATA, PROJECT

LINES: list[dict[str, Any]] = json.loads((DATA / "lifecycle_apis.json").read_text())["lines"]
PICTURES = sorted((TOOLING / "matrix").glob("*.txt"))


def use(tool: Tool, *versions: str, identifier: str = "buildpacks/lifecycle", more: str = "") -> None:
    """Give the root the descriptors of these lifecycle releases, without executables."""
    folder = tool.root / "usr/lib/cnb/launchers.d"
    folder.mkdir(parents=True, exist_ok=True)
    for version in versions:
        text = f'[launcher]\nid = "{identifier}"\n{more}{lifecycle_toml(version)}'
        (folder / f"{identifier.replace('/', '_')}@{version}.toml").write_text(text)


def test_there_are_pictures() -> None:
    """The glob finds the expected pictures."""
    assert len(PICTURES) >= 4


@pytest.mark.parametrize("picture", PICTURES, ids=[path.stem for path in PICTURES])
def test_picture(tool: Tool, picture: Path) -> None:
    """What each set of releases is drawn as; the file's first line names releases and options."""
    command, _, wanted = picture.read_text().partition("\n")
    versions, _, options = command.partition(" -- ")
    use(tool, *versions.split())
    answer = tool.on("matrix", *options.split())
    assert answer.out.replace(str(tool.root), "") == wanted
    assert answer.err == ""
    assert answer.code == int("--gaps" in options and "no gaps" not in wanted)


def exported() -> set[tuple[str, str]]:
    """Return every pair of a Platform and a Buildpack API that some release could export, from the data itself."""
    return {
        (platform, buildpack)
        for line in LINES
        for platform in line["apis"]["platform"]["supported"]
        for buildpack in line["apis"]["buildpack"]["supported"]
    }


def test_cells_are_the_release_data(tool: Tool) -> None:
    """A cell is a gap exactly where a release could export it and no launcher has both APIs."""
    use(tool, "0.21.17", "0.9.3")
    document = tool.on("matrix", "--json").document
    ours = [line["apis"] for line in LINES if line["to"] in ("0.21.17", "0.9.3")]
    assert len(document["cells"]) == 13 * 11
    for cell in document["cells"]:
        pair = cell["platform_api"], cell["buildpack_api"]
        served = any(
            pair[0] in apis["platform"]["supported"] and pair[1] in apis["buildpack"]["supported"] for apis in ours
        )
        assert (cell["launcher"] is not None, cell["exportable"]) == (served, pair in exported())


def test_two_launchers_leave_no_gap(tool: Tool) -> None:
    """0.17.7 and 0.21.17 serve all history, and are the smallest set that does, whatever else is installed."""
    wanted = ["buildpacks/lifecycle@0.21.17", "buildpacks/lifecycle@0.17.7"]
    assert [one["name"] for one in tool.on("matrix", "--json", "--minimal").document["minimal"]] == wanted
    use(tool, "0.17.7", "0.21.17", "0.9.3")
    document = tool.on("matrix", "--json", "--minimal").document
    assert document["gaps"] == []
    assert [(one["name"], one["installed"]) for one in document["minimal"]] == [(name, True) for name in wanted]


def test_smallest_set_prefers_what_is_installed(tool: Tool) -> None:
    """Of sets of one size, the one with more that is installed; else the newer launchers."""
    options = ("matrix", "--json", "--minimal", "--platform-apis", "0.7,0.8", "--buildpack-apis", ">=0.7,<=0.7")
    assert tool.on(*options).document["minimal"] == [
        {"name": "buildpacks/lifecycle@0.21.17", "version": "0.21.17", "installed": False}
    ]
    use(tool, "0.19.7")
    assert [one["name"] for one in tool.on(*options).document["minimal"]] == ["buildpacks/lifecycle@0.19.7"]
    answer = tool.on("matrix", "--minimal", "--platform-apis", "0.99")
    assert answer.out == "nothing is needed: no lifecycle release could export any of this\n"


def test_opt_in_does_not_count(tool: Tool) -> None:
    """A launcher that takes part only by opt-in serves no cell."""
    use(tool, "0.21.17", more='opt-in-env = "TRY"\n')
    assert {cell["launcher"] for cell in tool.on("matrix", "--json").document["cells"]} == {None}


def test_launchers_in_no_cell(tool: Tool) -> None:
    """One that others go before is not to look as if nobody needed it: apps that recorded no API do."""
    use(tool, "0.17.7")
    folder = tool.root / "usr/lib/cnb/launchers.d"
    (folder / "old.toml").write_text((PROJECT / "launchers.d/buildpacks_lifecycle@0.9.3.toml").read_text())
    said = "; serves apps that recorded no API, too"
    (line,) = [line for line in tool.on("matrix").out.splitlines() if line.startswith("B ")]
    assert line.endswith(f"old.toml): in no cell: other launchers are chosen first{said}")
    (folder / "buildpacks_lifecycle@0.17.7.toml").unlink()
    (line,) = [line for line in tool.on("matrix").out.splitlines() if line.startswith("A ")]
    assert line.endswith(f"old.toml){said}")


def test_far_majors(tool: Tool) -> None:
    """Versions from 1 on, and ranges, are drawn as far as they go."""
    folder = tool.root / "usr/lib/cnb/launchers.d"
    folder.mkdir(parents=True)
    apis = '[apis.platform]\nsupported = ["1.2"]\n[apis.buildpack]\nsupported = ">=0.11,<0.14"\n'
    (folder / "a.toml").write_text(f'[launcher]\nid = "a/b"\nversion = "1"\n{apis}')
    document = tool.on("matrix", "--json").document
    assert document["platform_apis"][-3:] == ["1.0", "1.1", "1.2"]
    assert document["buildpack_apis"][-2:] == ["0.12", "0.13"]


def test_limits_are_checked(tool: Tool) -> None:
    """A range that is open above, or no version, is refused."""
    answer = tool.on("matrix", "--platform-apis", ">=0.7")
    assert answer.code == 3
    assert answer.err.startswith("ERROR: --platform-apis: range '>=0.7' is open above")
    assert "'x' is not an API version" in tool.on("matrix", "--buildpack-apis", "x").err


def test_broken_descriptor_is_said(tool: Tool) -> None:
    """An invalid descriptor may be why there is a gap."""
    use(tool, "0.21.17")
    (tool.root / "usr/lib/cnb/launchers.d/b.toml").write_text("")
    assert tool.on("matrix").err.startswith("Warning: invalid descriptor: ")


def test_colour_on_a_terminal_only(tool: Tool) -> None:
    """A terminal gets colour, gaps in red, unless NO_COLOR is set; a pipe never does."""
    use(tool, "0.21.17")
    coloured = on_terminal(tool, "matrix", TERM="xterm")
    assert "\x1b[31;1m!\x1b[0m" in coloured
    assert "\x1b[32mA\x1b[0m" in coloured
    assert "\x1b" not in on_terminal(tool, "matrix", TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in tool.on("matrix").out


def test_nothing_raw_on_a_terminal(tool: Tool) -> None:
    """A descriptor's file name can't send escapes to a terminal, coloured or not."""
    use(tool, "0.21.17")
    folder = tool.root / "usr/lib/cnb/launchers.d"
    (folder / "buildpacks_lifecycle@0.21.17.toml").rename(folder / "a\x1b]0;title\x07.toml")
    for command in ("matrix", "list", "lint", "probe", "bundle"):
        words = ["bundle", "show"] if command == "bundle" else [command]
        for text in (on_terminal(tool, *words, TERM="xterm"), tool.on(*words).out):
            assert "\x1b]" not in text
            assert "\x07" not in text
