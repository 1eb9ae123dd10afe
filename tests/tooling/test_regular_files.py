"""What somebody else may have put in a file's place is read as a regular file, up to a limit, or refused at once."""

from __future__ import annotations

import ast
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import PROJECT

from metalauncher.tooling.reading import ReadError, open_named, open_regular, read_named, read_regular

TOOLING = PROJECT / "metalauncher/tooling"
LIMIT = 1 << 10
RESOURCE = "comes with the package"
OWN = "a file that this run itself has made, in a directory of its own"
# By module and function; what stands here and is not found is a failure as well. The scripts in compare's starter and
# reporter are text here: they run in processes of their own, and read /proc/self and what they were told to.
EXCEPTED = {
    "apps/line_file.py:open_locked": "written to as well, so opened once for both; it is looked at before it is read",
    "apps/line_file.py:__init__": "the same file, or one of reading.py's, by its descriptor",
    "apps/page.py:_asset": RESOURCE,
    "image/push.py:write": "a destination's own `copy`, of a blob: no file",
    "oci/layer_writer.py:_add": OWN,
    "oci/http/transport.py:_tls_context": "is given text that reading.py read; what else is trusted is the system's",
    "oci/write.py:write_archive": OWN,
    "cli/main.py:_occupy_standard_streams": "/dev/null, for a stream that is closed",
    "sbom/vulnerabilities.py:known": RESOURCE,
    "cli/schema.py:text": RESOURCE,
}
# Functions that open a file by its name, beside open() and os.open().
READERS = {
    *("read_text", "read_bytes", "FileIO", "ZipFile", "copy", "copy2", "copyfile", "move", "cmp"),
    *("load_verify_locations", "load_cert_chain", "create_default_context"),
}
MODULES = {"bz2", "codecs", "gzip", "io", "lzma", "tarfile", "zipfile"}
WRITING = ("O_WRONLY", "O_DIRECTORY")


class Openings(ast.NodeVisitor):
    """The places of a module where a file may be opened for reading."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[str] = []
        self._functions = [""]
        self._values = {
            target.id: ast.unparse(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Remember in which function a call stands."""
        self._functions.append(node.name)
        self.generic_visit(node)
        self._functions.pop()

    def visit_Call(self, node: ast.Call) -> None:
        """Look at one call."""
        if self._opens(node):
            self.found.append(self._functions[-1])
        self.generic_visit(node)

    def _opens(self, call: ast.Call) -> bool:
        arguments = [*map(ast.unparse, call.args), *[f"{part.arg}={ast.unparse(part.value)}" for part in call.keywords]]
        if arguments and arguments[0].startswith("io.BytesIO("):  # what was read already
            return False
        match call.func:
            case ast.Name("open"):
                return not any(argument.removeprefix("mode=")[:2] in {"'w", "'x", "'a"} for argument in arguments[1:])
            case ast.Attribute(ast.Name("os" | "posix"), "open"):
                return not any(flag in self._values.get(arguments[1], arguments[1]) for flag in WRITING)
            case ast.Attribute(ast.Name(module), "open") if module in MODULES:
                writes = any(argument.removeprefix("mode=")[:2] in {"'w", "'x", "'a"} for argument in arguments)
                return not writes and not any(argument.startswith("fileobj=") for argument in arguments)
            case ast.Attribute(_, name) | ast.Name(name):
                return name in READERS
        return False


def openings() -> Iterator[tuple[str, str]]:
    """Yield the module and function of each opening."""
    for file in sorted(TOOLING.rglob("*.py")):
        name = str(file.relative_to(TOOLING))
        if name != "reading.py":
            for function in Openings(ast.parse(file.read_text())).found:
                yield name, function


def test_nothing_is_read_otherwise() -> None:
    """No module of the tooling opens a file to read it but through reading.py, or the list has its reason."""
    found = {f"{name}:{function}" for name, function in openings()}
    assert found == EXCEPTED.keys()


def test_no_other_library_opens() -> None:
    """What else could open files, pathlib and the like, is not imported by the tooling."""
    for file in TOOLING.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pathlib", "fileinput", "linecache", "filecmp", "mmap"} & set(names), file


@pytest.mark.parametrize(
    "text",
    [
        *("open(p)", "open(p, 'rb')", "open(p, mode='r+b')", "os.open(p, os.O_RDONLY)", "posix.open(p, flags)"),
        *("x.read_text()", "tarfile.open(p)", "gzip.open(p, 'rb')", "io.open(p)", "shutil.copyfile(p, q)"),
        "context.load_verify_locations(p)",
    ],
)
def test_openings_are_found(text: str) -> None:
    """The list is no list of what the search passes over."""
    assert Openings(ast.parse(f"def f():\n    {text}")).found == ["f"]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "open(p, 'xb')",
            "os.open(p, os.O_WRONLY | os.O_CREAT)",
            "store.open(p)",
            "tarfile.open(fileobj=f, mode='r|')",
        ),
        *("open_regular(p)", "tarfile.open(p, 'x')", "zipfile.ZipFile(io.BytesIO(data))"),
    ],
)
def test_other_calls_are_not(text: str) -> None:
    """What writes, and what opens no file by its name, is none."""
    assert Openings(ast.parse(f"def f():\n    {text}")).found == []


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _below_file(path: Path) -> None:
    path.symlink_to("/dev/null/x")


