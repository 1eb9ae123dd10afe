"""What a check may have found: one app of each sort, and a hostile one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from making import reference_registry

from metalauncher.tooling.apps.check.findings import Findings, RunImage, find, rank
from metalauncher.tooling.apps.check.verdict import Before, Chosen, Result
from metalauncher.tooling.apps.launcher_inventory import OwnLauncher
from metalauncher.tooling.apps.made import Made

if TYPE_CHECKING:
    from metalauncher.descriptor import Launcher

NEW, OLD = Chosen("buildpacks/lifecycle", "0.21.17", "/l/21"), Chosen("buildpacks/lifecycle", "0.17.7", "/l/17")
OWN = OwnLauncher(
    *("0.17.7", "go1.26.8", "github.com/buildpacks/lifecycle", "ldflags", "/cnb/lifecycle/launcher"),
    *("sha256:" + "c" * 64, "sha256:" + "d" * 64, 2_621_440, (), "sha256:" + "e" * 64),
)
MADE = Made(datetime(2026, 11, 30, 9, 5, 7, tzinfo=UTC), "metalauncher check --from '<apps>.txt'")
HOSTILE = "evil/<script>alert(1)</script>\u202e\"'`|\\|@team\n[x](http://evil.example)\x1b[31m\udcff:x"
NODE, RUBY = (("acme/node", "0.10"),), (("acme/ruby", "0.2"), ("acme/node", "0.12"))


def launchers() -> tuple[Launcher, ...]:
    """Return those of a run image: the newest, the one before the cut, and one by opt-in."""
    return rank([one for one in reference_registry().launchers if one.version != "0.9.3"])


def results() -> list[Result]:
    """Return one of each sort, and a hostile one."""
    return [
        Result("shop/a:1", "sha256:" + "a" * 64, "starts", "the newest", NEW, None, "0.12", NODE, "shim"),
        Result("shop/b:1", None, "starts", "the only one", OLD, None, "0.4", (("acme/old", "0.3"),), "symlink"),
        Result("shop/c:1", None, "keeps-own-launcher", "a program of its own", route="binary", own_launcher=OWN),
        Result("shop/d:1", None, "unknown", "registry answered 403", remedy="log in"),
        Result("shop/e:1", None, "refused", "no single one", None, 12, "0.15", RUBY, "shim", "rebuild it", ("odd",)),
        Result(
            "shop/f:1", None, "refused", "lacks 0.2", None, 12, "0.15", RUBY, before=Before("starts", OLD), remedy="add"
        ),
        Result("shop/g:1", None, "does-not-start", "leads nowhere", None, 127, "0.12", NODE, "symlink", "link it"),
        Result(HOSTILE, None, "refused", HOSTILE, None, 11, "0.99\x1b[1m", ((HOSTILE, HOSTILE),), remedy=HOSTILE),
        Result("shop/h:1", None, "refused", "recorded nothing", None, 11, None, (("acme/older", None),)),
    ]


def findings(more: int = 0, unchecked: int = 0) -> Findings:
    """Return all that was found."""
    image = RunImage("acme/run:<new>", "sha256:" + "b" * 64, launchers())
    found = results() + [results()[0]._replace(app=f"fleet/team-{n % 9}/app-{n}:1") for n in range(more)]
    return find(
        image,
        found,
        against="acme/run:<old>",
        platform="linux/amd64",
        unchecked=unchecked,
        bundles=["buildpacks/lifecycle@0.9.3"],
    )
