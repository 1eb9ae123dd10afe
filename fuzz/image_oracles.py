"""What must be true of whatever names, archives, logins and challenges of registries the tooling is given.

Each raises AssertionError for a finding. Plain Python, so that the tests replay the corpus without a fuzzer.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import tarfile
import time
from typing import TYPE_CHECKING, Any, Final

from oracles import bench, printed

from metalauncher.tooling.console import Unable
from metalauncher.tooling.oci.http.authorize import Authorizer
from metalauncher.tooling.oci.http.challenge import Challenge, parse_challenges, parse_retry_after
from metalauncher.tooling.oci.http.credentials import read_credentials
from metalauncher.tooling.oci.http.deadlines import Deadline, TransportError
from metalauncher.tooling.oci.http.request import Access, Body
from metalauncher.tooling.oci.image import Image, load_image
from metalauncher.tooling.oci.layer_reader import open_layer
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.reference import InvalidReference, Reference
from metalauncher.tooling.oci.sources.stores import open_local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TROUBLES = {"absent", "ambiguous", "denied", "unsupported", "damaged", "too-large", "unreachable"}
EXPANDED_LIMIT = 1 << 20
_number = itertools.count()

# distribution/reference, regexp.go: ReferenceRegexp; what it admits and no client can use is told apart below.
_DOMAIN = (
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[a-fA-F0-9:]+\])"
)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?P<domain>{_DOMAIN}(?::[0-9]+)?/)?{_PART}(?:/{_PART})*)(?::(?P<tag>[A-Za-z0-9_][\w.-]{{0,127}}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?",
    re.ASCII,
)


def reference(data: bytes) -> None:
    """Check an image's reference: one that is written back as it was read, or a reason that can be printed."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        found = parse_location(text)
    except ValueError as error:
        printed([str(error)])
        return
    assert found.place, "names nothing"
    assert parse_location(str(found)) == found, f"{found} is read otherwise"
    if found.kind != "registry":
        assert found.tag != "", "an empty name"
        return
    match = _REFERENCE.fullmatch(found.place)
    try:
        name = Reference.parse(found.place)
    except InvalidReference as error:
        printed([str(error)])
        # What every client takes is taken here, but for ports that there are not, IDs, what is too long, and a host
        # without a dot or a colon, which all of them take for a part of a repository.
        usable = match and len(match["name"]) < 250 and len(found.place) <= 1024
        odd = r":(?:0+|\d{5,})/|^[0-9a-f]{64}|library/[0-9a-f]{64}|^\[[0-9a-fA-F]+\]/"
        if usable and match and not re.search(odd, found.place):
            raise AssertionError(f"{found.place!r} is refused: {error}") from None
        return
    assert match, f"{found.place!r} is no name"
    assert (name.tag or "", name.digest) == (
        match["tag"] or ("" if match["digest"] else "latest"),
        match["digest"] or "",
    )
    assert Reference.parse(str(name)) == name, f"{name} is read otherwise"
    assert str(name).isascii() and str(name).isprintable(), str(name)
    assert name.api_host == name.api_host.lower()
    assert name.reference in {name.digest, name.tag}


