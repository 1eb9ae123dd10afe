"""`metalauncher list`: every descriptor, its state, and where it comes from."""

from __future__ import annotations

import shutil
from pathlib import Path

from bundles import MACHINE, Tool, elf, release
from harness import REFERENCE_REGISTRY


def registry(tool: Tool, tmp_path: Path) -> tuple[Path, Path]:
    """Lay out one descriptor of every state; return both directories."""
    usr, etc = tool.root / "usr/lib/cnb/launchers.d", tool.root / "etc/cnb/launchers.d"
    launcher = elf(MACHINE)
    assert tool.on("bundle", "add", release(tmp_path, "0.21.17", launcher)).code == 0
    for version, options in (("0.20.20", ["--priority", "-1"]), ("0.19.0", ["--opt-in-env", "TRY"])):
        assert tool.on("bundle", "add", release(tmp_path, version, launcher), *options).code == 0
    etc.mkdir(parents=True)
    for name in ("buildpacks_lifecycle@0.17.7.toml", "buildpacks_lifecycle@0.9.3.toml"):
        shutil.copy(REFERENCE_REGISTRY / name, usr)
    (etc / "buildpacks_lifecycle@0.9.3.toml").symlink_to("/dev/null")
    (etc / "nothing.toml").write_text("[launcher]\nmasked = true\n")
    shutil.copy(usr / "buildpacks_lifecycle@0.20.20.toml", etc)
    (etc / "wrong.toml").write_text("[launcher\n")
    (usr / "wrong-too.toml").write_text('[launcher]\nid = "a/b"\nfrobnicate = 1\n')
    return usr, etc


def test_text(tool: Tool, tmp_path: Path) -> None:
    """In the order in which they are tried; what is left aside only with --all; a summary on stderr."""
    usr, etc = registry(tool, tmp_path)
    answer = tool.on("list")
    assert answer.code == 0
    assert [" ".join(line.split()) for line in answer.out.splitlines()] == [
        "LAUNCHER PLATFORM API BUILDPACK API STATE DESCRIPTOR",
        f"buildpacks/lifecycle@0.21.17 0.7 to 0.15 0.7 to 0.12 in effect {usr}/buildpacks_lifecycle@0.21.17.toml",
        f"buildpacks/lifecycle@0.19.0 0.7 to 0.13 0.7 to 0.10 in effect, with TRY"
        f" {usr}/buildpacks_lifecycle@0.19.0.toml",
        f"buildpacks/lifecycle@0.17.7 0.3 to 0.12 0.2 to 0.10 broken {usr}/buildpacks_lifecycle@0.17.7.toml",
        "no such file or directory",
        f"buildpacks/lifecycle@0.20.20 0.7 to 0.14 0.7 to 0.11 in effect, priority -1"
        f" {etc}/buildpacks_lifecycle@0.20.20.toml",
        f"- - - invalid {etc}/wrong.toml",
        "toml: Expected ']' at the end of a table declaration (at line 1, column 10)",
        f"- - - invalid {usr}/wrong-too.toml",
        "launcher.frobnicate: unknown key",
    ]
    assert answer.err == ("3 launchers in effect, 1 broken, 2 invalid, 1 overridden, 2 masked (shown with --all)\n")
    everything = tool.on("list", "--all").out
    assert everything.startswith(answer.out.splitlines()[0][:60])
    for text in (f"by {etc}/buildpacks_lifecycle@0.20.20.toml", "masks nothing", "lifecycle@0.9.3  "):
        assert text in everything


def test_json(tool: Tool, tmp_path: Path) -> None:
    """The document has every descriptor, whatever --all says."""
    usr, etc = registry(tool, tmp_path)
    document = tool.on("list", "--json").document
    assert document["directories"] == [str(etc), str(usr)]
    states = [(entry["state"], Path(entry["descriptor"]).name) for entry in document["launchers"]]
    assert states == [
        ("in-effect", "buildpacks_lifecycle@0.21.17.toml"),
        ("in-effect", "buildpacks_lifecycle@0.19.0.toml"),
        ("broken", "buildpacks_lifecycle@0.17.7.toml"),
        ("in-effect", "buildpacks_lifecycle@0.20.20.toml"),
        ("overridden", "buildpacks_lifecycle@0.20.20.toml"),
        ("masked", "buildpacks_lifecycle@0.9.3.toml"),
        ("masked", "nothing.toml"),
        ("invalid", "wrong.toml"),
        ("invalid", "wrong-too.toml"),
    ]
    masked = document["launchers"][5]
    assert masked["launcher"]["id"] == "buildpacks/lifecycle"
    assert masked["reason"] == f"by {etc}/buildpacks_lifecycle@0.9.3.toml"


def test_nothing(tool: Tool) -> None:
    """An empty root has nothing to list, and says where it looked."""
    answer = tool.on("list")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == (f"no descriptor in {tool.root}/etc/cnb/launchers.d or {tool.root}/usr/lib/cnb/launchers.d\n")


def test_root_of_the_environment(tool: Tool, tmp_path: Path) -> None:
    """Without --root, METALAUNCHER_ROOT counts, as for the dispatch."""
    registry(tool, tmp_path)
    answer = tool("list", environ={"METALAUNCHER_ROOT": str(tool.root)})
    assert "buildpacks/lifecycle@0.21.17" in answer.out
