"""How much a metadata.toml may make a parser work, and what is remembered of what was parsed."""

from __future__ import annotations

import contextlib
import re
import threading
import time

import pytest
from images import load_app
from rebased import descriptor

from metalauncher.descriptor import Launcher
from metalauncher.environment import Policy
from metalauncher.record import InvalidMetadata, Record, parse_record
from metalauncher.registry import parse_file
from metalauncher.tooling.apps.check import records
from metalauncher.tooling.apps.check.records import WORK_LIMIT, Records, refuse_slow, work_of
from metalauncher.tooling.oci.model import ImageError

PARTS = "has a metadata.toml with keys of more than 16 parts"
SIGNS = "has a metadata.toml of too many tables, keys and values"
LONG = ".".join(["a"] * 17)
SHORT = ".".join(["a"] * 16)
POLICY = Policy({})
SMALL = b'[[buildpacks]]\nid = "a/b"\napi = "0.10"\n'

REFUSED = {
    "header": (f"[{LONG}]", PARTS),
    "array of tables": (f" \t[[ {LONG} ]]", PARTS),
    "a header with a quoted sign": (f'["=".{LONG}]', PARTS),
    "key": (f"b=1\n{LONG} = 1", PARTS),
    "a key with a quoted sign": (f'"=".{LONG} = 1', PARTS),
    "a key with a quoted quote": (rf'"\"=".{LONG} = 1', PARTS),
    "a key in single quotes": (f"'=\"'.{LONG} = 1", PARTS),
    "keys": ("".join([f"k{number}=1\n" for number in range(75_000)]), SIGNS),
    "dotted keys": ("".join([f"k{number}.b.c=1\n" for number in range(30_000)]), SIGNS),
    "headers": ("".join([f"[k{number}]\n" for number in range(40_000)]), SIGNS),
    "deep headers": ("".join([f"[k{number}.{SHORT[2:]}]\n" for number in range(3_000)]), SIGNS),
    "values": ("a=[" + "1," * 160_000 + "]", SIGNS),
    "lines": ("#\n" * 600_001, SIGNS),
    "inline tables": ("a=[" + "{}," * 90_000 + "]", SIGNS),
    "arrays": ("a=" + "[" * 180_000, SIGNS),
    "dots": ("a=[" + "1.5," * 75_000 + "]", SIGNS),
    "escapes": ('a="' + r"\\n" * 700_000 + '"', SIGNS),
    "control characters": ('a="' + "\1" * 700_000 + '"', SIGNS),
    "digits": ("a=0x" + "1" * 1_600_000, SIGNS),
    "quotes": ('a="""' + '" ' * 1_600_000 + '"""', SIGNS),
}
TAKEN = {
    "parts": f"[{SHORT}]\n{SHORT} = 1\n",
    "dots in a value": 'homepage = "' + "a." * 100 + '"\n',
    "dots in quotes": '"' + "a." * 100 + '" = 1\n',
    "dots in an array of texts": 'a = [\n"' + "a." * 100 + '",\n]\n',
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """What would take a parser too long is not given to one."""
    text, reason = REFUSED[case]
    with pytest.raises(ImageError) as error:
        Records().parse(text.encode(), "x", POLICY)
    assert (error.value.kind, error.value.reason) == ("too-large", reason)


@pytest.mark.parametrize("case", TAKEN)
def test_taken(case: str) -> None:
    """Dots that are no key's don't count as parts."""
    refuse_slow(TAKEN[case].encode())


def test_a_large_bill_of_materials_is_taken() -> None:
    """Also one twice as large as the largest known."""
    refuse_slow(load_app("p06-bom300k").metadata * 2)


def test_what_looks_through_it_takes_no_time() -> None:
    """A long line of anything is gone through once."""
    began = time.thread_time()
    for text in (b'"' * (2 << 20), b"'" * (2 << 20), b"\\" * (2 << 20), b" " * (2 << 20), b"[" + b"\t" * (2 << 20)):
        with contextlib.suppress(ImageError):
            refuse_slow(text.replace(b"\n", b""))
    assert time.thread_time() - began < 2


# Of each as many as are taken; what stands before them, one, and what stands behind.
SLOWEST = {
    "dates": ("", "a{}=2020-01-01T00:00:00.5\n", ""),
    "deep keys": ("", f"a{{}}.{SHORT[2:]}=1\n", ""),
    "deep headers": ("", f"[a{{}}.{SHORT[2:]}]\n", ""),
    "values": ("a=[", "1,", "]\n"),
    "control characters": ("", 'a{}="\1"\n', ""),
}


@pytest.mark.parametrize("case", SLOWEST)
def test_what_is_taken_is_soon_known(case: str) -> None:
    """None takes long, the forecast of the launcher that starts it included: a second on one quiet processor."""
    before, one, behind = SLOWEST[case]
    number = int(WORK_LIMIT // work_of((one.format(12345) * 100).encode()) * 100)
    data = (before + "".join([one.format(at) for at in range(number)]) + behind).encode()
    assert work_of(data) > 0.9 * WORK_LIMIT
    launcher = parse_file(descriptor("0.21.17"), "x.toml")
    assert isinstance(launcher, Launcher)
    known = Records()
    began = time.thread_time()
    known.parse(data, "x", POLICY)
    known.foretell(data, launcher)
    assert time.thread_time() - began < 4


def counted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Take note of what is parsed from here on."""
    parsed: list[bytes] = []

    def note(data: bytes, shown: str, policy: Policy) -> Record:
        parsed.append(data)
        return parse_record(data, shown, policy)

    monkeypatch.setattr(records, "parse_record", note)
    return parsed


def test_the_same_file_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever image it is in; another path, Platform API or content is another record."""
    parsed = counted(monkeypatch)
    known = Records()
    first = known.parse(SMALL, "x", POLICY)
    assert known.parse(bytes(bytearray(SMALL)), "x", POLICY) is first
    assert len(parsed) == 1
    assert known.parse(SMALL, "y", POLICY).metadata == "y"
    assert known.parse(SMALL, "x", Policy({b"CNB_PLATFORM_API": b"0.7"})).platform_text == "0.7"
    assert [one.id for one in known.parse(SMALL.replace(b"a/b", b"c/d"), "x", POLICY).buildpacks] == ["c/d"]
    assert len(parsed) == 4


@pytest.mark.parametrize(
    "data",
    [b"".join([b"k%d=1\n" % number for number in range(65)]), SMALL.replace(b"a/b", b"x" * 4096)],
    ids=["parts", "bytes"],
)
def test_what_is_large_is_not_remembered(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Thousands of hostile apps must not grow what is held."""
    parsed = counted(monkeypatch)
    known = Records()
    assert known.parse(data, "x", POLICY).keys == known.parse(data, "x", POLICY).keys
    assert len(parsed) == 2


def test_what_is_no_record_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused again, with the same words."""
    parsed = counted(monkeypatch)
    known = Records()
    for _ in range(2):
        with pytest.raises(InvalidMetadata, match=re.escape("buildpacks is an integer, not an array of tables")):
            known.parse(b"buildpacks = 1", "x", POLICY)
    assert len(parsed) == 2


def test_no_more_is_remembered_than_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is forgotten where it would be one too many."""
    monkeypatch.setattr(records, "_REMEMBERED", 3)
    parsed = counted(monkeypatch)
    known = Records()
    for number in (1, 2, 3, 1, 4, 1):
        known.parse(b"# %d\n" % number, "x", POLICY)
    assert [data[2:3] for data in parsed] == [b"1", b"2", b"3", b"4", b"1"]


def test_one_large_file_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several of them parsed at once would take the memory of all."""
    together, most = 0, 0

    def slow(data: bytes, shown: str, policy: Policy) -> Record:
        nonlocal together, most
        del data, policy
        together += 1
        most = max(most, together)
        time.sleep(0.05)
        together -= 1
        return Record(None, "", (), frozenset(), shown)

    monkeypatch.setattr(records, "parse_record", slow)
    known = Records()
    for more, expected in ((b" " * (300 << 10), 1), (b"\n" * 40_000, 1), (b"  ", 4)):
        most = 0
        threads = [
            threading.Thread(target=known.parse, args=(b"#%d" % number + more, "x", POLICY)) for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == expected, len(more)
