"""Write the archives of `tests/data/tooling/oci/tar`, each one oddity of its own.

To be run as a script, once a case was added: `python tests/support/tar_cases.py`.
"""

from __future__ import annotations

from pathlib import Path

from raw_tar import (
    END,
    GNU,
    STAR,
    V7,
    base256,
    block,
    long_name,
    member,
    octal,
    old_sparse,
    pax,
    record,
    sparse_0,
    sparse_1_0,
)

FOLDER = Path(__file__).resolve().parent.parent / "data/tooling/oci/tar"
_NEXT = member(b"next", b"n")
_PIECES = [(1, 3), (10, 2)]
_MANY = [(10 * number, 1) for number in range(30)]

CASES: dict[str, bytes] = {
    # names
    "v7": member(b"v7", b"x", b"\0", magic=V7) + END,
    "v7-directory": member(b"v7/", kind=b"\0", magic=V7) + _NEXT + END,
    "v7-directory-with-size": block(b"v7/", 600, b"\0", magic=V7) + _NEXT + END,
    "v7-with-prefix": member(b"name", b"x", magic=V7, prefix=b"prefix") + END,
    "file-with-slash": member(b"file/", b"x") + END,
    "ustar-prefix": member(b"name", b"x", prefix=b"a/b") + END,
    "star-prefix": member(b"name", b"x", prefix=b"a/b", magic=STAR) + END,
    "star-prefix-of-131": member(b"name", b"x", prefix=b"p" * 131, magic=STAR, more={476: octal(5, 12)}) + END,
    "star-times": member(b"name", b"x", prefix=b"a/b", magic=STAR, more={476: b"x"}) + END,
    "gnu-times": member(b"name", b"x", magic=GNU, more={345: octal(5, 12)}) + END,
    "gnu-prefix-of-old-go": member(b"name", b"x", magic=GNU, prefix=b"a/b") + END,
    "gnu-prefix-not-ascii": member(b"name", b"x", magic=GNU, prefix=b"\xc3\xa9") + END,
    "name-of-100": member(b"n" * 100, b"x", target=b"t" * 100) + END,
    "name-not-utf-8": member(b"\xff\xfe", b"x") + END,
    "name-behind-nul": member(b"a\0b", b"x") + END,
    "long-name": long_name(b"n" * 300) + member(b"short", b"x") + END,
    "long-link": long_name(b"l" * 300, b"K") + member(b"short", kind=b"2", target=b"x") + END,
    "long-name-empty": long_name(b"") + member(b"short", b"x") + END,
    "long-name-with-nul": long_name(b"a\0b") + member(b"short", b"x") + END,
    "long-name-and-slash": long_name(b"n" * 200 + b"/") + member(b"short", kind=b"\0") + END,
    "long-names-twice": long_name(b"one") + long_name(b"two") + member(b"short", b"x") + END,
    # PAX
    "pax-path": pax([(b"path", b"long"), (b"linkpath", b"to")]) + member(b"short", kind=b"2") + END,
    "pax-path-empty": pax([(b"path", b"")]) + member(b"short", b"x") + END,
    "pax-path-with-nul": pax([(b"path", b"a\0b")]) + member(b"short", b"x") + END,
    "pax-linkpath-with-nul": pax([(b"linkpath", b"a\0b")]) + member(b"short", b"x", b"2") + END,
    "pax-comment-with-nul": pax([(b"comment", b"a\0b")]) + member(b"short", b"x") + END,
    "pax-key-with-nul": pax([(b"a\0b", b"x")]) + member(b"short", b"x") + END,
    "pax-then-long-name": pax([(b"path", b"pax")]) + long_name(b"gnu") + member(b"short", b"x") + END,
    "long-name-then-pax": long_name(b"gnu") + pax([(b"path", b"pax")]) + member(b"short", b"x") + END,
    "pax-twice": pax([(b"path", b"one"), (b"uid", b"7")]) + pax([(b"gid", b"8")]) + member(b"short", b"x") + END,
    "pax-key-twice": pax([(b"path", b"one"), (b"path", b"two")]) + member(b"short", b"x") + END,
    "pax-key-twice-empty": pax([(b"path", b"one"), (b"path", b"")]) + member(b"short", b"x") + END,
    "pax-before-nothing": pax([(b"path", b"one")]) + END,
    "pax-then-cut": pax([(b"path", b"one")]),
    "pax-size": pax([(b"size", b"1")]) + block(b"file", 600) + b"x".ljust(512, b"\0") + _NEXT + END,
    "pax-size-negative": pax([(b"size", b"-512")]) + member(b"file", b"x") + END,
    "pax-size-of-a-directory": pax([(b"size", b"-512")]) + member(b"file", kind=b"5") + _NEXT + END,
    "pax-uid": pax([(b"uid", b"+12"), (b"gid", b"-1")]) + member(b"file", b"x") + END,
    "pax-uid-with-underscore": pax([(b"uid", b"1_2")]) + member(b"file", b"x") + END,
    "pax-uid-too-large": pax([(b"uid", b"9223372036854775808")]) + member(b"file", b"x") + END,
    "pax-time": pax([(b"mtime", b"-1.5")]) + member(b"file", b"x") + END,
    "pax-time-wrong": pax([(b"atime", b"1.5s")]) + member(b"file", b"x") + END,
    "pax-global": pax([(b"path", b"all")], b"g") + member(b"file", b"x") + END,
    "pax-then-global": pax([(b"path", b"pax")]) + pax([(b"comment", b"g")], b"g") + member(b"file", b"x") + END,
    "pax-global-wrong": pax([(b"uid", b"x")], b"g") + member(b"file", b"x") + END,
    "pax-record-without-newline": member(b"p", b"9 path=ab", b"x") + member(b"file", b"x") + END,
    "pax-record-without-equals": member(b"p", b"8 pathx\n", b"x") + member(b"file", b"x") + END,
    "pax-record-too-long": member(b"p", b"99 path=a\n", b"x") + member(b"file", b"x") + END,
    "pax-record-of-zeros": member(b"p", b"010 path=a\n\0\0", b"x") + member(b"file", b"x") + END,
    "pax-record-signed": member(b"p", b"+11 path=a\n", b"x") + member(b"file", b"x") + END,
    "pax-record-with-newline": member(b"p", record(b"path", b"a\nb"), b"x") + member(b"file", b"x") + END,
    # numbers and sums
    "octal-with-spaces": block(b"file", b"     1     ") + b"x".ljust(512, b"\0") + END,
    "octal-behind-nul": block(b"file", b"1\0007") + b"x".ljust(512, b"\0") + END,
    "octal-wrong": block(b"file", b"9") + END,
    "octal-signed": block(b"file", b"+1") + END,
    "octal-time-wrong": block(b"file", time=b"x") + END,
    "base-256": block(b"file", base256(1, 12), owner=base256(1 << 33, 8), group=base256(-2, 8)) + b"x".ljust(512) + END,
    "base-256-too-large": block(b"file", owner=b"\x80\1\0\0\0\0\0\0", size=b"\x80\0\1" + bytes(9)) + END,
    "size-negative": block(b"file", base256(-1, 12)) + END,
    "size-negative-of-a-link": block(b"link", base256(-1, 12), b"2", target=b"x") + END,
    "sum-signed": member(b"\xff\xff", b"x", signed=True) + END,
    "sum-wrong": block(b"file", checksum=b"000001\0 ") + END,
    "sum-none": block(b"file", checksum=b"x" * 8) + END,
    "device": block(b"null", kind=b"3", device=(1, 3)) + END,
    "device-in-v7": block(b"null", kind=b"3", magic=V7, more={329: octal(1, 8)}) + END,
    # ends
    "empty": b"",
    "zeros-once": member() + bytes(512),
    "zeros-in-the-middle": member() + bytes(512) + _NEXT + END,
    "zeros-and-half": member() + bytes(700),
    "behind-the-end": member() + END + _NEXT + b"garbage",
    "without-end": member(b"file", b"x"),
    "cut-in-padding": member(b"file", b"x")[:600],
    "cut-in-content": member(b"file", b"x" * 600)[:600],
    "cut-in-header": member(b"file", b"x")[:100],
    "cut-behind-long-name": long_name(b"n"),
    # types
    "contiguous": member(b"file", b"x", b"7") + _NEXT + END,
    "unknown-type": member(b"file", b"x", b"V") + _NEXT + END,
    "fifo-with-size": block(b"fifo", 600, b"6") + _NEXT + END,
    "hard-link-with-size": block(b"hard", 600, b"1", target=b"next") + _NEXT + END,
    "directory-with-size": block(b"dir", 600, b"5") + _NEXT + END,
    # sparse files
    "sparse-old": old_sparse(_PIECES, 20, b"abcde") + _NEXT + END,
    "sparse-old-of-many-pieces": old_sparse(_MANY, 1000, b"d" * 30) + _NEXT + END,
    "sparse-old-not-gnu": member(b"sparse", b"x", b"S") + END,
    "sparse-0-0": sparse_0(_PIECES, 20, b"abcde", minor=0) + _NEXT + END,
    "sparse-0-1": sparse_0(_PIECES, 20, b"abcde", minor=1) + _NEXT + END,
    "sparse-1-0": sparse_1_0(_PIECES, 20, b"abcde") + _NEXT + END,
    "sparse-1-0-of-many-pieces": sparse_1_0(_MANY, 1 << 40, b"d" * 30) + _NEXT + END,
    "sparse-all-hole": sparse_1_0([], 5000, b"") + _NEXT + END,
    "sparse-empty": sparse_1_0([], 0, b"") + _NEXT + END,
    "sparse-empty-with-data": sparse_1_0([], 0, b"x") + _NEXT + END,
    "sparse-without-data": sparse_1_0(_PIECES, 20, b"ab") + _NEXT + END,
    "sparse-with-more-data": sparse_1_0(_PIECES, 20, b"abcdefg") + _NEXT + END,
    "sparse-overlapping": sparse_1_0([(0, 5), (3, 2)], 20, b"abcdefg") + _NEXT + END,
    "sparse-beyond-its-size": sparse_1_0([(0, 5)], 3, b"abcde") + _NEXT + END,
    "sparse-of-another-version": pax([(b"GNU.sparse.major", b"2"), (b"GNU.sparse.name", b"n")]) + _NEXT + END,
    "sparse-directory": pax([(b"GNU.sparse.major", b"0"), (b"GNU.sparse.minor", b"1"), (b"GNU.sparse.numblocks", b"0")])
    + member(b"dir", kind=b"5")
    + END,
}

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for name, data in CASES.items():
        (FOLDER / f"{name}.tar").write_bytes(data)
