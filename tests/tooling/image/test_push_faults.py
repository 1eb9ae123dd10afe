"""`image --push` to a registry that fails, wants logins or has other writers: a tag names the old image or the new."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import SECRET
from bundles import Answer
from faults import FAULTS, Tokens
from images import Layout
from keeping import Fault, Faults, Kept, error, keeping
from kit import Kit, debian
from patching import KeptRegistry
from registries import Certificate, HostileRegistry, Reply, Request, auth, basic, hostile, make_certificate

from metalauncher.tooling.oci import uploads

BASE, RUN = "team/debian", "team/run"


class Yard:
    """A base in a registry, and run images that are pushed beside it."""

    def __init__(self, kit: Kit, kept: Kept, server: HostileRegistry) -> None:
        """Put the base in, without a request."""
        self.kit, self.kept, self.server = kit, kept, server
        debian(kit)
        layout = Layout(kit.folder / "base")
        (entry,) = layout.entries
        manifest = layout.read(entry["digest"])
        self.layers = [layer["digest"] for layer in manifest["layers"]]
        digests = [manifest["config"]["digest"], *self.layers]
        KeptRegistry(kept, server).push(
            BASE,
            blobs=[layout.blob(digest).read_bytes() for digest in digests],
            manifests=[("12", layout.blob(entry["digest"]).read_bytes())],
        )
        self.before = dict(kept.blobs[BASE]), dict(kept.tags[BASE])
        self.environ: dict[str, str] = {}

    def push(self, *more: str | Path) -> Answer:
        """Push; whatever comes of it, the base is as before, and a tag names nothing or a whole image."""
        command = self.kit.options("--timeout", "3", *more, base=f"{self.server.host}/{BASE}:12")
        at = command.index("--out")
        del command[at : at + 2]
        answer = self.kit.tool(*command, "--push", self.target, environ=self.environ)
        assert (self.kept.blobs[BASE], self.kept.tags[BASE]) == self.before
        for digest in self.kept.tags[RUN].values():
            document = json.loads(self.kept.manifests[RUN][digest][1])
            needed = {part["digest"] for part in (document["config"], *document["layers"])}
            assert needed <= self.kept.blobs[RUN].keys()
        return answer

    @property
    def target(self) -> str:
        """Where to."""
        return f"{self.server.host}/{RUN}:1"

    @property
    def tag(self) -> str | None:
        """What it names."""
        return self.kept.tags[RUN].get("1")

    def asked(self, method: str, path: str) -> list[Request]:
        """Return the requests of a kind."""
        return [one for one in self.server.asked() if one.method == method and re.search(path, one.path)]


@contextlib.contextmanager
def running(kit: Kit, kept: Kept, tls: Certificate | None = None) -> Iterator[Yard]:
    """Run a registry with a base."""
    with keeping(kept, tls) as server:
        yield Yard(kit, kept, server)


@pytest.fixture
def yard(kit: Kit, kept: Kept) -> Iterator[Yard]:
    """Return a base in a registry that anybody may write to."""
    with running(kit, kept) as found:
        yield found


@pytest.mark.parametrize(("name", "mounts"), [*[(name, True) for name in FAULTS], ("500", False), ("cut", False)])
def test_faults(name: str, mounts: bool, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it answers in between, the tag is as before or as after; the same command completes, with one digest."""
    monkeypatch.setattr(uploads, "CHUNK", 4000)  # a layer of several
    yard.kept.mounts = mounts
    yard.kept.faults = FAULTS[name]()
    for _ in range(6):
        answer = yard.push("--json")
        if answer.code == 0:
            break
        assert (answer.code, answer.err.splitlines()[0].partition(": ")[0]) == (3, "ERROR")
    assert answer.code == 0, answer
    assert yard.tag == answer.document["manifest"]
    yard.kept.faults = lambda _, __: None
    again = yard.push("--json").document
    assert again["pushed"] == [{"image": yard.target, "sent": 0, "was_there": True}]
    assert again["manifest"] == yard.tag


