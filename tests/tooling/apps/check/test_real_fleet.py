"""A fleet in a real registry: the right verdict for each app, however the run is cut off, parted or repeated."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bundles import Answer, Tool, as_process
from fleets import Fleet, make_fleet, stock
from harness import PROJECT
from jsonschema import Draft202012Validator
from rebased import World
from registries import Certificate, RealRegistry, auth, make_certificate, start_registry

from metalauncher.tooling.apps.check.verdict import from_json
from metalauncher.tooling.cli.schema import text as schema_text

pytestmark = pytest.mark.thorough  # hundreds of apps, many times; test_fleet.py is quick

COPIES = 13
RUN, OLD = "base/run:new", "base/run:old"
LOGIN = ("ann", "s3cret pass:word")
SCHEMA = Draft202012Validator(json.loads(schema_text("check")))


@dataclass
class Served:
    """A fleet, and the registry that has it."""

    fleet: Fleet
    registry: RealRegistry
    folder: Path

    @property
    def apps(self) -> list[str]:
        """Every app as the command line names it."""
        return [f"{self.registry.host}/{name}" for name in self.fleet.names]

    def write_list(self, folder: Path) -> Path:
        """Write the list of all apps."""
        file = folder / "apps.txt"
        file.write_text("# the fleet\n" + "\n".join(self.apps) + "\n")
        return file

    def check(self, folder: Path, *options: str | Path, environ: dict[str, str] | None = None) -> Answer:
        """Check all apps, in a process of its own."""
        return as_process(*self.command(folder), *options, environ=environ)

    def command(self, folder: Path) -> list[str]:
        """Return the command line that checks all apps; what was fetched is kept in the folder."""
        run_image = f"{self.registry.host}/{RUN}"
        return [
            "check",
            "--from",
            str(self.write_list(folder)),
            "--run-image",
            run_image,
            "--cache",
            str(folder / "cache"),
        ]

    def requests(self) -> list[str]:
        """Return the path of every request so far."""
        log = (self.folder / "registry.log").read_text()
        return re.findall(r'"GET (/v2/\S+) HTTP', log)


@pytest.fixture(scope="module")
def fleet(world: World) -> Fleet:
    """Return 520 apps of 40 kinds."""
    made = make_fleet(world, COPIES)
    assert len(made.names) >= 500
    return made


@pytest.fixture(scope="module")
def served(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return the fleet in a registry that logs every request."""
    folder = tmp_path_factory.mktemp("registry")
    stock(folder, fleet.world.layout, fleet.names | {RUN: "new", OLD: "old"})
    registry = start_registry(folder, log=True)
    try:
        yield Served(fleet, registry, folder)
    finally:
        registry.close()


