"""What lifecycles write: launch.toml as buildpacks may leave it, through the decoder and the encoder of each release.

`encoders/main.go` is built once with each BurntSushi/toml that a release in `launchers` was built with.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import golang

ENCODERS = Path(__file__).resolve().parent / "encoders"
_TIMEOUT = 120  # seconds; hundreds of files take one


def parsers() -> list[str]:
    """Return the versions of BurntSushi/toml that there are encoders for."""
    return sorted([folder.name for folder in ENCODERS.iterdir() if folder.is_dir()])


def build(parser: str, go: golang.Go | None = None) -> Path:
    """Return the program, from the cache where it is there.

    Raises:
        golang.Unavailable: Go or the module is not to be had here.
    """
    with tempfile.TemporaryDirectory(prefix="encoder-") as folder:
        for file in (ENCODERS / "main.go", *(ENCODERS / parser).iterdir()):
            shutil.copy(file, folder)
        return (go or golang.find()).program(f"encoder-{parser}", Path(folder), ".") / "encoder"


def encode(program: Path, launches: Sequence[bytes], command: str) -> list[bytes | None]:
    """Return the metadata.toml for each launch.toml; None where the build would have failed.

    Args:
        program: of `build`.
        launches: as `launch_toml` makes them.
        command: how a process's command is written: `string`, or since lifecycle 0.15 `json`, and `array` from Platform
            API 0.10 on.
    """
    asked = "".join(
        [json.dumps({"launch": base64.b64encode(one).decode(), "command": command}) + "\n" for one in launches]
    )
    done = subprocess.run([program], input=asked, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(launches)
    return [base64.b64decode(answer["toml"]) if "toml" in answer else None for answer in answers]


# Parts of texts, as they stand in a basic string of launch.toml.
_PLAIN = [b"node", b"server.js", b"--port=8080", b"-Xmx1g", b"/workspace", b"a b", b"$HOME", b"*", b"1.2.3", b""]
_ODD = [
    *(b"\\u001b[1m", b"\\u0007", b"\\u0001", b"\\u001f", b"\\u007f", b"\\f", b"\\b", b"\\u000b", b"\\u0000"),
    *(b"\\u0085", b"\\u009b", b"\\u00a0", b"\\u2028", b"\\ufeff", b"\\ufffd", b"\\ufffe", b"\\U0001f600"),
    *(
        b"\\t",
        b"\\n",
        b"\\r",
        b"\\r\\n",
        b'\\"',
        b"\\\\",
        b"\\\\e",
        b'\\"\\"\\"',
        b"'''",
        b"#",
        b"=",
        b"[[",
        b"]]",
        b"{",
        b"}",
    ),
    *("é".encode(), "中".encode(), "😀".encode(), "\ufffd".encode(), "e\u0301".encode(), "\u202e".encode()),
    *(b"\xe9", b"caf\xe9", b"\xff", b"\xed\xa0\x80", b"\x1b", b"\x7f", b"\x01"),  # as no TOML should be, and some is
    *(b"x" * 3000, b"/" * 40, b"%s", b"\\u0041", b"inf", b"true", b"1979-05-27", b"0x1f"),
]
_VALUES = [
    *(b"0", b"-1", b"9223372036854775807", b"-9223372036854775808", b"1_000", b"+7"),
    *(b"0.1", b"-0.0", b"3.0", b"1e21", b"1e-7", b"1.7976931348623157e308", b"5e-324", b"100000000000000000000.0"),
    *(b"true", b"false", b"[]", b"[1, 2]", b'["a"]', b"[[1], [2]]", b'[["a"], []]', b"[1.5]", b"[true]"),
    *(b"1979-05-27T07:32:00Z", b"1979-05-27T07:32:00.999999999-07:00", b"1979-05-27", b"1979-05-27T07:32:00"),
    *(b"{}", b"{a = 1}", b"{a = {b = [1]}}", b"[{a = 1}, {b = 'x'}]", b"[{}]", b"{a = []}"),
    # TOML 1.0's, and 1.1's
    *(
        b"07:32:00",
        b'[1, "a"]',
        b"[1, 1.5]",
        b"0xff",
        b"0o17",
        b"inf",
        b"-inf",
        b"nan",
        b"1979-05-27 07:32:00",
        b"{a.b = 1}",
    ),
    *(b"{a = 1,}", b"07:32", b"'\\e'", b'[[1], ["a"]]', b"[{a = 1}, 1]", b"[1979-05-27, 07:32:00]"),
]
_KEYS = [
    b"a",
    b"A",
    b"a-b_c",
    b"1",
    b'"a b"',
    b'""',
    b'"a.b"',
    b"'\"'",
    '"é"'.encode(),
    b'"\\u001b"',
    b'"\\n"',
    b"true",
]


def launch_toml(random: random.Random, api: str) -> bytes:
    """Return one, with what its buildpack.toml says beside it. Its process `web` ends at once with 0."""

    def text(odd: float) -> bytes:
        parts = [
            random.choice(_ODD if random.random() < odd else _PLAIN) for _ in range(random.choice((1, 1, 1, 2, 3)))
        ]
        return b'"' + b"".join(parts) + b'"'

    def texts(odd: float) -> bytes:
        return b"[" + b", ".join([text(odd) for _ in range(random.choice((0, 1, 2)))]) + b"]"

    odd = random.choice((0.02, 0.1, 0.3))
    identifier = b'"acme/node"' if random.random() > odd / 3 else text(0.5)
    lines = [b"[buildpack]", b"id = " + identifier, b"version = " + text(odd), b'api = "' + api.encode() + b'"']
    lines += [b"homepage = " + text(odd)] if random.random() < 0.5 else []
    lines += [b"[[processes]]", b'type = "web"', b'command = "true"', b"args = " + texts(odd), b"direct = true"]
    for _ in range(random.choice((0, 0, 1, 2))):
        lines += [b"[[processes]]", b"type = " + text(odd), b"command = " + text(odd), b"args = " + texts(odd)]
        lines += [b"working-dir = " + text(odd)] if random.random() < 0.3 else []
        lines += [b"default = true"] if random.random() < 0.3 else []
    for _ in range(random.choice((0, 0, 1, 3))):
        lines += [b"[[labels]]", b"key = " + text(odd), b"value = " + text(odd)]
    lines += [b"[[slices]]\npaths = " + texts(odd)] if random.random() < 0.3 else []
    for _ in range(random.choice((0, 1, 1, 2))):
        lines += [b"[[bom]]", b"name = " + text(odd), b"[bom.metadata]"]
        keys = random.sample(_KEYS, random.choice((0, 1, 3)))
        lines += [key + b" = " + (random.choice(_VALUES) if random.random() < 0.7 else text(odd)) for key in keys]
    return b"\n".join([*lines, b""])


def mutate(random: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return a file that somebody edited: pieces of it, and of other files, taken out, doubled and put in."""
    pieces: Iterable[int] = range(random.choice((1, 1, 1, 2, 3)))
    for _ in pieces:
        at = random.randrange(len(data) + 1)
        match random.randrange(5):
            case 0:
                data = data[:at] + data[at + random.randrange(1, 9) :]
            case 1:
                data = (
                    data[:at]
                    + random.choice((*_ODD, b'"', b"\n", b",", b".", b" ", b"\t", b"0", b"\\", b"e", b":"))
                    + data[at:]
                )
            case 2:
                lines = data.splitlines(keepends=True) or [b""]
                number = random.randrange(len(lines))
                data = b"".join([*lines[:number], random.choice(lines), *lines[number:]])
            case 3:
                lines = random.choice(others).splitlines(keepends=True) or [b""]
                data += random.choice(lines)
            case _:
                data += (
                    b"\n[bom-of-" + str(at).encode() + b"]\n" + random.choice(_KEYS) + b" = " + random.choice(_VALUES)
                )
    return data
