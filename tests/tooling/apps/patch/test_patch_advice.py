"""A run of `patch` that is refused as a whole: what is said, and which command to run, which is one that can be run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from containers import need
from harness import PROJECT
from keeping import Kept, keeping
from patching import KeptRegistry
from registries import digest_of

from metalauncher.tooling.apps.patch.journal import Asked, fleet_of
from metalauncher.tooling.apps.patch.refusal_text import text_of
from metalauncher.tooling.apps.patch.refusals import RefusalCode, Refused
from metalauncher.tooling.cli.commands import parser

OCI = tuple(
    [f"application/vnd.oci.image.{name}" for name in ("manifest.v1+json", "config.v1+json", "layer.v1.tar+gzip")]
)
DOCKER = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
TO = "{repository}:{tag}-shim"
PLAN = ("--launcher", "shim", "--to", TO, "--journal", "plan.jsonl")
EXAMPLE = f"metalauncher patch --from apps.txt --launcher shim --to '{TO}' --journal patch.jsonl"
APP = "r.io/a:1"
ASKED = Asked("symlink", "{repository}-x:{tag}", (f"sha256:{'a' * 64}",), True, "linux/arm64", 1, fleet_of([APP]))
AGAIN = (
    "metalauncher patch --from apps.txt --launcher symlink --to '{repository}-x:{tag}' --journal"
    " FILE --must-match-sha " + ASKED.must_match[0] + " --force --platform linux/arm64"
)

# What is asked, what is said, and the command to run next.
CASES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "nothing": ((), "there is no --launcher", EXAMPLE),
    "no app": (PLAN, "no app is given", EXAMPLE),
    "no list": (("--from", "no list", *PLAN), "--from: no list: no such file or directory", "ls -l 'no list'"),
    "a wrong list": (("--from", "wrong.txt", *PLAN), "wrong.txt:1: is JSON without an app or image", EXAMPLE),
    "a record": (
        (APP, *PLAN, "--record", "x"),
        "--record: a plan",
        "metalauncher patch --apply patch.jsonl --record records",
    ),
    "a wrong template": ((APP, *PLAN[:3], "{x}", *PLAN[4:]), "--to: '{x}' has another brace", EXAMPLE),
    "a wrong layer": ((APP, *PLAN, "--must-match-sha", "x"), "--must-match-sha: 'x' is not a digest", EXAMPLE),
    "no folder": (
        (APP, *PLAN[:5], "no/where/j.jsonl"),
        "no/where/j.jsonl: no such file or directory",
        "mkdir -p no/where",
    ),
    "no journal": (
        ("--apply", "no.jsonl"),
        "no.jsonl: no such file or directory",
        EXAMPLE.replace("patch.jsonl", "no.jsonl"),
    ),
    "no plan": (("--apply", "wrong.txt"), "wrong.txt: line 1 is not of the kind 'patch'", "ls -l wrong.txt"),
    "with apply": (
        ("--apply", "plan.jsonl", "--force"),
        "--apply carries out the plan: it can't be used with --force",
        "metalauncher patch --apply plan.jsonl",
    ),
    "half a plan": (
        ("--apply", "half.jsonl"),
        "half.jsonl: the plan is not finished",
        AGAIN.replace("FILE", "half.jsonl"),
    ),
    "another version": (
        ("--apply", "old.jsonl"),
        "old.jsonl: was planned by metalauncher 0.0.1",
        AGAIN.replace("FILE", "old-2.jsonl"),
    ),
    "another plan": (
        (APP, *PLAN[:5], "half.jsonl"),
        "half.jsonl: is the journal of another plan, with another --launcher: symlink",
        f"metalauncher patch --from apps.txt --launcher shim --to '{TO}' --journal half-2.jsonl",
    ),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with journals of which something is wrong."""
    (tmp_path / "wrong.txt").write_text("{}\n")
    for name, asked in (("half", ASKED), ("old", ASKED._replace(metalauncher="0.0.1"))):
        line = {"schema_version": 1, "kind": "patch", "asked": asked.document()}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
        os.chmod(tmp_path / f"{name}.jsonl", 0o600)
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_what_to_run_next(name: str, place: Path) -> None:
    """What is said names what was asked, and the command is one that this program takes, or everybody's."""
    words, said, command = CASES[name]
    environ = {"PYTHONPATH": str(PROJECT), "HOME": str(place)}
    started = [sys.executable, "-m", "metalauncher", "patch", *words]
    done = subprocess.run(started, cwd=place, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "")
    first, *_, last = done.stderr.splitlines()
    assert first.startswith(f"ERROR: {said}"), done.stderr
    assert last.removeprefix("  do:").strip() == command
    program, *arguments = shlex.split(command)
    assert program in ("metalauncher", "ls", "mkdir")
    if program == "metalauncher":
        parser().parse_args(arguments)


# Of which family the manifest is, its config and its two layers.
FAMILIES = {"docker": (DOCKER, DOCKER), "oci": (OCI, OCI), "docker, mixed": (DOCKER, OCI), "oci, mixed": (OCI, DOCKER)}


@pytest.mark.parametrize("code", ["no-label", "no-image"])
@pytest.mark.parametrize("family", FAMILIES)
def test_advice_works_whatever_the_media_types(family: str, code: RefusalCode, tmp_path: Path) -> None:
    """What is to be looked at is shown by the skopeo that is here, also of an image with a mixture of media types."""
    need("skopeo")
    (manifest_type, config_type, *types), (_, _, *others) = FAMILIES[family]
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    layer = b"any"
    described = [{"mediaType": kind, "digest": digest_of(layer), "size": len(layer)} for kind in (*types, *others)]
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": {"mediaType": config_type, "digest": digest_of(config), "size": len(config)},
        "layers": described,
    }
    kept = Kept()
    with keeping(kept) as server:
        pushed = json.dumps(manifest).encode()
        KeptRegistry(kept, server).push("team/app", blobs=[config, layer], manifests=[("1", pushed)])
        command = text_of(Refused(code, "x"), f"{server.host}/team/app:1").command
        command = command.replace("skopeo inspect", "skopeo inspect --tls-verify=false")
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) in (manifest, json.loads(config))