@pytest.fixture(scope="module")
def whole(served: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what an undisturbed run says, as JSON."""
    answer = served.check(tmp_path_factory.mktemp("whole"), "--json")
    assert (answer.code, answer.err) == (1, "")
    document: dict[str, Any] = answer.document
    return document


def test_every_verdict_is_what_is_started(served: Served, whole: dict[str, Any]) -> None:
    """Of each kind one app is started for real; every app has that kind's verdict, and all verdicts are there."""
    SCHEMA.validate(whole)
    host = served.registry.host
    expected = served.fleet.prove("new")
    found = {result["app"].removeprefix(f"{host}/"): from_json(result) for result in whole["results"]}
    assert found.keys() == expected.keys()
    for name, result in found.items():
        # Layers of one content are there compressed in several ways: of how many bytes they are is their own.
        known = expected[name]._replace(app=result.app, digest=result.digest, bytes_read=result.bytes_read)
        assert result == known, name
        assert result.bytes_read > 0
    assert {kind for kind, number in whole["counts"].items() if number} == {
        "starts",
        "refused",
        "does-not-start",
        "keeps-own-launcher",
    }
    assert whole["complete"]
    assert len({result.digest for result in found.values()}) == len(found)
    order = [result["kind"] in ("refused", "does-not-start") for result in whole["results"]]
    assert order == sorted(order, reverse=True)


def test_bundles_make_it_whole(served: Served, whole: dict[str, Any]) -> None:
    """With the launchers it says are lacking, nothing is refused but what recorded nothing at all."""
    assert whole["bundles"] == ["buildpacks/lifecycle@0.17.7"]
    refused = [name for name, result in served.fleet.judge("two").items() if result.kind == "refused"]
    assert refused
    assert all("p03-unrecorded" in name for name in refused)


def test_second_run_asks_for_no_blob(served: Served, whole: dict[str, Any], tmp_path: Path) -> None:
    """Each blob is fetched once in a run, and not at all in the next; a tag is asked for each time."""
    before = len(served.requests())
    assert served.check(tmp_path, "--json").document == whole
    first = served.requests()[before:]
    blobs = [path.rpartition("/")[2] for path in first if "/blobs/" in path]
    assert len(blobs) == len(set(blobs))
    assert len(blobs) > len(served.apps) + len(served.apps) // 4  # configs, and a metadata.toml for every four routes
    before = len(served.requests())
    assert served.check(tmp_path, "--json").document == whole
    second = served.requests()[before:]
    assert [path for path in second if "/blobs/" in path] == []
    assert len([path for path in second if "/manifests/" in path]) == len(served.apps) + 1
    small = tmp_path / "cache"
    assert {path.stat().st_mode & 0o777 for path in small.rglob("*") if path.is_file()} == {0o600}


def test_no_cache(served: Served, whole: dict[str, Any], tmp_path: Path) -> None:
    """Without a cache nothing is written, and what images share is still fetched once."""
    before = len(served.requests())
    assert served.check(tmp_path, "--json", "--no-cache").document == whole
    blobs = [path.rpartition("/")[2] for path in served.requests()[before:] if "/blobs/" in path]
    shared = [digest for digest in set(blobs) if blobs.count(digest) > 1]
    assert shared == []
    assert not (tmp_path / "cache").exists()


def start(served: Served, folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start a check of all apps."""
    command = [sys.executable, "-m", "metalauncher", *served.command(folder), *options]
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env={},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def wait_for_lines(file: Path, number: int) -> None:
    """Wait until a file has so many lines."""
    deadline = time.monotonic() + 60
    while not file.exists() or file.read_bytes().count(b"\n") < number:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_half_way(served: Served, whole: dict[str, Any], tmp_path: Path) -> None:
    """`kill -9` at half way, more than once: the next run takes up what is there, and its report is the same."""
    results = tmp_path / "results.jsonl"
    for share in (4, 2):
        process = start(served, tmp_path, "--resume", str(results), "--no-cache")
        wait_for_lines(results, len(served.apps) // share)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    done = results.read_bytes().count(b"\n")
    assert len(served.apps) // 2 <= done < len(served.apps)
    results.write_bytes(results.read_bytes()[:-9])  # whatever the moment, a line may be half written
    before = len(served.requests())
    answer = served.check(tmp_path, "--resume", results, "--json")
    assert answer.code == 1
    assert answer.document == whole
    taken = int(re.fullmatch(r"(\d+) results taken over from .*\n", answer.err)[1])  # type: ignore[index]  # no match is a failure too
    assert len(served.apps) // 2 - 2 <= taken < len(served.apps)
    asked = [path for path in served.requests()[before:] if "/manifests/" in path]
    missing = len(served.apps) - taken
    assert missing < len(asked) <= missing + 1 + 16  # the log may still get some of whoever was killed
    again = served.check(tmp_path, "--resume", results, "--json")
    assert again.document == whole
    assert again.err.startswith(f"{len(served.apps)} results taken over")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(served: Served, whole: dict[str, Any], tmp_path: Path, number: int, code: int) -> None:
    """Ctrl-C, or the system's SIGTERM: the report has what was done, says that it is not all, and can be taken up."""
    results = tmp_path / "results.jsonl"
    process = start(served, tmp_path, "--resume", str(results), "--json")
    wait_for_lines(results, len(served.apps) // 3)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code
    document = json.loads(out)
    SCHEMA.validate(document)
    assert not document["complete"]
    done = len(document["results"])
    assert len(served.apps) // 3 - 1 <= done < len(served.apps)
    assert f"not finished: {len(served.apps) - done} apps not checked\n" in err
    page = as_process("check", "--merge", results, "--format", "html")
    assert f"<strong>{len(served.apps) - done} apps not checked:</strong>" in page.out
    known = {result["app"]: result for result in whole["results"]}
    assert all(known[result["app"]] == result for result in document["results"])
    assert served.check(tmp_path, "--resume", results, "--json").document == whole


def test_parts_are_the_whole(served: Served, whole: dict[str, Any], tool: Tool, tmp_path: Path) -> None:
    """Three parts, one of them as a Kubernetes Job names it, put together, are the report of one run over all."""
    files = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for number, file in enumerate(files):
        part, environ = (f"{number + 1}/3", {}) if number else ("auto/3", {"JOB_COMPLETION_INDEX": "0"})
        answer = served.check(tmp_path, "--shard", part, "--format", "jsonl", environ=environ)
        assert answer.code == 1
        file.write_text(answer.out)
        asked, *lines = map(json.loads, answer.out.splitlines())
        assert asked["shard"] == [number + 1, 3]
        assert asked["apps"] == len(lines)
        assert len(served.apps) // 5 < len(lines) < len(served.apps) // 2
    wanted = [each for each in whole["results"] if each["kind"] in ("refused", "does-not-start")]
    merged = tool("check", "--merge", *files, "--json")
    assert (merged.code, merged.err) == (1, "")
    assert merged.document == whole
    text = tool("check", "--merge", *files)
    assert f"{len(served.apps)} apps under {served.registry.host}/{RUN}: " in text.out
    missing = tool("check", "--merge", files[0], files[2], "--json")
    assert (missing.code, missing.out) == (3, "")
    assert missing.err.startswith("ERROR: 1 of 3 parts are missing: 2\n")
    twice = tool("check", "--merge", *files, files[0], "--format", "markdown")
    assert twice.out.startswith(f"## ❌ {len(wanted)} of {len(served.apps)} apps would ")
    page = tool("check", "--merge", *files, "--format", "html")
    assert "buildpacks/lifecycle<wbr>@0.21.17" in page.out
    other = tmp_path / "other.jsonl"
    other.write_text(files[0].read_text().replace('"shard": [1, 3]', '"shard": [1, 2]', 1))
    parted = tool("check", "--merge", files[1], other)
    assert (parted.code, parted.out) == (3, "")
    assert parted.err.startswith("ERROR: the files are of fleets that were split differently\n")
    other.write_text(files[0].read_text().replace('"supported"', '"sported"', 1))
    damaged = tool("check", "--merge", other, *files[1:])
    assert damaged.err.startswith(f"ERROR: {other}: has an invalid launcher: apis.platform.supported is missing\n")
    files[1].write_text("".join(files[1].read_text().splitlines(keepends=True)[:-5]))
    short = tool("check", "--merge", *files, "--json")
    assert short.err == "not finished: 5 apps not checked\n"
    assert not short.document["complete"]


def test_parts_of_different_questions(served: Served, tool: Tool, tmp_path: Path) -> None:
    """Results under one run image are not put together with those under another."""
    (tmp_path / "list").write_text(served.apps[0])
    files: list[Path] = []
    for name in (RUN, OLD):
        files.append(tmp_path / f"{len(files)}.jsonl")
        run_image = f"{served.registry.host}/{name}"
        as_process("check", "--from", tmp_path / "list", "--run-image", run_image, "--no-cache", "--resume", files[-1])
    answer = tool("check", "--merge", *files)
    assert answer.code == 3
    assert answer.err.startswith(f"ERROR: {files[1]}: belongs to another run than {files[0]}\n")
    assert "have:    run image sha256:" in answer.err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("app:1",), "an app"),
        (("--run-image", "x"), "a run image"),
        (("--resume", "x"), "--resume"),
        (("--shard", "1/2"), "--shard"),
        (("--format", "jsonl"), "--format jsonl"),
    ],
)
def test_merge_checks_nothing(tool: Tool, option: tuple[str, ...], said: str) -> None:
    """What would ask for a check can't go with --merge."""
    answer = tool("check", *option, "--merge", "x")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: --merge checks nothing: it can't be used with {said}\n")