def test_bytes(yard: Yard) -> None:
    """The base is read once, to know what is in it; none of it is sent. Again, nothing is moved either way."""
    document = yard.push("--json").document
    reads = Counter([one.path.rpartition("/")[2] for one in yard.asked("GET", f"{BASE}/blobs/")])
    assert {reads[digest] for digest in yard.layers} == {1}
    sent = sum([len(one.body) for one in yard.server.asked() if "sessions" in one.path])
    config = json.loads(yard.kept.manifests[RUN][yard.tag or ""][1])["config"]["size"]
    assert sent == document["pushed"][0]["sent"] == document["layer"]["size"] + config
    assert len(yard.asked("POST", "mount=")) == len(yard.layers)


def test_mounts_that_are_refused(yard: Yard) -> None:
    """202 is an upload that begins: the layer is sent in it; what is there already is not."""
    yard.kept.mounts = False
    document = yard.push("--json").document
    sizes = {digest: len(yard.kept.blobs[BASE][digest]) for digest in yard.layers}
    config = json.loads(yard.kept.manifests[RUN][yard.tag or ""][1])["config"]["size"]
    assert document["pushed"][0]["sent"] == sum(sizes.values()) + document["layer"]["size"] + config
    assert len(yard.asked("POST", "uploads/")) == 4  # the sessions that refused mounts begin are used


def test_mounts_that_are_none(yard: Yard) -> None:
    """What a registry says that it mounted, and has not, is sent; so is what is gone of an image that was there."""
    mounted = Reply("201 Created")
    yard.kept.faults = lambda request, _: mounted if "mount=" in request.path else None
    document = yard.push("--json").document
    assert document["manifest"] == yard.tag
    base = sum([len(yard.kept.blobs[BASE][digest]) for digest in yard.layers])
    assert document["pushed"][0]["sent"] > base
    gone = yard.kept.blobs[RUN].pop(yard.layers[0])
    sizes = [{"image": yard.target, "sent": len(gone), "was_there": True}]
    assert yard.push("--json").document["pushed"] == sizes


def _guarded(wants: str) -> Faults:
    challenge = {"WWW-Authenticate": 'Basic realm="x"'}
    return lambda request, _: (
        None if request.headers.get("Authorization") == wants else Reply("401 Unauthorized", headers=challenge)
    )


def _log_in(yard: Yard, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"auths": {yard.server.host: {"auth": auth("ann", SECRET)}}}))
    yard.environ = {"DOCKER_CONFIG": str(folder)}


def test_basic_login_over_tls(kit: Kit, kept: Kept, tmp_path: Path) -> None:
    """Without a login, and without trust, nothing is written, and it is said what helps; with both all is done."""
    certificate = make_certificate(tmp_path)
    with running(kit, kept, certificate) as yard:
        kept.faults = _guarded(basic("ann", SECRET))
        trust = ("--ca-file", certificate.file)
        answer = yard.push(*trust)
        assert (answer.code, "wants a login" in answer.err.splitlines()[0]) == (3, True)
        assert answer.err.endswith(
            f"  do:      skopeo login {yard.server.host}\n".replace("  do:      ", "           ")
        )
        _log_in(yard, tmp_path)
        answer = yard.push()
        assert (answer.code, "ertificate" in answer.err.splitlines()[0], yard.tag) == (3, True, None)
        answer = yard.push("--json", *trust)
        assert (answer.code, answer.document["manifest"]) == (0, yard.tag)
        assert SECRET not in answer.err


@pytest.mark.parametrize("refused", [(), (f"repository:{BASE}:pull",), (f"repository:{RUN}:pull,push",)])
def test_bearer_login(refused: tuple[str, ...], yard: Yard, tmp_path: Path) -> None:
    """One token is for writing the target and reading the base; who gets none is told whom to log in as."""
    tokens = Tokens()
    with hostile(tokens.give) as giving:
        yard.kept.faults = tokens.want(f"http://{giving.host}/token")
        _log_in(yard, tmp_path)
        tokens.refused = set(refused)
        answer = yard.push("--json")
    if refused:
        assert (answer.code, yard.tag, yard.kept.blobs[RUN]) == (3, None, {})
        assert f" skopeo login {yard.server.host}\n" in answer.err
    else:
        assert (answer.code, answer.document["manifest"]) == (0, yard.tag)
        assert [f"repository:{BASE}:pull", f"repository:{RUN}:pull,push"] in [sorted(one) for one in tokens.asked]
        assert len(tokens.asked) <= 3
        assert answer.document["pushed"][0]["sent"] < 200_000


