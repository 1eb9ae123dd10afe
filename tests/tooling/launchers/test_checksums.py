"""Files of checksums: what programs write, by the programs themselves where they are there, and what is refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from bundles import Tool, directory, entry, pack, release, release_members, tree
from hypothesis import given
from hypothesis import strategies as st

from metalauncher.tooling.launchers.checksums import NoDigest, digest_for, parse_digest

NAME = "lifecycle-v0.21.17+linux.x86-64.tgz"
HEX = hashlib.sha256(b"it").hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()
SHA512 = hashlib.sha512(b"it").hexdigest()

FORMS: dict[str, bytes] = {
    "gnu": f"{HEX}  {NAME}\n".encode(),
    "binary": f"{HEX} *{NAME}\n".encode(),
    "tag": f"SHA256 ({NAME}) = {HEX}\n".encode(),
    "openssl 1": f"SHA256({NAME})= {HEX}\n".encode(),
    "openssl 3": f"SHA2-256({NAME})= {HEX}\n".encode(),
    "lifecycle": f"{NAME} {HEX}\n".encode(),
    "colon": f"{NAME}: {HEX}\n".encode(),
    "prefix": f"sha256:{HEX}  {NAME}\n".encode(),
    "alone": HEX.encode(),
    "alone with prefix": f"sha256:{HEX}\n".encode(),
    "upper case": f"{HEX.upper()}  {NAME}\n".encode(),
    "windows": f"\ufeff{HEX}  {NAME}\r\n".encode(),
    "utf-16": f"{HEX}  {NAME}\r\n".encode("utf-16"),
    "powershell": f"Algorithm  Hash  Path\n---  ---  ---\nSHA256     {HEX}     C:\\Down loads\\{NAME}\n".encode(),
    "certutil": f"SHA256 hash of {NAME}:\n{HEX}\nCertUtil: -hashfile command completed.\n".encode(),
    "folder": f"{HEX}  ./out/linux/{NAME}\n".encode(),
    "zero": f"{OTHER}  a\0{HEX}  {NAME}\0".encode(),
    "tabs": f"{HEX}\t{NAME}\n".encode(),
    "comment": f"# made by hand\n\n{OTHER}  other.tgz\n{HEX}  {NAME}\n".encode(),
    "other kinds": f"{SHA512}  {NAME}\nMD5 ({NAME}) = {HEX[:32]}\nSHA256 ({NAME}) = {HEX}\n".encode(),
    "signed": (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{HEX}  {NAME}\n-----BEGIN PGP SIGNATURE-----\n\n"
        "iQIzBAEBCgAdFiEE\n-----END PGP SIGNATURE-----\n"
    ).encode(),
    "twice the same": f"{HEX}  a/{NAME}\n{HEX}  b/{NAME}\n".encode(),
    "large": b"".join([f"{hashlib.sha256(b'%d' % n).hexdigest()}  other-{n}.tgz\n".encode() for n in range(50_000)])
    + f"{HEX}  {NAME}\n".encode(),
}
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", f"has no digest for {NAME}"),
    "another": (f"{HEX}  other.tgz\n".encode(), f"has no digest for {NAME}"),
    "longer name": (f"{HEX}  x{NAME}\n{HEX}  {NAME}.asc\n".encode(), f"has no digest for {NAME}"),
    "two digests in a line": (f"{HEX} {OTHER}\n".encode(), f"has no digest for {NAME}"),
    "two alone": (f"{HEX}\n{OTHER}\n".encode(), f"has no digest for {NAME}"),
    "too long a digest": (f"{HEX}0  {NAME}\n".encode(), f"has no digest for {NAME}"),
    "sha512 alone": (f"{SHA512}  {NAME}\n".encode(), f"has no digest for {NAME}"),
    "contradiction": (f"{HEX}  a/{NAME}\n{OTHER}  b/{NAME}\n".encode(), f"has 2 different digests for {NAME}"),
}


@pytest.mark.parametrize("written", FORMS)
def test_usual_forms(written: str) -> None:
    """Each gives the digest of the file that was asked for, wherever that lies."""
    assert digest_for(FORMS[written], f"/srv/x/{NAME}") == HEX


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """What has no digest for the file, or two, gives none: it is not guessed at."""
    data, message = REFUSED[case]
    with pytest.raises(NoDigest) as caught:
        digest_for(data, NAME)
    assert str(caught.value) == message


def test_folders_decide() -> None:
    """Where one name stands in several folders, the one whose folders are ours is meant."""
    data = f"{OTHER}  darwin/launcher\n{HEX}  linux/launcher\n".encode()
    assert digest_for(data, "out/linux/launcher") == HEX
    assert digest_for(data, "./darwin/launcher") == OTHER
    with pytest.raises(NoDigest, match="2 different digests for launcher"):
        digest_for(data, "launcher")


PROGRAMS = {
    "sha256sum": ("sha256sum",),
    "sha256sum --binary": ("sha256sum", "--binary"),
    "sha256sum --tag": ("sha256sum", "--tag"),
    "sha256sum --zero": ("sha256sum", "--zero"),
    "openssl": ("openssl", "dgst", "-sha256"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_as_programs_write_them(tool: Tool, tmp_path: Path, program: str) -> None:
    """What the programs print of a release and of others is taken for its digest, odd names and all."""
    command = PROGRAMS[program]
    assert shutil.which(command[0]), f"{command[0]} is not installed"
    tarball = release(tmp_path, "0.21.17")
    odd = tmp_path / ("a \\ b.tgz" if program == "openssl" else "a \\ b\nc.tgz")
    odd.write_bytes(tarball.read_bytes() + bytes(512))
    run = subprocess.run([*command, odd.name, tarball.name], cwd=tmp_path, capture_output=True, check=True)
    for file in (odd, tarball):
        assert digest_for(run.stdout, str(file)) == hashlib.sha256(file.read_bytes()).hexdigest()
    sums = tmp_path / "SUMS"
    sums.write_bytes(run.stdout)
    assert tool.on("bundle", "add", tarball, "--sha256", sums).code == 0


def test_from_a_pipe(tool: Tool, tmp_path: Path) -> None:
    """`--sha256 <(sha256sum …)` is read to its end; what lies beside the source is not waited for."""
    tarball = release(tmp_path, "0.21.17")
    line = f"{hashlib.sha256(tarball.read_bytes()).hexdigest()}  {tarball.name}\n".encode()
    reader, writer = os.pipe()
    os.write(writer, line)
    os.close(writer)
    assert tool.on("bundle", "add", tarball, "--sha256", f"/dev/fd/{reader}").code == 0
    os.close(reader)
    beside = tmp_path / f"{tarball.name}.sha256"
    os.mkfifo(beside)
    answer = tool.on("bundle", "add", tarball)
    assert (answer.code, answer.err.splitlines()[0]) == (3, f"ERROR: {beside}: is not a regular file")


def test_too_large(tool: Tool, tmp_path: Path) -> None:
    """What is too large is not read in part: the digest might be in the rest."""
    tarball = release(tmp_path, "0.21.17")
    beside = tmp_path / f"{tarball.name}.sha256"
    with beside.open("wb") as file:
        file.truncate((16 << 20) + 1)
    answer = tool.on("bundle", "add", tarball)
    assert (answer.code, answer.err.splitlines()[0]) == (3, f"ERROR: {beside}: is larger than 16 MiB")
    assert tree(tool.root) == {}


def test_directories_may_have_set_id_bits(tool: Tool, tmp_path: Path) -> None:
    """Some file systems give directories a set-group-id bit; only on files does it mean that they run as another."""
    (toml, folder, *rest) = release_members("0.21.17")
    folder[0].mode = 0o2755
    tarball = tmp_path / NAME
    tarball.write_bytes(pack([(directory(".")[0], b""), toml, folder, *rest]))
    assert tool.on("bundle", "add", tarball).code == 0
    tarball.write_bytes(pack([toml, folder, *rest, entry("lifecycle/su", b"x", mode=0o2755)]))
    assert "has a member with set-id bits, 'lifecycle/su' (mode 2755)" in tool.on("bundle", "add", tarball).err


@given(st.binary(max_size=200) | st.text("0123456789abcdefSHA()=*\\ \n\t/:-", max_size=200).map(str.encode))
def test_every_text_gives_a_digest_or_none(data: bytes) -> None:
    """Nothing but NoDigest is raised, and what is found is a digest."""
    try:
        found = digest_for(data, NAME)
    except NoDigest as error:
        assert NAME in str(error)  # noqa: PT017  # both outcomes are right
    else:
        assert parse_digest(found) == found