def test_resume_under_another_run_image(served: Served, tmp_path: Path) -> None:
    """A file of results is not taken up under another run image, though it has the same name."""
    results = tmp_path / "results.jsonl"
    (tmp_path / "list").write_text(served.apps[0])
    options = ("--from", tmp_path / "list", "--no-cache", "--resume", results)
    as_process("check", *options, "--run-image", f"{served.registry.host}/{RUN}")
    before = results.read_bytes()
    answer = as_process("check", *options, "--run-image", f"{served.registry.host}/{OLD}")
    assert answer.code == 3
    assert answer.err.startswith(f"ERROR: {results}: belongs to another run: its run image is sha256:")
    assert results.read_bytes() == before


def test_compared_with_the_run_image_of_before(served: Served, tmp_path: Path) -> None:
    """Those that started before and would not now are counted, and come first."""
    answer = served.check(tmp_path, "--json", "--against", f"{served.registry.host}/{OLD}")
    old, new = served.fleet.judge("old"), served.fleet.judge("new")
    lost = [name for name in new if new[name].kind == "refused" and old[name].kind == "starts"]
    assert answer.document["regressions"] == len(lost) > 100
    assert answer.document["against"]["name"].endswith(OLD)


@pytest.fixture(scope="module")
def guarded(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Certificate]]:
    """Return the fleet in a registry with TLS that wants a login."""
    folder = tmp_path_factory.mktemp("guarded")
    certificate = make_certificate(folder)
    stock(folder, fleet.world.layout, fleet.names | {RUN: "new"})
    registry = start_registry(folder, htpasswd=LOGIN, tls=certificate, log=True)
    try:
        yield Served(fleet, registry, folder), certificate
    finally:
        registry.close()


