"""README.md is short, and tells the truth: its commands run, its table has them all."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from bundles import elf, release
from containers import need
from fleets import stock
from harness import PROJECT
from images import Layout, config_of, folder, pack
from pages import blocks, follow
from registries import start_registry

from metalauncher.tooling.cli.model import outline

PAGE = PROJECT / "README.md"
README = PAGE.read_text()


def test_outline() -> None:
    """The README is short, says first what this is, and its first commands show it at work and test it."""
    lines = README.splitlines()
    assert len(lines) <= 110
    assert max(map(len, lines)) <= 140
    assert re.findall(r"^## (\w+)", README, flags=re.MULTILINE) == [
        "Try", "Install", "Vendors", "Platforms", "On", "How", "Commands", "Configuration", "Limits", "Pages"
    ]  # fmt: skip
    assert re.match(r"\$ make demo .*\n\$ make test .*\n$", blocks(PAGE, "console")[0])


def test_table_of_commands() -> None:
    """The README's table has every command that there is, and no other."""
    table = README.partition("## Commands")[2].partition("\n## ")[0]
    cells = re.findall(r"^\|[^|]*\|([^|]*)\|$", table, flags=re.MULTILINE)
    listed = {word for cell in cells for word in re.findall(r"`([a-z]+)`", cell)}
    assert listed == {command.path[0] for command in outline() if command.path and command.path[0].isalpha()}


def test_commands_of_vendors(tmp_path: Path) -> None:
    """The four commands build, push and check a run image that is clean, and has no gap."""
    need("docker-registry")
    for version in ("0.17.7", "0.21.17"):
        release(tmp_path, version, elf(size=int(version.split(".")[1]) * 100))
    of_cnb = {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "12"}
    layout, layer = Layout(tmp_path / "debian"), pack([folder("/etc")])
    config = config_of([layer], User="1000:1000", Labels=of_cnb)
    layout.add(config, [layout.put(layer.data, layer.media_type)], "12")
    layout.save()
    stock(tmp_path / "registry", layout, {"debian:12": "12"})
    with contextlib.closing(start_registry(tmp_path / "registry")) as registry:
        names = {"debian:12": f"{registry.host}/debian:12", "registry.example.com": registry.host}
        assert follow(PAGE, tmp_path, names, outputs=False) == 4