def _large(path: Path) -> None:
    path.write_bytes(bytes(LIMIT + 1))


def _endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


REFUSED: dict[str, tuple[Callable[[Path], object], tuple[str, str]]] = {
    "nothing": (lambda _: None, ("absent", "no such file or directory")),
    "dangling": (_dangling, ("absent", "no such file or directory")),
    "below a file": (_below_file, ("absent", "not a directory")),
    "loop": (_loop, ("failed", "too many levels of symbolic links")),
    "directory": (Path.mkdir, ("irregular", "is a directory")),
    "fifo": (_fifo, ("irregular", "is not a regular file")),
    "socket": (_socket, ("irregular", "is not a regular file")),
    "device": (_device, ("irregular", "is not a regular file")),
    "large": (_large, ("large", "is larger than 1 KiB")),
    "endless": (_endless, ("large", "is larger than 1 KiB")),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(tmp_path: Path, kind: str) -> None:
    """What is no regular file, or too large, is refused at once, saying what it is; and no descriptor is left open."""
    make, expected = REFUSED[kind]
    path = tmp_path / "file"
    make(path)
    before = os.listdir("/proc/self/fd")
    for name in (str(path), os.fsencode(path)):
        with pytest.raises(ReadError) as refusal:
            read_regular(name, LIMIT)
        assert (refusal.value.fault, str(refusal.value)) == expected
    assert os.listdir("/proc/self/fd") == before


def test_not_permitted(tmp_path: Path) -> None:
    """A file that may not be read is refused as such."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "file").chmod(0)
    if os.geteuid():
        with pytest.raises(ReadError) as refusal:
            read_regular(str(tmp_path / "file"), LIMIT)
        assert (refusal.value.fault, str(refusal.value)) == ("denied", "permission denied")
    else:
        assert read_regular(str(tmp_path / "file"), LIMIT) == b"x"


@pytest.mark.parametrize("name", ["a\0b", "\udcff\ud800"])
def test_no_name(name: str) -> None:
    """What can be no file's name names none."""
    with pytest.raises(ReadError) as refusal:
        read_regular(name, LIMIT)
    assert (refusal.value.fault, str(refusal.value)) == ("absent", "no file can have such a name")


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
def test_read_whole(tmp_path: Path, size: int) -> None:
    """A file of up to the limit is read whole, through links as well, unless they are not to be followed."""
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"\xff" * size)
    link.symlink_to(path)
    for name in (str(path), str(link)):
        assert read_regular(name, LIMIT) == read_named(name, LIMIT) == b"\xff" * size
    assert read_regular(str(path), LIMIT, follow=False) == b"\xff" * size
    with pytest.raises(ReadError) as refusal:
        read_regular(str(link), LIMIT, follow=False)
    assert (refusal.value.fault, str(refusal.value)) == ("irregular", "is a link, which is not followed here")


def test_its_size_is_not_believed() -> None:
    """Files of procfs have a size of 0, and a content."""
    assert b"\nPid:\t" in read_regular("/proc/self/status", 1 << 16)


def test_a_regular_file_that_has_nothing_yet() -> None:
    """/proc/kmsg is a regular file that would wait for the kernel's next message."""
    if os.path.exists("/proc/kmsg"):
        with pytest.raises(ReadError) as refusal:
            read_regular("/proc/kmsg", 1 << 30)
        assert str(refusal.value) in {
            "operation not permitted",
            "permission denied",
            "resource temporarily unavailable",
        }


def test_what_grows_meanwhile(tmp_path: Path) -> None:
    """What is written while it is read is read, as far as the limit."""
    path = tmp_path / "file"
    path.write_bytes(b"1" * 10)
    with open_regular(str(path)) as file:
        assert file.read(10) == b"1" * 10
        with path.open("ab") as more:
            more.write(b"2" * 10)
        assert file.read(20) == b"2" * 10


def test_parts_are_asked_for(tmp_path: Path) -> None:
    """Whoever reads in parts says how much, and can't read all of it by mistake."""
    (tmp_path / "file").write_bytes(b"x")
    with open_regular(str(tmp_path / "file")) as file, pytest.raises(AssertionError, match="without a limit"):
        file.read()


def test_errors_while_reading() -> None:
    """What goes wrong after the opening is a ReadError too: no page of /proc/self/mem is mapped at 0."""
    with open_regular("/proc/self/mem") as file, pytest.raises(ReadError, match=r"^input/output error$") as refusal:
        file.read(1)
    assert refusal.value.fault == "failed"


def test_a_named_pipe_is_waited_for(tmp_path: Path) -> None:
    """What a user names may be a pipe, `<(command)`: it is read to its end or to the limit; a directory is none."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    for data, expected in ((b"x" * LIMIT, b"x" * LIMIT), (b"x" * (LIMIT + 1), None)):
        writer = threading.Thread(target=path.write_bytes, args=(data,))
        writer.start()
        if expected is None:
            with pytest.raises(ReadError, match=r"^is larger than 1 KiB$"):
                read_named(str(path), LIMIT)
        else:
            assert read_named(str(path), LIMIT) == expected
        writer.join()
    with pytest.raises(ReadError, match=r"^is a directory$"), open_named(str(tmp_path)):
        pass