def without_host(document: dict[str, Any], served: Served) -> Any:
    """Return a document as it would be in any registry."""
    return json.loads(json.dumps(document).replace(served.registry.host, "HOST"))


@pytest.mark.parametrize("how", ["inline", "helper", "store"])
def test_login(
    guarded: tuple[Served, Certificate], served: Served, whole: dict[str, Any], tmp_path: Path, how: str
) -> None:
    """With TLS and a login from config.json, or from a helper that it names, all is as without."""
    behind, certificate = guarded
    host = behind.registry.host
    helper = tmp_path / "bin/docker-credential-test"
    helper.parent.mkdir()
    secret = json.dumps({"ServerURL": host, "Username": LOGIN[0], "Secret": LOGIN[1]})
    helper.write_text(f"#!/bin/sh\nread -r server\n[ \"$1 $server\" = 'get {host}' ] || exit 1\necho '{secret}'\n")
    helper.chmod(0o755)
    configs: dict[str, dict[str, Any]] = {
        "inline": {"auths": {host: {"auth": auth(*LOGIN)}}},
        "helper": {"credHelpers": {host: "test"}},
        "store": {"credsStore": "test"},
    }
    (tmp_path / "config.json").write_text(json.dumps(configs[how]))
    environ = {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    answer = behind.check(tmp_path, "--json", "--ca-file", certificate.file, environ=environ)
    assert (answer.code, answer.err) == (1, "")
    assert without_host(answer.document, behind) == without_host(whole, served)
    written = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert LOGIN[1].encode() not in written
    assert base64.b64encode(":".join(LOGIN).encode()) not in written


def test_without_a_login(guarded: tuple[Served, Certificate], tmp_path: Path) -> None:
    """Without one the run image can't be had: that ends it, with what to do."""
    behind, certificate = guarded
    answer = behind.check(tmp_path, "--json", "--ca-file", certificate.file)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"ERROR: {behind.registry.host}/{RUN}: ")
    assert f": {behind.registry.host} wants a login, and none was found in " in answer.err
    assert answer.err.endswith(
        f"(docs/reference/container-registries.md)\n           skopeo login {behind.registry.host}\n"
    )


def test_progress_on_a_terminal(served: Served, tmp_path: Path) -> None:
    """On a terminal it says how far it is; elsewhere it says nothing."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "metalauncher", *served.command(tmp_path), "--json"]
    process = subprocess.Popen(command, cwd=PROJECT, env={}, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 1 << 16):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == 1
    said = [int(number) for number in re.findall(rf"(\d+) of {len(served.apps)} apps".encode(), shown)]
    assert said == sorted(said)
    assert len(said) >= 3
    assert shown.endswith(b"\r\x1b[K")
