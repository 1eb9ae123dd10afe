"""What is done to it on purpose: privileges, environments, registries and files made to stop, delay or mislead it."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import APPS, Form, Image
from native import Native

LAUNCHED = 42  # tests/native/answer.c
NOBODY = 65534
MIB = 1 << 20
SECONDS = 60  # for what is large: on a busy machine, minutes less than a hang

DESCRIPTOR = """
[launcher]
id = "{id}"
version = "{version}"
path = "/opt/good"
[apis.platform]
supported = ["0.9"]
[apis.buildpack]
supported = ["0.9"]
"""
METADATA = '[[buildpacks]]\nid = "acme/a"\napi = "0.9"\n'


@dataclass(frozen=True)
class Ended:
    """How a start ended; the seconds are the processor's, so that what else the machine does takes no part."""

    code: int
    stdout: bytes
    stderr: bytes
    seconds: float

    def clear(self) -> str:
        """Return the whole message of a refusal, which is printable text with a first line that says what is wrong."""
        text = self.stderr.decode()
        assert text.startswith("ERROR: "), text[:200]
        assert all(c == "\n" or c.isprintable() for c in text)
        assert "internal error" not in text
        return text


def _processor_time() -> float:
    """Return what the processes that this one waited for took so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Scene:
    """A run image with one launcher that covers its app."""

    def __init__(self, image: Image, native: Native) -> None:
        """Lay it out."""
        self.image = image
        self.environ: dict[bytes, bytes] = {os.fsencode(k): os.fsencode(v) for k, v in image.environ.items()}
        self.environ[b"CNB_PLATFORM_API"] = b"0.9"
        self.record(METADATA)
        self.good = image.root / "opt/good"
        self.good.parent.mkdir()
        shutil.copy2(native.program("answer"), self.good)
        self.declare("good.toml", "acme/good", "1")
        self.web = image.by_link()

    def declare(self, name: str, identifier: str, version: str, more: str = "") -> Path:
        """Add a descriptor of the good launcher."""
        file = self.image.usr / name
        file.write_text(DESCRIPTOR.format(id=identifier, version=version) + more)
        return file

    def record(self, text: str | bytes) -> Path:
        """Give the app a metadata.toml."""
        file = self.image.use_metadata(text)
        self.environ[b"CNB_LAYERS_DIR"] = os.fsencode(self.image.environ["CNB_LAYERS_DIR"])
        return file

    def start(self, *arguments: str | bytes, program: Path | None = None, uid: int | None = None) -> Ended:
        """Start the app's `web`, or another program."""
        before = _processor_time()
        done = subprocess.run(
            [program or self.web, *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr, _processor_time() - before)

    def which(self, *options: str | bytes) -> Ended:
        """Ask `--which`."""
        return self.start("--which", *options, program=self.image.executable)


@pytest.fixture
def scene(image: Image, native: Native) -> Scene:
    """Return the scene of these tests."""
    return Scene(image, native)


@pytest.fixture
def open_scene(form: Form, native: Native, public: Path, tmp_path: Path) -> Scene:
    """Return a scene that every user can reach."""
    if os.geteuid() != 0:
        pytest.skip("this needs root: files of other users, and capabilities")
    return Scene(Image(public / tmp_path.name / form.name, form), native)


def test_the_scene(scene: Scene) -> None:
    """Left alone, the launcher is started."""
    ended = scene.start()
    assert (ended.code, ended.stdout, ended.stderr) == (LAUNCHED, b"", b"")


# Privileges.


def test_set_user_id(form: Form, open_scene: Scene) -> None:
    """In a set-id process METALAUNCHER_ROOT names nothing: the system's own places are looked in."""
    executable = open_scene.image.executable
    os.chown(executable, NOBODY, NOBODY)
    executable.chmod(0o6755)
    ended = open_scene.start()
    if form.is_script:  # Linux ignores the bits of a script: there are no rights to be abused
        assert ended.code == LAUNCHED
        return
    assert os.fsencode(open_scene.image.root) not in ended.stderr
    assert ended.code == 80
    assert "no descriptor in /etc/cnb/launchers.d or /usr/lib/cnb/launchers.d" in ended.clear()
    assert open_scene.which("--json").code == 80
    open_scene.environ |= {b"METALAUNCHER_PIN": b"nobody@1", b"METALAUNCHER_LOG": b"json"}
    ended = open_scene.start()
    assert ended.code == 80
    event, refusal = ended.stderr.splitlines()
    assert json.loads(event)["exit_code"] == json.loads(refusal)["exit_code"] == 80


@pytest.mark.parametrize("bits", [0o4755, 0o2755])
def test_set_id_either_way(bits: int, form: Form, open_scene: Scene) -> None:
    """The user's or the group's bit alone is enough."""
    os.chown(open_scene.image.executable, NOBODY, NOBODY)
    open_scene.image.executable.chmod(bits)
    assert open_scene.start().code == (LAUNCHED if form.is_script else 80)  # Linux ignores the bits of a script


def test_file_capabilities(form: Form, open_scene: Scene) -> None:
    """With file capabilities METALAUNCHER_ROOT is ignored as well; Linux ignores those of a script."""
    low_ports = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # revision 2, effective; CAP_NET_BIND_SERVICE
    try:
        os.setxattr(open_scene.image.executable, "security.capability", low_ports)
    except OSError as error:
        pytest.skip(f"no file capabilities here: {error}")
    ended = open_scene.start(uid=NOBODY)
    if form.is_script:
        assert ended.code == LAUNCHED
    else:
        assert ended.code == 80
        assert os.fsencode(open_scene.image.root) not in ended.stderr


def test_what_it_may_not_read(open_scene: Scene) -> None:
    """Without rights a registry that can't be read is named, and a record that can't be is refused."""
    open_scene.image.usr.chmod(0o700)
    ended = open_scene.start(uid=NOBODY)
    assert ended.code == 80
    assert "permission denied" in ended.clear()
    open_scene.image.usr.chmod(0o755)
    (open_scene.image.root / "layers/config/metadata.toml").chmod(0)
    ended = open_scene.start(uid=NOBODY)
    assert ended.code == 1
    assert "permission denied" in ended.clear()
    (open_scene.image.root / "layers/config/metadata.toml").chmod(0o644)
    (open_scene.image.usr / "secret.toml").touch(0o600)
    open_scene.good.chmod(0o711)
    assert open_scene.start(uid=NOBODY).code == LAUNCHED


def test_a_registry_that_all_may_write_works(scene: Scene) -> None:
    """Dispatch asks for no permissions: finding a registry that others may write is a job for the build."""
    for path in (scene.image.usr, scene.image.usr / "good.toml", scene.good):
        path.chmod(0o777)
    assert scene.start().code == LAUNCHED


# The environment.


@pytest.mark.parametrize("root", [b"relative", b"", b".", b"..", b"\xff", b"~", b"C:\\", b"-"])
def test_a_root_that_is_not_absolute_is_ignored(root: bytes, scene: Scene) -> None:
    """METALAUNCHER_ROOT never means the working directory, or anything beside it."""
    scene.environ[b"METALAUNCHER_ROOT"] = root
    ended = scene.start()
    assert ended.code == 80
    assert "no descriptor in /etc/cnb/launchers.d or /usr/lib/cnb/launchers.d" in ended.clear()


@pytest.mark.parametrize(
    "root", [b"/nowhere", b"/\x1b[31m\n", b"/" * 5000, b"/x" * 60_000, b"/proc/self/fd", b"/dev/null", b"/\xff\xfe"]
)
def test_a_root_where_nothing_is(root: bytes, scene: Scene) -> None:
    """Wherever it leads, the answer is that there is no launcher, in printable and bounded words."""
    scene.environ[b"METALAUNCHER_ROOT"] = root
    ended = scene.start()
    assert ended.code == 80
    assert len(ended.clear()) < 30_000


@pytest.mark.parametrize("size", [10, 2_000, 130_000])
@pytest.mark.parametrize("byte", [b"x", b"@", b",", b">", b"1", b".", b"\x1b", b"\xff", b"\n", b" "])
def test_a_pin_of_nonsense(byte: bytes, size: int, scene: Scene) -> None:
    """A pin of whatever bytes, of whatever length, is 81 within bounded time and text; it never picks a launcher."""
    for text in (byte * size, b"acme/good@" + byte * size, b"acme/good@>=" + byte * size):
        scene.environ[b"METALAUNCHER_PIN"] = text
        ended = scene.start()
        assert ended.code == 81, text[:30]
        assert len(ended.clear()) < 20_000
        assert ended.seconds < SECONDS / 4


def test_variables_that_are_not_known(scene: Scene) -> None:
    """Other METALAUNCHER_* variables change nothing; METALAUNCHER_LOG with another value is said to be no good."""
    for number in range(500):
        scene.environ[b"METALAUNCHER_%d" % number] = b"\xff" * 100
    scene.environ |= {b"METALAUNCHER_LOG": b"/etc/passwd", b"METALAUNCHER_": b"x", b"METALAUNCHER_PIN": b""}
    ended = scene.start()
    assert ended.code == LAUNCHED
    assert ended.stderr == b"Warning: METALAUNCHER_LOG is text or json, not '/etc/passwd': nothing is logged\n"


@pytest.mark.parametrize("name", [b"CNB_PLATFORM_API", b"CNB_LAYERS_DIR", b"CNB_DEPRECATION_MODE", b"METALAUNCHER_LOG"])
@pytest.mark.parametrize("byte", [b"1", b"v", b".", b"/", b"\x1b", b"\xff", b"\n"])
def test_values_of_130_kilobytes(name: bytes, byte: bytes, scene: Scene) -> None:
    """The longest value the kernel takes gets the launcher or a refusal of a few lines."""
    scene.environ[name] = byte * 131_000
    ended = scene.start()
    if ended.code != LAUNCHED:
        assert ended.code == {b"CNB_PLATFORM_API": 11, b"CNB_LAYERS_DIR": 1}[name]
        assert len(ended.clear()) < 30_000
        assert max(len(line) for line in ended.clear().splitlines()) < 6_500
    assert ended.seconds < SECONDS / 4


def test_a_path_without_end_in_a_root(scene: Scene) -> None:
    """Under `--root` every part of a path is resolved: one that no file can have ends that at once."""
    target = ("a/" * 2000).encode()
    os.symlink(target + b"b", scene.image.root / "a")
    os.symlink("a", scene.image.root / "b")
    for layers in (b"/x" * 65_000, b"/a/" + target, b"/b" * 1300):
        scene.environ[b"CNB_LAYERS_DIR"] = layers
        ended = scene.which("--root", os.fsencode(scene.image.root))
        assert ended.code == 1
        assert ended.clear().startswith("ERROR: failed to read metadata: ")
        assert ended.seconds < SECONDS / 4


# The registry.


def test_links_without_end(scene: Scene) -> None:
    """A farm of links, loops, ladders and links to the directory itself stops nobody, and is soon walked."""
    usr = scene.image.usr
    for number in range(500):
        (usr / f"loop{number}.toml").symlink_to(f"loop{(number + 1) % 500}.toml")
        (usr / f"ladder{number}.toml").symlink_to(f"ladder{number + 1}.toml")
        (usr / f"self{number}.toml").symlink_to(".")
        (usr / f"same{number}.toml").symlink_to("good.toml")
        (usr / f"mask{number}.toml").symlink_to("/dev/null")
    (usr / "down.toml").symlink_to("down.toml/" * 60)
    ended = scene.start()
    assert (ended.code, ended.stderr) == (LAUNCHED, b"")
    assert ended.seconds < SECONDS / 4
    assert scene.which("--json").code == 0


def test_a_descriptor_of_64_mebibytes(scene: Scene) -> None:
    """It is refused unread, and the launcher beside it is started; one of 64 KiB is read."""
    (scene.image.usr / "large.toml").write_bytes(b"#" * (64 * MIB))
    with (scene.image.usr / "larger.toml").open("wb") as file:
        file.truncate(1 << 42)
    ended = scene.start()
    assert (ended.code, ended.stderr) == (LAUNCHED, b"")
    said = scene.which().stderr.decode()
    assert "large.toml: is larger than 64 KiB" in said
    assert "larger.toml: is larger than 64 KiB" in said
    text = DESCRIPTOR.format(id="acme/large", version="2")
    (scene.image.usr / "large.toml").write_text(text + "#" * (64 * 1024 - len(text)))
    assert b'"acme/large"' in scene.which("--json").stdout


def test_many_launchers(form: Form, scene: Scene) -> None:
    """Ten thousand launchers cost ten times what a thousand do, not a hundred times."""
    seconds: list[float] = []
    made = 0
    for count in (1_000, 10_000):
        for number in range(made, count):
            scene.declare(f"{number}.toml", f"acme/{number % 7}", f"0.{number}")
        made = count
        ended = min([scene.start() for _ in range(2)], key=lambda one: one.seconds)
        assert (ended.code, ended.stderr) == (LAUNCHED, b"")
        seconds.append(ended.seconds)
    assert seconds[1] < 25 * seconds[0] + (1 if form.is_script else 0.5)
    scene.environ[b"CNB_PLATFORM_API"] = b"0.99"
    assert len(scene.start().clear()) < 10_000
    assert json.loads(scene.which("--json").stdout)["exit_code"] == 11


def test_launchers_that_cannot_be_started(scene: Scene) -> None:
    """Each of a hundred covering launchers that are not there is warned of once, but the last; then it is 82."""
    for number in range(99):
        scene.declare(f"{number}.toml", "acme/gone", f"0.{number}")
    scene.good.unlink()
    ended = scene.start()
    lines = ended.stderr.decode().splitlines()
    assert ended.code == 82
    assert [line[:9] for line in lines[:99]] == ["Warning: "] * 99
    assert lines[99].startswith("ERROR: failed to launch: ")


ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m\x7f\u202e\u2028\u200b\ud800\r\n\t\b"


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if ord(c) < 0xD800 else "" for c in text)


