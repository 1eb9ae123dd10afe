"""What long commands say on the way: tooling/log.py, and docs/reference/events.md, which has every event."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import images
import pytest
from bundles import STAND_IN, Answer, Tool, release
from harness import PROJECT
from real_launchers import Launchers
from rebased import World, metadata
from structlog.processors import JSONRenderer

from metalauncher import __version__
from metalauncher.explain import events
from metalauncher.tooling.log import EventLog

PAGE = (PROJECT / "docs/reference/events.md").read_text()
HEAD = ["timestamp", "level", "event", "metalauncher"]
JSON = ("--log-format", "json")
DEBUG = ("--log-level", "debug")


def said(answer: Answer) -> list[dict[str, Any]]:
    """Return the events on stderr, which holds nothing else, without what all have; see that each is documented."""
    rows = re.findall(r"^\| (\w+) \| `([\w-]+)` \| .* \| (.*) \|$", PAGE, flags=re.MULTILINE)
    documented = {name: (level, re.findall(r"`(\w+)`", fields)) for level, name, fields in rows}
    found = []
    for line in answer.err.splitlines():
        event = json.loads(line)
        level, fields = documented[event["event"]]
        assert list(event) == [*HEAD, *fields]
        assert datetime.fromisoformat(event["timestamp"]).tzinfo is not None
        assert (event["level"], event["metalauncher"]) == (level, __version__)
        found.append({"event": event["event"]} | {key: event[key] for key in fields})
    return found


def named(found: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return the events of one name."""
    return [event for event in found if event["event"] == name]


@pytest.fixture
def check(world: World, tool: Tool) -> Any:
    """Return a function that checks one app that starts."""
    tag = world.app(images.make_app("logged", metadata("0.10"), "0.12"))
    app, run_image = world.reference(tag), world.reference("new")
    return lambda *options: tool("check", app, "--run-image", run_image, "--no-cache", *options)


def test_check(check: Any, tmp_path: Path) -> None:
    """As JSON every line is an event, summary included; what is found is the same; a level leaves out what is below."""
    report = ("--output", tmp_path / "report")  # then stderr has the summary
    plain = check(*report)
    written = (tmp_path / "report").read_text()
    answer = check(*report, *JSON, *DEBUG)
    assert (plain.code, answer.code, answer.out) == (0, 0, "")
    assert (tmp_path / "report").read_text() == written
    (image,) = named(said(answer), "run-image-read")
    assert image["launchers"]
    (app,) = named(said(answer), "app-checked")
    assert app["verdict"] == "starts"
    texts = [line for event in named(said(answer), "message") for line in event["text"]]
    assert texts == plain.err.splitlines() != []
    assert {event["event"] for event in said(check(*report, *JSON))} == {"message"}
    for level in ("warning", "error"):
        for form in ("json", "console"):
            assert check(*report, "--log-format", form, "--log-level", level).err == ""


def test_for_people(check: Any) -> None:
    """By default stderr has what it had; at level debug, a line more for each event."""
    plain, answer = check(), check(*DEBUG)
    lines = answer.err.splitlines()
    assert [line for line in lines if not line.startswith("debug: ")] == plain.err.splitlines()
    assert re.search(r"^debug: app-checked app=oci:\S+ verdict=starts reason=\".*\"$", answer.err, re.MULTILINE)


def test_failure(tool: Tool, tmp_path: Path) -> None:
    """Why a command could not finish is an event too, whatever the level, with all that people are told."""
    command = ("check", f"oci:{tmp_path}/none", "--run-image", f"oci:{tmp_path}/none")
    plain, answer = tool(*command), tool(*command, *JSON, "--log-level", "error")
    assert (plain.code, answer.code, answer.out) == (3, 3, "")
    (event,) = said(answer)
    assert event == {"event": "failed", "text": plain.err.splitlines()}
    assert event["text"][0].startswith("ERROR: ")


def test_warning(capfd: pytest.CaptureFixture[str]) -> None:
    """A warning is one for people, and an event."""
    for form in ("console", "json"):
        log = EventLog(form, "warning", {})
        log.emit("info", "message", {"text": ["left out"]})
        log.emit("warning", "warning", {"text": ["a\nb: \x1b[31m"]})
        err = capfd.readouterr().err
        if form == "json":
            assert said(Answer(0, "", err)) == [{"event": "warning", "text": ["a\nb: \x1b[31m"]}]
        else:
            assert err == "Warning: a\\nb: \\x1b[31m\n"


def test_probe(tool: Tool, tmp_path: Path) -> None:
    """Each start is an event."""
    assert tool.on("bundle", "add", release(tmp_path, "0.9.3", STAND_IN)).code == 0
    answer = tool.on("probe", "--json", *JSON, *DEBUG)
    (report,) = answer.document["launchers"]
    found = named(said(answer), "start-probed")
    assert {event["launcher"] for event in found} == {"buildpacks/lifecycle@0.9.3"}
    assert sorted([(event["kind"], event["api"], event["oddity"], event["exit_code"]) for event in found]) == sorted(
        [(trial["kind"], trial["api"], trial["oddity"] or "", trial["exit_code"]) for trial in report["trials"]]
    )


def test_compare(tool: Tool, real: Launchers) -> None:
    """Each case is an event: that it ran, or why it did not."""
    apis = ("--platform-api", "0.15", "--buildpack-api", "0.12")
    launcher = real["0.21.17"].executable
    answer = tool("compare", launcher, launcher, "--only", "route", "--json", *apis, *JSON, *DEBUG)
    cases = {case["name"] for case in answer.document["cases"]}
    found = said(answer)
    assert {event["case"] for event in found if event["event"] in ("case-run", "case-skipped")} == cases
    assert cases


def test_every_event_is_documented() -> None:
    """The page has each event that the code names, and no other."""
    named_in_code = set()
    for file in (PROJECT / "metalauncher/tooling").rglob("*.py"):
        text = file.read_text()
        named_in_code |= set(re.findall(r'\bnote\(\s*"([\w-]+)"', text))
        named_in_code |= set(re.findall(r'\.emit\("\w+", "([\w-]+)"', text))
    assert named_in_code == set(re.findall(r"^\| \w+ \| `([\w-]+)` \|", PAGE, flags=re.MULTILINE))


def test_a_dispatch_s_event_is_of_this_kind(capfd: pytest.CaptureFixture[str]) -> None:
    """What METALAUNCHER_LOG=json writes without structlog is what structlog's own renderer makes of it."""
    events.log_warning('caf\xe9 "quoted" \\ \U0001f600 \udcff')
    line = capfd.readouterr().err
    event = json.loads(line)
    assert list(event) == [*HEAD, "text"]
    assert JSONRenderer()(None, "warning", event) == line.removesuffix("\n")
    EventLog("json", "warning", {}).emit("warning", "warning", {"text": event["text"]})
    again = capfd.readouterr().err
    assert re.sub(r'"timestamp": "[^"]*"', "", again) == re.sub(r'"timestamp": "[^"]*"', "", line)


@pytest.mark.parametrize(("command", "loads"), [("list", False), ("lint", False), ("probe", True)])
def test_loaded_by_those_that_have_it(command: str, loads: bool, tmp_path: Path) -> None:
    """A short command does not wait for structlog."""
    code = (
        "import sys\nfrom metalauncher.tooling.cli.main import main\n"
        f"main([{command.encode()!r}, b'--root', {bytes(tmp_path)!r}], {{}})\nsys.exit('structlog' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True)
    assert ended.returncode == loads, ended.stderr
