"""What `patch` may have planned and done: one app of each sort, and a hostile one."""

from __future__ import annotations

from datetime import UTC, datetime

from metalauncher.tooling.apps.launcher_inventory import OwnLauncher
from metalauncher.tooling.apps.made import Made
from metalauncher.tooling.apps.patch.entry import Entry, Progress, Proof, Referrer
from metalauncher.tooling.apps.patch.findings import Findings, find
from metalauncher.tooling.apps.patch.journal import Asked

MADE = Made(datetime(2026, 11, 30, 9, 5, 7, tzinfo=UTC), "metalauncher patch --apply 'p<l>an.jsonl'")
HOSTILE = "evil/<script>alert(1)</script>\u202e\"'`|\\|@team\n[x](http://evil.example)\x1b[31m\udcff:x"
SHOWN = r"""evil/<script>alert(1)</script>\u202e"'`|\|@team\n[x](http://evil.example)\x1b[31m\udcff:x"""
OLD, NEW, LAYER = (f"sha256:{digit * 64}" for digit in "abc")
OWN = OwnLauncher("0.17.7", "go1.26.8", "github.com/buildpacks/lifecycle", "ldflags", "/cnb/lifecycle/launcher", LAYER)
INSIDE = Proof("inside", "", LAYER, "starts", "the newest", "a/b@2", (), 2, 1)
NAMED = Proof("named", "r.io/run:1", OLD, "starts", "the only one", "a/b@2", ("lifecycle-layers",), 1, 0)
SIGNED = (Referrer(OLD, "application/vnd.dev.sigstore"), Referrer(NEW, "application/spdx+json"))
ASKED = Asked("symlink", "{repository}:{tag}-<shim>", (LAYER,), True, "linux/amd64", 6, OLD)


def going(app: str) -> Entry:
    """Return the plan for an app that is written."""
    return Entry(
        *(app, "planned", "", "", "", "", f"{app}-shim", OLD, NEW, "linux/amd64", "keeps-own-launcher"),
        *((INSIDE, NAMED), OWN, LAYER, 5 << 10, 4, 7 << 20, SIGNED),
    )


def entries() -> list[Entry]:
    """Return one of each sort, and a hostile one."""
    evil = OwnLauncher(HOSTILE, HOSTILE, HOSTILE, "label")
    bad = Proof("named", HOSTILE, OLD, "unknown", HOSTILE, HOSTILE, (HOSTILE,), 0, 0)
    return [
        going("r.io/a:1"),
        going("r.io/b:1"),
        Entry("r.io/c:1", "left-alone", "not-matched", "its layer is another", target="r.io/c:1-shim", launcher=OWN),
        Entry("r.io/d:1", "refused", "index", "it is an index", "name a platform", "metalauncher patch --platform x"),
        Entry("r.io/e:1", "failed", "unreachable", "registry answered 503", "run it again", target="r.io/e:1-shim"),
        Entry(
            *(HOSTILE, "refused", HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, OLD, None, HOSTILE, None, (bad,)),
            *(evil, None, 0, 0, 0, (Referrer(OLD, HOSTILE),)),
        ),
    ]


def findings(more: int = 0, *, applied: bool = False) -> Findings:
    """Return a run of these apps, and of more of which nothing is odd; applied, the second one is written."""
    found = [*entries(), *[going(f"fleet/team-{n % 9}/app-{n}:1") for n in range(more)]]
    done = {"r.io/b:1": Progress("r.io/b:1", "written", digest=NEW, sent=4 << 10, proofs=(INSIDE, NAMED))}
    asked = ASKED._replace(apps=len(found))
    return find(asked, "p<l>an.jsonl", {one.app: one for one in found}, done if applied else {}, applied=applied)
