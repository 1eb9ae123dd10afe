"""A run image: its files, and which launchers it brings."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from metalauncher.errnos import errno_text
from metalauncher.execute import SCRIPTS_LIMIT, Itself, interpreter_of
from metalauncher.explain.predict import exec_errno, locate, why_not_executable
from metalauncher.files import read_head
from metalauncher.places import EXECUTABLE, IMAGE_DESCRIPTORS, OPERATOR_DESCRIPTORS, Root
from metalauncher.registry import load_registry
from metalauncher.tooling.architectures import from_go, runs, this_architecture
from metalauncher.tooling.console import decode, encode
from metalauncher.tooling.elf import HEAD, has_note, inspect
from metalauncher.tooling.oci.materialise import materialise
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.reading import ReadError, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from metalauncher.descriptor import Launcher
    from metalauncher.registry import Registry
    from metalauncher.tooling.oci.tree import Node, Tree

_NO_EXEC = errno_text(8)
_DIRECTORY_LIMIT = 64 << 10  # bytes; a zipapp's directory of files lies at its end, and has 10 KB
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


class Located(Protocol):
    """Where a path leads in a merged file system."""

    @property
    def path(self) -> str:
        """The real path, without a leading slash."""

    @property
    def node(self) -> Node | None:
        """What is there."""


class RunImage:
    """A run image whose launchers are known. For several threads at once."""

    def __init__(
        self,
        *,
        name: str,
        digest: str | None,
        platform: str,
        tree: Tree,
        root: Root,
        scratch: str,
        laid_out: bool,
        labels: Mapping[str, str] = _NO_LABELS,
        labelled: Registry | None = None,
        labelled_path: str = "",
    ) -> None:
        """Take what was read.

        Args:
            name: as it was given.
            digest: of its manifest, None for a directory.
            platform: as its config has it, "" where that is not known.
            tree: all its files.
            root: where what is needed of them lies as files.
            scratch: a directory to write to.
            laid_out: whether all of it lies there; else what turns out to be needed is laid out.
            labels: that its config has; none for a directory.
            labelled: its launchers by its labels; None to take them from its descriptors.
            labelled_path: where its labels say that its launcher is, "" for metalauncher's place.
        """
        self.name: Final = name
        self.digest: Final = digest
        self.platform: Final = platform
        self.tree: Final = tree
        self.source: Final[Literal["descriptors", "labels"]] = "descriptors" if labelled is None else "labels"
        self.labels: Final = labels
        self.root: Final = root
        self._scratch: Final = scratch
        self._laid_out: Final = laid_out
        self._lock: Final = threading.Lock()
        self._closed = False
        self._obstacles: Final[dict[str, str | None]] = {}
        self.labelled: Final = labelled
        self.links: Final = frozenset([path for path, node in tree.walk() if node.kind == "link"])
        self._digests: Final[dict[object, str]] = {}
        self._own: Final = tree.find(labelled_path or EXECUTABLE)
        if not laid_out:
            for place in (OPERATOR_DESCRIPTORS, IMAGE_DESCRIPTORS):
                materialise(tree, [decode(place).lstrip("/")], decode(root.prefix))
        self._bring(EXECUTABLE)
        self.registry: Final = load_registry(root) if labelled is None else labelled
        for launcher in self.registry.launchers:
            self._bring(launcher.path)
        self._itself: Final = Itself(root, root.locate(EXECUTABLE.encode()))

    def close(self) -> None:
        """Write no more to the scratch directory, so that it can be taken away, whoever is still at work."""
        with self._lock:
            self._closed = True

    @property
    def architecture(self) -> str | None:
        """Its machine, as `tooling.binary` names it; None where that is not known."""
        return architecture_of(self.platform)

    @property
    def starts(self) -> list[str]:
        """The paths of its launchers, and of what starts them."""
        own = [] if self._own is None else [self._own[0]]
        return [*own, *[launcher.path for launcher in self.registry.launchers]]

    def clean(self, text: str) -> str:
        """Return a text with its files' paths as they are in the image."""
        return text if self._laid_out else text.replace(decode(self.root.prefix), "")

    def head(self, node: Node) -> bytes:
        """Return the beginning of one of its executables; b"" where nothing was kept of it."""
        return read_head(encode(node.content), HEAD) if node.content else b""

    @property
    def doubt(self) -> str:
        """Why what it has in metalauncher's place may be another program; "" where it is metalauncher."""
        if self.labelled is not None or self._own is None or self._own[1].kind != "file" or self._is_metalauncher:
            return ""
        return f"/{self._own[0]} of the run image is not known to be metalauncher"

    @cached_property
    def _is_metalauncher(self) -> bool:
        """By the executable's ELF note, or by what the zipapp holds."""
        if self._own is None:
            return False
        head = self.head(self._own[1])
        if not head.startswith(b"#!"):
            return has_note(head)
        try:
            with open_regular(self._own[1].content) as file:
                file.seek(max(0, self._own[1].size - _DIRECTORY_LIMIT))
                return b"metalauncher/__main__.py" in file.read(_DIRECTORY_LIMIT)
        except (ReadError, OSError):
            return False

    def is_its_launcher(self, place: Located) -> bool:
        """Tell whether what lies at a path is its metalauncher, or what its labels call its launcher."""
        node = place.node
        if node is None or self._own is None or node.kind != "file":
            return False
        ours = self._own[1]
        if node is ours or (place.path == self._own[0] and node.content == ours.content):
            return True
        return _is_copy(node, ours)

    def wrong_digest(self, launcher: Launcher, node: Node) -> str:
        """Say where a launcher is not the one that its descriptor declares; "" where nothing speaks against it.

        Args:
            launcher: one of its descriptors'.
            node: the executable that its path leads to.
        """
        if not launcher.sha256:
            return ""
        with self._lock:
            found = self._digests.get(node.number or node.content)
            if found is None:
                found = self._digests[node.number or node.content] = self._digest(node)
        if found and found != launcher.sha256:
            return f"{launcher.path} is not the file that its descriptor declares: its sha256 is {found}"
        return ""

    @staticmethod
    def _digest(node: Node) -> str:
        """Return the sha256 of one of its files; "" where not all of it was kept."""
        digest = hashlib.sha256()
        try:
            with open_regular(node.content) as file:
                while data := file.read(1 << 20):
                    digest.update(data)
                return digest.hexdigest() if file.tell() == node.size else ""
        except ReadError:
            return ""

    def obstacle(self, path: str) -> str | None:
        """Return why the kernel would refuse to exec what it has at `path`; None if nothing speaks against it."""
        with self._scratching():
            if path not in self._obstacles:
                self._bring(path)
                place = self.root.locate(encode("/" + path.lstrip("/")))
                errno = exec_errno(place, self.root)
                self._obstacles[path] = self._on_its_machine(place, errno_text(errno) if errno else None)
            return self._obstacles[path]

    def obstacle_of(self, launcher: Launcher) -> str | None:
        """Return why a dispatch could not exec one of its launchers; None if nothing speaks against it."""
        return None if self.labelled is not None else self._why_not(launcher)

    @contextlib.contextmanager
    def _scratching(self) -> Iterator[None]:
        """Be the only one that writes to the scratch directory.

        Raises:
            ImageError: it is closed.
        """
        with self._lock:
            self.refuse_closed()
            yield

    def refuse_closed(self) -> None:
        """Refuse to go on when it is closed.

        Raises:
            ImageError: it is.
        """
        if self._closed:
            raise ImageError("unreachable", "was not checked: the run has ended")

    def _why_not(self, launcher: Launcher) -> str | None:
        obstacle = why_not_executable(launcher, self.root, self._itself)
        found = self.tree.find(launcher.path)
        own = None if self._own is None or self.source != "descriptors" else self._own[1]
        if obstacle is None and found is not None and own is not None and _is_copy(found[1], own):
            return "is metalauncher itself"
        return self._on_its_machine(locate(launcher, self.root), obstacle)

    def _on_its_machine(self, place: bytes, obstacle: str | None) -> str | None:
        """Return what was foretold for this machine as it is on the image's, where that is another one."""
        wanted = self.architecture
        if wanted is None or wanted == this_architecture(os.uname().machine) or obstacle not in (None, _NO_EXEC):
            return obstacle
        binary = inspect(read_head(place, HEAD))
        if isinstance(binary, str) or binary.kind != "elf":
            return obstacle
        return None if runs(wanted, binary.machine) else _NO_EXEC

    def _bring(self, path: str) -> None:
        """Lay out a program, and what the kernel needs to start it."""
        for _ in range(0 if self._laid_out else SCRIPTS_LIMIT + 2):
            found = self.tree.find(path)
            if found is None or found[1].kind != "file":
                return
            materialise(self.tree, [path.lstrip("/")], decode(self.root.prefix))
            head = self.head(found[1])
            if head.startswith(b"#!"):
                path = decode(interpreter_of(head))
            else:
                binary = inspect(head)
                path = "" if isinstance(binary, str) else binary.interpreter
            if not path:
                return


def architecture_of(platform: str) -> str | None:
    """Return the architecture of `os/architecture[/variant]`; None where it is not known."""
    return from_go(platform.split("/")[1] if "/" in platform else "")


def _is_copy(node: Node, ours: Node) -> bool:
    return node is ours or (node.kind == "file" and node.size == ours.size and _same(node, ours))


def _same(one: Node, other: Node) -> bool:
    """Tell whether two files of one size have the same content, as far as it was kept of both: at least their heads."""
    if not one.content.startswith("/"):  # an app's own
        return False
    try:
        with open_regular(one.content) as first, open_regular(other.content) as second:
            while (data := first.read(1 << 20)) and (theirs := second.read(len(data))):
                if data[: len(theirs)] != theirs:
                    return False
            return first.tell() > 0
    except ReadError:
        return False