_CONFIG = json.dumps(
    {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
).encode()
_CONFIG_DIGEST = hashlib.sha256(_CONFIG).hexdigest()
_MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": f"sha256:{_CONFIG_DIGEST}",
            "size": len(_CONFIG),
        },
        "layers": [],
    }
).encode()
_MANIFEST_DIGEST = hashlib.sha256(_MANIFEST).hexdigest()
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def _tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _archives(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield kinds of archives and contents: the input's first byte says what the rest is."""
    kind, rest = data[:1], data[1:]
    blobs = {f"blobs/sha256/{_CONFIG_DIGEST}": _CONFIG, f"blobs/sha256/{_MANIFEST_DIGEST}": _MANIFEST}
    config = f"{_CONFIG_DIGEST}.json"
    if kind == b"i":
        yield "oci-archive", _tar({"oci-layout": _LAYOUT, "index.json": rest, **blobs})
    elif kind == b"d":
        yield "docker-archive", _tar({config: _CONFIG, "layer.tar": b"", "manifest.json": rest})
    elif kind == b"c":
        listing = [{"Config": "config.json", "RepoTags": ["app:1"], "Layers": []}]
        yield "docker-archive", _tar({"config.json": rest, "manifest.json": json.dumps(listing).encode()})
    elif kind == b"l":
        diff_id = f"sha256:{hashlib.sha256(rest).hexdigest()}"
        image = json.loads(_CONFIG) | {"rootfs": {"type": "layers", "diff_ids": [diff_id]}}
        listing = [{"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["layer.tar"]}]
        members = {"config.json": json.dumps(image).encode(), "layer.tar": rest}
        yield "docker-archive", _tar({**members, "manifest.json": json.dumps(listing).encode()})
    else:
        yield "docker-archive", rest
        yield "oci-archive", rest


def archive(data: bytes) -> None:
    """Check archives of images, whole or index by index: an image that is what its digests say, or an ImageError."""
    for kind, content in _archives(data):
        # Another name each time: what is known of an archive is kept by its name and state.
        file = bench().root / f"archive-{next(_number)}"
        file.write_bytes(content)
        try:
            for tag in (None, "app:1", "docker.io/library/app:1", "@0", "@1", "1"):
                with _images_only():
                    store = open_local(parse_location(f"{kind}:{file}" + ("" if tag is None else f":{tag}")))
                    descriptor, top = store.top()
                    assert (
                        descriptor.digest == f"sha256:{hashlib.sha256(top).hexdigest()}"
                        or "sha512" in descriptor.digest
                    )
                    assert descriptor.size == len(top)
                    _read(load_image(store, "linux/amd64"))
        finally:
            file.unlink()


def _read(image: Image) -> None:
    assert json.loads(json.dumps(image.config)) == image.config
    printed([f"{key}={value}" for key, value in image.labels.items()])
    for layer in image.layers:
        with open_layer(image.store, layer, EXPANDED_LIMIT, diff_id=True) as members:
            for member in members:
                assert not member.path.startswith("/"), member.path
                assert ".." not in member.path.split("/"), member.path


@contextlib.contextmanager
def _images_only() -> Iterator[None]:
    """See that nothing but an ImageError comes out, and that it says something that can be printed."""
    try:
        yield
    except ImageError as error:
        assert error.kind in TROUBLES, error.kind
        assert error.reason, "no reason"
        printed([error.reason])


HOSTS = ("registry.example", "docker.io", "localhost:5000", "REGISTRY.example")
REPOSITORIES = ("org/app", "library/app", "a")


def credentials(data: bytes) -> None:
    """Check a file with logins: one for a repository, none, or an error that tells no secret."""
    file = bench().put(data)
    # No helper is ever found, and so none is started.
    environment = {b"REGISTRY_AUTH_FILE": file, b"PATH": b"/nonexistent", b"HOME": b"/nonexistent"}
    try:
        found = read_credentials(environment)
    except Unable as error:
        printed([error.headline, error.need, *error.have, error.do, error.command])
        assert os.fsdecode(file) in error.headline, error.headline
        return
    for host, repository in itertools.product(HOSTS, REPOSITORIES):
        try:
            login = found.find(host, repository)
        except ImageError as error:
            assert error.kind == "denied", error.kind
            printed([error.reason])
            continue
        if login is None:
            continue
        for secret in (login.password, login.identity_token):
            assert len(secret) < 8 or secret in login.username or secret not in repr(login), "a secret is shown"
        header = login.basic()
        assert re.fullmatch(r"Basic [A-Za-z0-9+/]*={0,2}", header), header


_LOGINS = json.dumps(
    {
        "auths": {
            "registry.example": {"auth": "YW5uOnZlcnktc2VjcmV0"},
            "token.example": {"identitytoken": "identity-secret"},
        }
    }
).encode()
_SECRETS = ("very-secret", "YW5uOnZlcnktc2VjcmV0", "identity-secret")
_AUTHORIZATION = re.compile(r"(?:Basic|Bearer) [\x21-\x7e]+")


class _Answer:
    """A token server's."""

    def __init__(self, data: bytes) -> None:
        self.status: Final = data[0] * 2 + 90 if data[:1] > b"\x7f" else 200
        self.data: Final = data
        self.host: Final = "token server"
        self.redirected: Final = False
        self.limited: Final = self.status == 429

    def whole(self, limit: int, what: str) -> bytes:
        """Return what it holds."""
        assert what
        return self.data[:limit]

    def words(self, secrets: tuple[str, ...]) -> str:
        """Return what it says of an error."""
        del secrets
        return ""


class _Transport:
    """Asks nobody, and looks at what would be asked."""

    def __init__(self, data: bytes) -> None:
        self._data: Final = data

    @staticmethod
    def may_be_plain(host: str) -> bool:
        """Return whether a host is named as insecure."""
        del host
        return False

    @contextlib.contextmanager
    def request(
        self, method: str, url: str, headers: dict[str, str], deadline: Deadline, body: Body | None = None
    ) -> Iterator[_Answer]:
        """Answer with the rest of the input."""
        del deadline
        assert method in {"GET", "POST"}
        assert url.isascii() and url.isprintable() and " " not in url, url
        assert re.match(r"https://[^/?#@]+(?:[/?#]|$)", url, re.IGNORECASE), url
        assert not any(secret in url for secret in _SECRETS), url
        for name, value in headers.items():
            assert re.fullmatch(r"[A-Za-z-]+: [\x20-\x7e]+", f"{name}: {value}"), (name, value)
        assert body is None or (method == "POST" and _sent(body).isascii())
        yield _Answer(self._data)


def _sent(body: Body) -> bytes:
    """Return what a request sends."""
    with body.open_source() as source:
        data = source.read(body.size + 1)
    assert len(data) == body.size
    return data


def challenge(data: bytes) -> None:
    """Check what a registry asks for: headers parted by NUL, and after an empty one what its token server answers.

    What is said to it is one line that a header can hold, and no secret goes into a URL.
    """
    parts = data.split(b"\0")
    middle = parts.index(b"") if b"" in parts else len(parts)
    headers = [part.decode("latin-1") for part in parts[:middle]]
    challenges = parse_challenges(headers)
    _check_challenges(challenges)
    for header in headers:
        seconds = parse_retry_after(header, 0.0)
        assert seconds >= 0, seconds
    file = bench().put(_LOGINS)
    logins = read_credentials({b"REGISTRY_AUTH_FILE": file, b"PATH": b"/nonexistent"})
    transport: Any = _Transport(b"\0".join(parts[middle + 1 :]))
    for host in ("registry.example", "token.example", "nobody.example"):
        authorizer = Authorizer(transport, logins, time.monotonic)
        deadline = Deadline(60, time.monotonic)
        refused = ""
        for _ in range(2):
            try:
                refused = authorizer.asked(host, Access("org/app"), challenges, refused, deadline)
            except (ImageError, TransportError) as error:
                reason = error.reason
                assert reason, "no reason"
                assert not any(secret in reason for secret in _SECRETS if secret.encode() not in data), reason
                printed([reason])
                break
            assert _AUTHORIZATION.fullmatch(refused), refused
            assert authorizer.known(host, Access("org/app"), deadline) == refused
            assert authorizer.known("another.example", Access("org/app"), deadline) == ""


def _check_challenges(challenges: list[Challenge]) -> None:
    """Written in the plainest way, they are read as the same."""
    lines = []
    for one in challenges:
        assert one.scheme == one.scheme.lower() != "", one
        values = [(name, re.sub(r'(["\\])', r"\\\1", value)) for name, value in one.parameters.items()]
        lines.append(f"{one.scheme} " + ", ".join([f'{name}="{value}"' for name, value in values]))
    short = [line for line in lines if len(line) < 4096]
    assert parse_challenges(short) == [one for one, line in zip(challenges, lines, strict=True) if len(line) < 4096]


ORACLES: dict[str, Callable[[bytes], None]] = {
    "reference": reference,
    "archive": archive,
    "credentials": credentials,
    "challenge": challenge,
}
