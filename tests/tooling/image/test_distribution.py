"""image/distribution.py: what CNB asks of a run image and a base lacks, with the values of its os-release."""

from __future__ import annotations

import pytest
from images import base as make_base
from images import file, folder, link, pack
from kit import Kit

NAME, VERSION = (f"io.buildpacks.base.distro.{each}" for each in ("name", "version"))


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("NAME='Debian GNU/Linux'\nID=debian\nVERSION_ID=\"12\" # x\n", f"{NAME}=debian {VERSION}=12"),
        ("ID='acme\nVERSION_ID=1\n", f"{NAME}=NAME {VERSION}=1: not in its /etc/os-release"),
        ("ID=a b\nVERSION_ID='$(x)'\n\x1b", f"{NAME}=NAME {VERSION}=VERSION: not in its /etc/os-release"),
    ],
    ids=["both", "one", "none"],
)
def test_distribution_of_the_base(kit: Kit, release: str, said: str) -> None:
    """The labels of the distribution are said with the base's values, those that can stand there as they are."""
    place = link("etc/os-release", "../usr/lib/os-release")
    layer = pack([folder("etc"), place, folder("usr"), folder("usr/lib"), file("usr/lib/os-release", release.encode())])
    answer = kit.tool(*kit.options(base=make_base(kit.folder / "base", [layer], "12", User="cnb")))
    assert answer.code == 0
    assert f"lacks what CNB asks of a run image: its distribution (LABEL {said}): platforms may refuse" in answer.err


def test_empty_base(kit: Kit) -> None:
    """An empty base lacks what CNB asks as well."""
    answer = kit.tool(*kit.options(base="scratch"))
    assert answer.err.startswith(
        "Warning: --base scratch lacks what CNB asks of a run image: a user that is not root ("
    )
    assert f"its distribution (LABEL {NAME}=NAME {VERSION}=VERSION" in answer.err