def test_escapes_reach_no_terminal(scene: Scene) -> None:
    """What can't be shown is written out: ids, names, APIs, pins, variables, the parser's messages."""
    usr, escaped = scene.image.usr, _escaped(ESCAPES)
    for name, text in {
        "a\x1b[31m\r\n\x07.toml": "[launcher]",
        "b.toml": f'[launcher]\nid = "{escaped}"',
        "c.toml": f'[launcher]\nid = "x"\nversion = "{escaped}"\n[apis]',
        "d.toml": f'[launcher]\n"{escaped}" = 1',
        "e.toml": f'[launcher]\nid = "x"\nversion = "1"\npath = "{escaped}"\n[apis]',
        "f.toml": f'[launcher]\nid="x"\nversion="1"\n[apis.platform]\nsupported=["{escaped}"]\n[apis.buildpack]\n',
        "g.toml": f'[launcher]\nid="x"\nversion="1"\n[apis.platform]\nsupported=">=0.1,{escaped}"\n',
        "h.toml": f'[launcher]\nid = "x"\nversion = "1"\nopt-in-env = "{escaped}="\n[apis]',
        "i.toml": "\x1b[31m = 1",
    }.items():
        (usr / name).write_text(text)
    scene.declare("j.toml", "acme/needs", "9", "").write_text(
        DESCRIPTOR.format(id="acme/needs", version="9").replace(
            'path = "/opt/good"', f'opt-in-env = "{escaped}"\nrequires = ["{escaped}"]\npath = "/opt/{escaped[6:]}"'
        )
    )
    scene.record(f'[[buildpacks]]\nid = "{escaped}"\napi = "{escaped}"\n"{escaped}" = 1\n')
    raw = ESCAPES.encode("utf-8", "surrogatepass")
    for variables in (
        {},
        {b"METALAUNCHER_PIN": raw},
        {b"METALAUNCHER_PIN": b"acme/needs@9"},
        {b"CNB_PLATFORM_API": raw},
        {b"CNB_PLATFORM_API": b""},
        {b"CNB_LAYERS_DIR": b"/" + raw},
        {b"METALAUNCHER_ROOT": b"/" + raw},
        {b"METALAUNCHER_LOG": b"json"},
        {b"METALAUNCHER_LOG": b"json", b"CNB_PLATFORM_API": raw},
    ):
        before = dict(scene.environ)
        scene.environ |= variables
        for ended in (
            scene.start(),
            scene.which(),
            scene.which("--json"),
            scene.which("--metadata", raw),
            scene.which("--root", raw),
            scene.which(raw),
            scene.which("--platform-api", raw, "--buildpack-api", b"x" + raw + b"=0.9"),
        ):
            for data in (ended.stdout, ended.stderr):
                assert all(c == "\n" or c.isprintable() for c in data.decode()), (variables, data)
        scene.environ = before


