"""`metalauncher probe`: what launchers claim, against what they really do when they are run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from bundles import STAND_IN, Tool, on_terminal, release

from metalauncher.apis import ApiVersion
from metalauncher.explain.messages import name_oddities
from metalauncher.tooling.architectures import this_architecture
from metalauncher.tooling.launchers.probe.trials import Trial, metadata

DESCRIPTOR = "usr/lib/cnb/launchers.d/buildpacks_lifecycle@{}.toml"
# Accepts what is in the case's list, whatever its descriptor says; and its own exit codes.
ACCEPTS = """#!/usr/bin/python3 -IS
import os, sys, tomllib
data = open(os.environ["CNB_LAYERS_DIR"] + "/config/metadata.toml", "rb").read().decode("utf-8-sig", "replace")
metadata = tomllib.loads("".join([c if c == "\\n" or c.isprintable() else "?" for c in data]))
if os.environ["CNB_PLATFORM_API"] not in {platform}:
    print("ERROR: no such platform API"); sys.exit(11)
for buildpack in metadata.get("buildpacks", []):
    if buildpack["api"] not in {buildpack}:
        print("ERROR: no such buildpack API"); sys.exit(12)
{more}
process = metadata["processes"][0]
command = process["command"] if isinstance(process["command"], list) else [process["command"]]
os.execv(command[0], command + process["args"])
"""


def accepts(platform: list[str], buildpack: list[str], more: str = "") -> bytes:
    """Return a launcher that accepts just these APIs, and then does `more`."""
    return ACCEPTS.format(platform=platform, buildpack=buildpack, more=more).encode()


def add(
    tool: Tool, tmp_path: Path, launcher: bytes, platform: str, buildpack: str, name: str = "acme/l", *more: str
) -> None:
    """Install a launcher that claims these APIs."""
    file = tmp_path / "launcher"
    file.write_bytes(launcher)
    apis = ("--platform-apis", platform, "--buildpack-apis", buildpack)
    assert tool.on("bundle", "add", file, "--id", name, "--version", "1", *apis, *more).code == 0


def test_stand_ins_hold_what_they_claim(tool: Tool, tmp_path: Path) -> None:
    """Old and new launchers, with commands as strings and as arrays, prove every claim; the neighbours are refused."""
    for version in ("0.9.3", "0.21.17"):
        assert tool.on("bundle", "add", release(tmp_path, version, STAND_IN)).code == 0
    answer = tool.on("probe")
    assert (answer.code, answer.err) == (0, "")
    place = f"{tool.root}/usr/lib/cnb/launchers/buildpacks/lifecycle"
    assert answer.out.splitlines() == [
        f"buildpacks/lifecycle@0.21.17: 15 of 15 claims proved ({place}/0.21.17/launcher)",
        f"buildpacks/lifecycle@0.9.3: 5 of 5 claims proved ({place}/0.9.3/launcher)",
    ]
    (report,) = tool.on("probe", "buildpacks/lifecycle@0.9.3", "--json").document["launchers"]
    assert [(trial["kind"], trial["api"], trial["claimed"], trial["exit_code"]) for trial in report["trials"]] == [
        *[("platform", "0.2", False, 11), ("platform", "0.3", True, 0), ("platform", "0.4", True, 0)],
        *[("platform", "0.5", False, 11), ("buildpack", "0.1", False, 12), ("buildpack", "0.2", True, 0)],
        *[("buildpack", "0.3", True, 0), ("buildpack", "0.4", True, 0), ("buildpack", "0.5", False, 12)],
        *[("reading", "0.4", False, 1), *[("reading", "0.4", True, 0)] * 3],
    ]
    assert [trial["oddity"] for trial in report["trials"][9:]] == [
        *("byte-order-mark", "control-characters", "invalid-utf-8", "replacement-characters")
    ]


@pytest.mark.parametrize(("kind", "code"), [("platform", 11), ("buildpack", 12)])
def test_one_claim_too_many(tool: Tool, tmp_path: Path, kind: str, code: int) -> None:
    """Exactly the claim that does not hold is reported, in text and in JSON, be it the newest Platform API itself."""
    apis = ["0.7", "0.8"]
    claims = {"platform": "0.7,0.8", "buildpack": "0.7,0.8"} | {kind: ">=0.7,<=0.9"}
    add(tool, tmp_path, accepts(apis, apis), claims["platform"], claims["buildpack"])
    answer = tool.on("probe")
    assert answer.code == 1
    what = f"claims {kind.capitalize()} API 0.9, but refuses it (exit code {code}: ERROR: no such {kind} API)"
    assert answer.out.splitlines()[0].startswith("acme/l@1: 4 of 5 claims proved")
    assert answer.out.splitlines()[1:] == [f"  error: {what}"]
    (report,) = tool.on("probe", "--json").document["launchers"]
    assert report["findings"] == [{"level": "error", "message": what}]


def test_more_than_claimed(tool: Tool, tmp_path: Path) -> None:
    """Accepting a neighbour is a note, and no failure."""
    add(tool, tmp_path, accepts(["0.7", "0.8"], ["0.6", "0.7"]), "0.7", "0.7")
    answer = tool.on("probe")
    assert answer.code == 0
    assert answer.out.splitlines()[1:] == [
        "  note: accepts Platform API 0.8, though its descriptor does not claim it",
        "  note: accepts Buildpack API 0.6, though its descriptor does not claim it",
    ]


# What a launcher holds against a metadata.toml of each kind.
SEES = {
    "control-characters": 'any(c not in "\\n\ufeff\ufffd" and not c.isprintable() for c in text)',
    "invalid-utf-8": '"\ufffd" in text and "\ufffd".encode() not in data',
    "replacement-characters": '"\ufffd".encode() in data',
    "byte-order-mark": 'data.startswith("\ufeff".encode())',
}


@pytest.mark.parametrize("kind", SEES)
def test_what_it_can_not_read(tool: Tool, tmp_path: Path, kind: str) -> None:
    """What a launcher fails at is to be in its descriptor; what is there and does no harm is a note."""
    open_file = 'data = open(os.environ["CNB_LAYERS_DIR"] + "/config/metadata.toml", "rb").read()'
    more = f'{open_file}\ntext = data.decode("utf-8", "replace")\nif {SEES[kind]}: print("ERROR: oh"); sys.exit(1)'
    words = name_oddities([kind])
    for name, launcher, option, findings in (
        ("a/honest", accepts(["0.7"], ["0.7"], more), ["--cannot-read", kind], []),
        (
            "a/silent",
            accepts(["0.7"], ["0.7"], more),
            [],
            [("error", f"can't read {words} in metadata.toml (exit code 1: ERROR: oh)")],
        ),
        (
            "a/modest",
            accepts(["0.7"], ["0.7"]),
            ["--cannot-read", kind],
            [("note", f"reads {words} in metadata.toml, though its descriptor says it can't")],
        ),
    ):
        add(tool, tmp_path, launcher, "0.7", "0.7", name, *option)
        answer = tool.on("probe", name, "--json")
        (report,) = answer.document["launchers"]
        found = [(finding["level"], finding["message"].partition(": add to")[0]) for finding in report["findings"]]
        assert found == findings
        assert answer.code == int(name == "a/silent")
        trials = [trial for trial in report["trials"] if trial["kind"] == "reading"]
        assert {trial["oddity"] for trial in trials} == set(SEES)
        assert {trial["oddity"] for trial in trials if trial["exit_code"]} == (
            {kind} if more.encode() in launcher else set()
        )


def test_other_failures(tool: Tool, tmp_path: Path) -> None:
    """A launcher that fails otherwise, or can't be started at all, proves nothing."""
    add(tool, tmp_path, accepts(["0.7"], ["0.7"], "print('oops'); sys.exit(1)"), "0.7", "0.7", "a/fails")
    add(tool, tmp_path, b"#!/no/such/interpreter\n\n", "0.7", "0.7", "b/none")
    add(tool, tmp_path, STAND_IN, "0.7", "0.7", "d/gone")
    (tool.root / "usr/lib/cnb/launchers/d/gone/1/launcher").unlink()
    add(tool, tmp_path, STAND_IN, "0.7", "0.7", "e/unexecutable")
    (tool.root / "usr/lib/cnb/launchers/e/unexecutable/1/launcher").chmod(0o644)
    add(tool, tmp_path, STAND_IN, "0.7", "0.7", "f/foreign")
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + b"\x34\x12" + bytes(44)
    (tool.root / "usr/lib/cnb/launchers/f/foreign/1/launcher").write_bytes(header)
    document = tool.on("probe", "--json").document
    found = {report["id"]: [finding["message"] for finding in report["findings"]] for report in document["launchers"]}
    nothing = "accepts no Platform API: its Buildpack APIs were not tried"
    assert found == {
        "a/fails": ["claims Platform API 0.7, but fails (exit code 1: oops)", nothing],
        "b/none": ["claims Platform API 0.7, but fails (no such file or directory)", nothing],
        "d/gone": ["can't be run: no such file or directory"],
        "e/unexecutable": ["can't be run: permission denied"],
        "f/foreign": [
            f"can't be run: it is for machine 4660, this machine is {this_architecture()}: probe it on such a machine"
        ],
    }
    assert tool.on("probe", "d/gone").code == 1