SAID: dict[str, tuple[Reply, str]] = {
    "Docker Hub": (
        error("400 Bad Request", "TAG_INVALID", "the tag is immutable"),
        "does not allow moving the tag 1: it",
    ),
    "Harbor": (
        error("412 Precondition Failed", "PRECONDITION", "configured as immutable"),
        "does not allow moving the tag",
    ),
    "denied": (error("403 Forbidden", "DENIED", "you may not"), "denies access: it answered 403"),
    "full": (error("413 Content Too Large", "SIZE_INVALID", "too much"), "refused: it answered 413"),
    "down": (error("500 Internal Server Error", "UNKNOWN"), "answered 500"),
}


def _writes(request: Request) -> bool:
    return request.method == "PUT" and request.path.endswith("manifests/1")


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("force", [False, True])
def test_tags_that_are_not_taken(name: str, force: bool, yard: Yard) -> None:
    """What the registry says is said, with what to do; the tag is as it was, with --force too."""
    reply, message = SAID[name]
    old = yard.kept.tags[BASE]["12"]
    if force:
        yard.kept.manifests[RUN][old] = yard.kept.manifests[BASE][old]
        yard.kept.blobs[RUN].update(yard.kept.blobs[BASE])
        yard.kept.tags[RUN]["1"] = old
    yard.kept.faults = lambda request, _: reply if _writes(request) else None
    answer = yard.push(*(("--force",) if force else ()))
    assert (answer.code, answer.out, yard.tag) == (3, "", old if force else None)
    first, *_, last = answer.err.splitlines()
    assert first.startswith(f"ERROR: --push {yard.target}: ")
    assert message in first
    assert "skopeo" in last
    yard.kept.faults = lambda _, __: None
    assert yard.push(*(("--force",) if force else ())).code == 0


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("force", [True, False])
def test_another_writer(force: bool, conditional: bool, yard: Yard) -> None:
    """Who writes the tag between two looks at it keeps what was written: --force is for what was there before."""
    theirs = yard.kept.tags[BASE]["12"]
    yard.kept.conditional = conditional
    yard.kept.blobs[RUN].update(yard.kept.blobs[BASE])

    def faults(request: Request, _: int) -> Fault:
        if request.method == "PUT" and "manifests/sha256" in request.path:
            yard.kept.manifests[RUN][theirs] = yard.kept.manifests[BASE][theirs]
            yard.kept.tags[RUN]["1"] = theirs
        return None

    yard.kept.faults = faults
    answer = yard.push(*(("--force",) if force else ()))
    assert (answer.code, yard.tag) == (3, theirs)
    assert "somebody else moved the tag 1: it names " in answer.err.splitlines()[0]
    yard.kept.faults = lambda _, __: None
    assert yard.push().code == 3
    assert (yard.push("--force").code, yard.tag == theirs) == (0, False)


def test_a_mirror_is_not_written_to_or_believed(yard: Yard) -> None:
    """The base may come from a mirror, which knows nothing of the target: that is read at its own registry."""

    def stale(request: Request) -> Reply:
        if f"/{RUN}/manifests/" in request.path:
            kind, data = yard.kept.manifests[BASE][yard.kept.tags[BASE]["12"]]
            return Reply(body=data, headers={"Content-Type": kind})
        return Reply("404 Not Found")

    with hostile(stale) as mirror:
        answer = yard.push("--json", "--mirror", f"{yard.server.host}=http://{mirror.host}")
        assert (answer.code, answer.document["manifest"]) == (0, yard.tag), answer.err
        assert {one.method for one in mirror.requests} <= {"GET", "HEAD"}