@pytest.mark.parametrize("field", ["id", "version", "path", "opt-in-env", "requires"])
def test_a_nul_in_a_descriptor(field: str, scene: Scene) -> None:
    """A NUL, which no path and no variable can hold, makes a descriptor invalid, or is matched by nothing."""
    value = '["a\\u0000"]' if field == "requires" else '"/opt/good\\u0000x"'
    text = re.sub(rf"(?m)^{field} = .*\n", "", DESCRIPTOR.format(id="acme/nul", version="9"))
    (scene.image.usr / "nul.toml").write_text(text.replace("[launcher]", f"[launcher]\n{field} = {value}"))
    ended = scene.start()
    assert (ended.code, ended.stderr) == (LAUNCHED, b"")
    (scene.image.usr / "good.toml").unlink()
    ended = scene.start()
    assert ended.code in (80, 11, 12)
    ended.clear()


def test_a_nul_in_a_record(scene: Scene) -> None:
    """A NUL as a character is no TOML; escaped it is a character of a string, like any other."""
    scene.record(METADATA.encode() + b"\0")
    assert scene.start().code == 1
    scene.record('[[buildpacks]]\nid = "a\\u0000b"\napi = "0.9"\n')
    assert scene.start().code == LAUNCHED
    scene.record('[[buildpacks]]\nid = "a\\u0000b"\napi = "0.9\\u0000"\n')
    assert "a\\x00b" in scene.start().clear()