def test_timeout_ends_everything(tool: Tool, tmp_path: Path) -> None:
    """A launcher that hangs is ended after its time, with all that it started."""
    mark = tmp_path / "pid"
    more = f"if not os.fork(): open({str(mark)!r}, 'w').write(str(os.getpid()))\nimport time; time.sleep(60)"
    add(tool, tmp_path, accepts(["0.7"], ["0.7"], more), "0.7", "0.7")
    begin = time.monotonic()
    answer = tool.on("probe", "--timeout", "1", "--jobs", "4")
    assert time.monotonic() - begin < 30
    assert answer.code == 1
    assert "claims Platform API 0.7, but fails (no answer in time)" in answer.out
    child = int(mark.read_text())
    until = time.monotonic() + 10  # until init has taken it up
    while is_running(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(process: int) -> bool:
    """Tell whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_it_prints_is_limited(tool: Tool, tmp_path: Path) -> None:
    """A launcher that prints without end fills no disk."""
    add(tool, tmp_path, accepts(["0.7"], ["0.7"], "while True: os.write(1, b'x' * 65536)"), "0.7", "0.7")
    answer = tool.on("probe", "--timeout", "20")
    assert answer.code == 1
    assert "claims Platform API 0.7, but fails (exit code" in answer.out
    assert len(answer.out) < 30000


def test_environment_of_the_launcher(tool: Tool, tmp_path: Path) -> None:
    """The launcher gets an app's environment and nothing of the caller's; nothing is left of the scratch directory."""
    out = tmp_path / "seen"
    more = f"open({str(out)!r}, 'w').write(repr(sorted(os.environ)) + os.environ['CNB_LAYERS_DIR'])"
    add(tool, tmp_path, accepts(["0.7"], ["0.7"], more), "0.7", "0.7")
    assert tool.on("probe").code == 0
    names, _, layers = out.read_text().rpartition("]")
    wanted = ["CNB_APP_DIR", "CNB_DEPRECATION_MODE", "CNB_LAYERS_DIR", "CNB_NO_COLOR", "CNB_PLATFORM_API", "PATH"]
    assert [name for name in wanted if name not in names] == []
    assert "METALAUNCHER" not in names
    assert "HOME" not in names
    assert not Path(layers).exists()


def test_progress_on_a_terminal_only(tool: Tool, tmp_path: Path) -> None:
    """On a terminal it shows how far it has come, and takes that away; elsewhere it is silent."""
    add(tool, tmp_path, accepts(["0.7"], ["0.7"]), "0.7", "0.7")
    shown = on_terminal(tool, "probe", TERM="xterm")
    assert "\r\x1b[Kprobing: 1 of 3 starts" in shown
    assert "acme/l@1: 2 of 2 claims proved" in shown.rpartition("\r\x1b[K")[2]
    assert tool.on("probe").err == ""


def test_metalauncher_itself(tool: Tool, tmp_path: Path) -> None:
    """The root's own metalauncher is not run as a launcher."""
    add(tool, tmp_path, accepts(["0.7"], ["0.7"]), "0.7", "0.7")
    (tool.root / "usr/bin").mkdir(parents=True)
    (tool.root / "usr/bin/metalauncher").symlink_to("/usr/lib/cnb/launchers/acme/l/1/launcher")
    assert "can't be run: is metalauncher itself" in tool.on("probe").out


def test_metadata_of_either_age() -> None:
    """The command is a string below Platform API 0.10 and an array from there on, as lifecycles write it."""
    old, new = (
        metadata(Trial("platform", ApiVersion(api), True, ApiVersion(api), (ApiVersion((0, 2)),)))
        for api in ((0, 9), (0, 10))
    )
    assert b'command = "/' in old
    assert b'command = ["/' in new
    assert b'api = "0.2"' in old


def test_command_line(tool: Tool) -> None:
    """An unknown launcher and senseless limits are refused."""
    assert tool.on("probe", "a/b").err.startswith("ERROR: there is no launcher 'a/b'\n")
    for option, value in (("--timeout", "0"), ("--timeout", "nan"), ("--jobs", "0"), ("--jobs", "x")):
        answer = tool.on("probe", option, value)
        assert answer.code == 3
        assert value in answer.err


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_nothing_to_probe(tool: Tool, options: tuple[str, ...]) -> None:
    """An empty registry proves nothing, and that is an error: a gate must not take it for a proof."""
    answer = tool.on("probe", *options)
    places = [f"{tool.root}/{place}/launchers.d" for place in ("etc/cnb", "usr/lib/cnb")]
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.splitlines() == [
        "ERROR: there is no launcher to probe",
        f"  need:    a valid descriptor in {places[0]} or {places[1]}",
        "  have:    none",
        "  do:      name the root where the launchers are with --root DIR; see which are not in effect",
        f"           metalauncher list --all --root {tool.root}",
    ]


def test_nothing_in_effect(tool: Tool, tmp_path: Path) -> None:
    """What is masked or invalid is named where nothing else is; a masked launcher that is asked for is no success."""
    add(tool, tmp_path, accepts(["0.7"], ["0.7"]), "0.7", "0.7")
    operator = tool.root / "etc/cnb/launchers.d"
    operator.mkdir(parents=True)
    (operator / "acme_l@1.toml").write_text("[launcher]\nmasked = true\n")
    (operator / "broken.toml").write_text("")
    answer = tool.on("probe")
    assert (answer.code, answer.out) == (3, "")
    image = f"{tool.root}/usr/lib/cnb/launchers.d/acme_l@1.toml"
    assert f"  have:    masked: {image} by {operator}/acme_l@1.toml\n" in answer.err
    assert f"           invalid: {operator}/broken.toml: " in answer.err
    add(tool, tmp_path, accepts(["0.7"], ["0.7"]), "0.7", "0.7", "acme/other")
    answer = tool.on("probe", "acme/other", "acme/l@1")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.splitlines()[:3] == [
        "ERROR: acme/l@1 is not in effect: the operator's descriptors override or mask it",
        "  need:    a launcher in effect",
        f"  have:    acme/other@1 in {tool.root}/usr/lib/cnb/launchers.d/acme_other@1.toml",
    ]
    assert tool.on("probe", "acme/other").code == 0


def test_keys_that_a_launcher_requires(tool: Tool, tmp_path: Path) -> None:
    """A launcher that fails without some keys proves its claims if its descriptor requires them, and only then."""
    keys = ("processes", "buildpacks", "buildpack-default-process-type", "Slices", "odd key")
    more = f"absent = [key for key in {keys!r} if key not in metadata]\nif absent: print(absent); sys.exit(82)"
    refuses = ACCEPTS.replace("if os.environ", f"{more}\nif os.environ", 1)
    file = tmp_path / "launcher"
    file.write_text(refuses.format(platform=["0.7", "0.8"], buildpack=["0.7"], more=""))
    apis = ("--platform-apis", "0.7,0.8", "--buildpack-apis", "0.7")
    requires = [option for key in keys for option in ("--requires", key)]
    assert tool.on("bundle", "add", file, "--id", "acme/asks", "--version", "1", *apis, *requires).code == 0
    assert tool.on("bundle", "add", file, "--id", "acme/silent", "--version", "1", *apis).code == 0
    answer = tool.on("probe", "acme/asks")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("acme/asks@1: 3 of 3 claims proved")
    answer = tool.on("probe", "acme/silent")
    assert answer.code == 1
    assert "claims Platform API 0.8, but fails (exit code 82: ['buildpacks', 'buildpack-default" in answer.out


@pytest.mark.parametrize("way", ["option", "option upwards", "variable"])
def test_relative_root(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A root that is named from where one stands is that one, also for what runs elsewhere."""
    add(tool, tmp_path, accepts(["0.7"], ["0.7"]), "0.7", "0.7")
    monkeypatch.chdir(tool.root.parent)
    if way == "variable":
        answer = tool("probe", environ={"METALAUNCHER_ROOT": tool.root.name})
    else:
        (tmp_path / "far/away").mkdir(parents=True)
        (tool.root.parent / "link").symlink_to(tmp_path / "far/away")
        (tmp_path / "far/root").symlink_to(tool.root)
        answer = tool("probe", "--root", tool.root.name if way == "option" else "link/../root")
    assert (answer.code, answer.err) == (0, "")
    launcher = f"{tool.root}/usr/lib/cnb/launchers/acme/l/1/launcher"
    assert answer.out == f"acme/l@1: 2 of 2 claims proved ({launcher})\n"
