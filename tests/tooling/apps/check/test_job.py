"""The Job in docs/, with the claim of its volume: YAML that says one thing in each place; its command line is taken."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import PROJECT

from metalauncher.tooling.apps.check.fleet import JOBS
from metalauncher.tooling.apps.check.targets import Shard, parse_shard
from metalauncher.tooling.cli.commands import parser
from metalauncher.tooling.oci.sources.blob_pool import KEPT_LIMIT
from metalauncher.tooling.oci.sources.cache import CACHE_LIMIT

FILE = PROJECT / "docs/platforms/check-fleet.yaml"
PAGE = (PROJECT / "docs/platforms/check.md").read_text()


@pytest.fixture
def job() -> dict[str, Any]:
    """Return the Job."""
    document, _ = yaml.safe_load_all(FILE.read_text())
    assert (document["apiVersion"], document["kind"]) == ("batch/v1", "Job")
    spec: dict[str, Any] = document["spec"]
    return spec


def container(job: dict[str, Any]) -> dict[str, Any]:
    """Return its one container."""
    (found,) = job["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_command_line(job: dict[str, Any]) -> None:
    """The arguments are those of the program, and there are as many parts as pods."""
    found = container(job)
    assert found["command"] == ["metalauncher", "check"]
    arguments = [argument.replace("$(JOB_COMPLETION_INDEX)", "3") for argument in found["args"]]
    options = parser().parse_args(["check", *arguments])
    assert options.module == "apps.check.command"
    assert job["completionMode"] == "Indexed"
    for index in range(job["completions"]):
        shard = parse_shard(options.shard, {b"JOB_COMPLETION_INDEX": str(index).encode()})
        assert shard == Shard(index + 1, job["completions"])
    assert options.resume == "/results/3.jsonl"
    assert job["parallelism"] <= job["completions"]


def test_places(job: dict[str, Any]) -> None:
    """Every path that the program uses is a volume of its own, and what it writes to is not read-only."""
    found = container(job)
    mounts = {mount["mountPath"]: mount for mount in found["volumeMounts"]}
    volumes = {volume["name"] for volume in job["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in mounts.values()} == volumes
    paths = re.findall(r"--(?:from|resume|cache)=(/\w+)", " ".join(found["args"]))
    paths += [variable["value"] for variable in found["env"]]
    assert {"/tmp", *paths} == set(mounts)  # noqa: S108  # where run images are laid out
    for path in ("/results", "/cache", "/tmp"):  # noqa: S108  # of a container
        assert "readOnly" not in mounts[path]
    assert found["securityContext"]["readOnlyRootFilesystem"]


def test_the_volume_of_results(job: dict[str, Any]) -> None:
    """The file makes the claim that its pods wait for, which all of them may write to."""
    _, claim = yaml.safe_load_all(FILE.read_text())
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    names = [volume.get("persistentVolumeClaim") for volume in job["template"]["spec"]["volumes"]]
    assert [name for name in names if name] == [{"claimName": claim["metadata"]["name"]}]


def test_apps_at_risk_are_no_failure_to_try_again(job: dict[str, Any]) -> None:
    """Exit code 1 fails that part and no other; other codes are tried again."""
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # what podFailurePolicy demands
    assert job["backoffLimitPerIndex"] > 0
    rule = job["podFailurePolicy"]["rules"][0]
    assert (rule["action"], rule["onExitCodes"]["operator"], rule["onExitCodes"]["values"]) == ("FailIndex", "In", [1])
    assert rule["onExitCodes"]["containerName"] == container(job)["name"]


def test_the_page_s_figures() -> None:
    """docs/platforms/check.md has the program's own."""
    assert JOBS == 16
    assert "Sixteen apps are checked at a time" in PAGE
    assert f"It holds at most\n{CACHE_LIMIT >> 30} GiB" in PAGE
    assert f"Layers of more than {KEPT_LIMIT >> 20} MiB are not kept" in PAGE
    assert f"]({Path(FILE).name})" in PAGE