# The record: files that are large, deep, or made to be slow.


def _repeat(unit: str, size: int = MIB) -> str:
    return unit * (size // len(unit))


def _numbered(unit: str, size: int = MIB) -> str:
    parts: list[str] = []
    length = 0
    while length < size:
        parts.append(unit.replace("#", str(len(parts))))
        length += len(parts[-1])
    return "".join(parts)


SLOW: dict[str, Callable[[], str]] = {
    "keys": lambda: _numbered("#=1\n"),
    "dotted-keys": lambda: _numbered("a.b.c.k#=1\n"),
    "dotted-keys-deep": lambda: _numbered("a." * 50 + "k#=1\n"),
    "key-of-half-a-million-parts": lambda: "a." * (MIB // 2) + "a=1",
    "tables": lambda: _numbered("[a.b.c#]\n"),
    "tables-deep": lambda: _numbered("[" + "a." * 100 + "k#]\n"),
    "table-of-half-a-million-parts": lambda: "[" + "a." * (MIB // 2) + "a]",
    "tables-above": lambda: _numbered("[x#.a.b]\n[x#]\n"),
    "arrays-of-tables": lambda: _repeat("[[a.b.c]]\n"),
    "arrays-of-tables-with-tables": lambda: _repeat("[[a]]\n[a.b]\nc=1\n"),
    "array": lambda: "a=[" + _repeat("1,") + "]",
    "arrays-nested": lambda: "a=" + "[" * (MIB // 2) + "]" * (MIB // 2),
    "arrays-nested-400-times": lambda: _numbered("a#=" + "[" * 399 + "]" * 399 + "\n"),
    "tables-nested-400-times": lambda: _numbered("a#=" + "{a=" * 399 + "1" + "}" * 399 + "\n"),
    "inline-table": lambda: "a={" + _numbered("k#=1,") + "z=1}",
    "string": lambda: 'a="' + "x" * MIB + '"',
    "string-of-escapes": lambda: 'a="' + _repeat("\\u001b") + '"',
    "string-without-end": lambda: 'a="' + _repeat("\\\\"),
    "multi-line-string": lambda: 'a="""' + _repeat('"" ') + '"""',
    "multi-line-string-without-end": lambda: "a='''" + _repeat("\n'"),
    "folded-lines": lambda: 'a="""' + _repeat("\\\n   ") + '"""',
    "lines": lambda: "\n" * MIB,
    "blanks": lambda: " " * MIB,
    "comments": lambda: _repeat("#\n"),
    "comments-in-an-array": lambda: "a=[" + _repeat("#\n") + "]",
    "comment-with-a-control-character": lambda: "#" + "x" * MIB + "\x01",
    "integer": lambda: "a=" + "1" * MIB,
    "integers-of-4000-digits": lambda: _numbered("a#=" + "1" * 4000 + "\n"),
    "hexadecimal": lambda: "a=0x" + "f" * MIB,
    "float": lambda: "a=1." + "1" * MIB,
    "floats": lambda: _numbered("a#=1.2345678901234567890e300\n"),
    "dates": lambda: _numbered("a#=1979-05-27T07:32:00.999999-07:00\n"),
    "brackets": lambda: "[" * MIB,
    "buildpacks": lambda: _numbered('[[buildpacks]]\nid="#"\napi="0.9"\n'),
    "buildpacks-in-capitals": lambda: _repeat('[[buildpacks]]\nAPI="0.9"\n'),
    "buildpack-of-many-keys": lambda: "[[buildpacks]]\n" + _numbered("x#=1\n"),
    "apis": lambda: _numbered('[[buildpacks]]\nid="#"\napi="0.#"\n'),
    "api-of-a-million-digits": lambda: '[[buildpacks]]\napi="' + "1" * MIB + '"',
    "api-of-a-million-zeros": lambda: '[[buildpacks]]\napi="' + "0" * MIB + '.9"',
    "nul": lambda: "\0" * MIB,
}


@pytest.mark.parametrize("name", SLOW)
def test_a_record_made_to_be_slow(name: str, scene: Scene) -> None:
    """A mebibyte of whatever is worst for a parser takes seconds at most, and ends as documented, in a few words."""
    scene.record(SLOW[name]())
    ended = scene.start()
    assert ended.code in (LAUNCHED, 1, 12), ended.stderr[:500]
    if ended.code != LAUNCHED:
        assert len(ended.clear()) < 20_000
    assert ended.seconds < SECONDS / 4


@pytest.mark.parametrize("name", ["keys", "array", "integer", "float", "string-of-escapes", "buildpacks", "tables"])
def test_time_grows_with_size(name: str, scene: Scene) -> None:
    """Four times the size takes about four times as long, not sixteen times."""
    text = SLOW[name]()
    seconds = []
    for size in (MIB // 4, MIB):
        scene.record(text[:size].rpartition("\n")[0] if "\n" in text else text[:size])
        seconds.append(min(scene.start().seconds for _ in range(2)))
    assert seconds[1] < 9 * seconds[0] + 0.2


def test_a_million_keys(scene: Scene) -> None:
    """Twelve megabytes in a million keys are read in seconds."""
    scene.record("".join(f"key{n}=1\n" for n in range(1_000_000)) + METADATA)
    ended = scene.start()
    assert (ended.code, ended.stderr) == (LAUNCHED, b"")


def test_more_than_64_mebibytes(scene: Scene) -> None:
    """A sparse record above the limit is refused unread; one at the limit is read."""
    file = scene.record("")
    os.truncate(file, 64 * MIB + 1)
    ended = scene.start()
    assert ended.code == 1
    assert "is larger than 64 MiB" in ended.clear()
    os.truncate(file, 1 << 42)
    assert scene.start().seconds < SECONDS / 4
    with file.open("wb") as large:
        large.write(METADATA.encode())
        for _ in range(64):
            large.write(b"#" * (MIB - 1) + b"\n")
        large.truncate(64 * MIB)
    assert scene.start().code == LAUNCHED


def test_the_largest_record_of_the_field(form: Form, image: Image, native: Native) -> None:
    """An app with 300 KB of bill of materials is dispatched as quickly as others, within a small factor."""
    scene = Scene(image, native)
    small = min(scene.start().seconds for _ in range(5))
    scene.environ[b"CNB_LAYERS_DIR"] = os.fsencode(APPS / "p06-bom300k/layers")
    scene.environ[b"CNB_PLATFORM_API"] = b"0.9"
    large = min(scene.start().seconds for _ in range(5))
    assert large < (20 if form.is_script else 60) * small + 0.2
