"""The run image's side: which launchers it brings, and what becomes of an app that is started on it.

What decides is what decides at the dispatch: `decision.decide` over the run image's own descriptors, laid out as files.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.decision import Decision, decide
from metalauncher.environment import Policy
from metalauncher.errnos import errno_text
from metalauncher.execute import SCRIPTS_LIMIT, Failure, Itself, interpreter_of
from metalauncher.explain.forecast import NOTHING_AGAINST, foretell
from metalauncher.explain.messages import decided_by
from metalauncher.explain.predict import exec_errno, locate, why_not_executable
from metalauncher.files import read_head, size_text
from metalauncher.places import EXECUTABLE, IMAGE_DESCRIPTORS, OPERATOR_DESCRIPTORS, Root
from metalauncher.record import METADATA_LIMIT, InvalidMetadata, Record, parse_record
from metalauncher.refusals import NothingExecuted
from metalauncher.registry import load_registry
from metalauncher.selection import Selection
from metalauncher.tooling.console import decode, encode
from metalauncher.tooling.elf import HEAD, inspect, this_architecture
from metalauncher.tooling.oci.materialise import materialise
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.reading import ReadError, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from metalauncher.descriptor import Launcher
    from metalauncher.explain.forecast import Forecast
    from metalauncher.record import Buildpack
    from metalauncher.refusals import Refusal
    from metalauncher.registry import Registry
    from metalauncher.tooling.oci.tree import Node, Tree

_NO_EXEC = errno_text(8)
# As an image's config names them -> as tooling.binary does.
_ARCHITECTURES = {"amd64": "x86-64", "arm64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}
_OLDER = {"x86-64": "386", "arm64": "arm"}  # what these run as well
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})
_REMEMBERED = 10_000  # decisions


class Metadata(NamedTuple):
    """An app's metadata.toml.

    Attributes:
        path: in the image.
        data: of it; None where there is none, or it can't be read.
        detail: why not, in the words of the dispatch.
    """

    path: str
    data: bytes | None
    detail: str = ""


class Found(NamedTuple):
    """What the dispatch would do.

    Attributes:
        decision: it makes.
        outcome: the refusal that it ends in, or a selection.
        launcher: that it becomes; None where it is refused.
        rule: that decided.
        buildpacks: recorded, also where the dispatch ends before it reads them; empty where they can't be read.
        forecast: what the launcher will make of the metadata.toml.
    """

    decision: Decision
    outcome: Selection | Refusal
    launcher: Launcher | None
    rule: str
    buildpacks: tuple[Buildpack, ...] = ()
    forecast: Forecast = NOTHING_AGAINST


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
        self._decisions: Final[dict[object, Found]] = {}
        self._obstacles: Final[dict[str, str | None]] = {}
        self._labelled: Final = labelled
        self._own: Final = tree.find(labelled_path or EXECUTABLE)
        if not laid_out:
            for place in (OPERATOR_DESCRIPTORS, IMAGE_DESCRIPTORS):
                materialise(tree, [decode(place).lstrip("/")], decode(root.prefix))
        self._bring(EXECUTABLE)
        self.registry: Final = load_registry(root) if labelled is None else labelled
        for launcher in self.registry.launchers:
            self._bring(launcher.path)
        self._itself: Final = Itself(root, root.locate(EXECUTABLE.encode()))
        variables = [launcher.opt_in_env.encode() for launcher in self.registry.launchers if launcher.opt_in_env]
        self._variables: Final = (b"CNB_PLATFORM_API", b"CNB_DEPRECATION_MODE", b"METALAUNCHER_PIN", *variables)

    def close(self) -> None:
        """Write no more to the scratch directory, so that it can be taken away, whoever is still at work."""
        with self._lock:
            self._closed = True

    @property
    def architecture(self) -> str | None:
        """Its machine, as `tooling.binary` names it; None where that is not known."""
        return _ARCHITECTURES.get(self.platform.split("/")[1] if "/" in self.platform else "")

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

    def is_its_launcher(self, found: tuple[str, Node] | None) -> bool:
        """Tell whether what lies at a path is its metalauncher, or what its labels call its launcher."""
        if found is None or self._own is None or found[1].kind != "file":
            return False
        ours, node = self._own[1], found[1]
        return node is ours or found[0] == self._own[0] or (node.size == ours.size and _same(node, ours))

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
        return None if self._labelled is not None else self._why_not(launcher)

    def decide(self, environment: Mapping[bytes, bytes], metadata: Metadata, *, by_files: bool = False) -> Found:
        """Return what metalauncher would do here, started with this environment and this metadata.toml.

        Args:
            environment: of the container.
            metadata: of the app.
            by_files: whether its labels don't count: an app's copy of metalauncher looks at descriptors alone.
        """
        labelled = None if by_files else self._labelled
        content = metadata.detail if metadata.data is None else hashlib.sha256(metadata.data).hexdigest()
        key = (*[environment.get(name) for name in self._variables], metadata.path, content, by_files)
        with self._lock:
            found = self._decisions.get(key)
        if found is None:
            registry = load_registry(self.root) if labelled is None else labelled
            decision = decide(environment, registry, lambda policy: self._record(policy, metadata))
            found = self._foretell(decision, labelled)._replace(buildpacks=self._buildpacks(decision.record, metadata))
            found = found._replace(forecast=self._forecast(found.launcher, metadata))
            with self._lock:
                if len(self._decisions) >= _REMEMBERED:
                    self._decisions.clear()
                self._decisions[key] = found
        return found

    def _record(self, policy: Policy, metadata: Metadata) -> Record:
        if metadata.data is None:
            raise InvalidMetadata(metadata.path, metadata.detail)
        if len(metadata.data) > METADATA_LIMIT:
            raise InvalidMetadata(metadata.path, f"is larger than {size_text(METADATA_LIMIT)}")
        # One at a time: parsed, a large one may take a hundred MB.
        with self._scratching():
            return parse_record(metadata.data, metadata.path, policy)

    @contextlib.contextmanager
    def _scratching(self) -> Iterator[None]:
        """Be the only one that writes to the scratch directory.

        Raises:
            ImageError: it is closed.
        """
        with self._lock:
            if self._closed:
                raise ImageError("unreachable", "was not checked: the run has ended")
            yield

    def _buildpacks(self, record: Record | None, metadata: Metadata) -> tuple[Buildpack, ...]:
        try:
            return (record or self._record(Policy({}), metadata)).buildpacks
        except InvalidMetadata:
            return ()

    def _forecast(self, launcher: Launcher | None, metadata: Metadata) -> Forecast:
        if launcher is None or metadata.data is None:
            return NOTHING_AGAINST
        with self._scratching():
            return foretell(metadata.data, launcher)

    def _foretell(self, decision: Decision, labelled: Registry | None) -> Found:
        """Foretell the execs, as `which.Answer` does, but for launchers of another machine, which need not run here."""
        outcome = decision.outcome
        if not isinstance(outcome, Selection):
            return Found(decision, outcome, None, "")
        failures: list[Failure] = []
        for launcher in outcome.ranked:
            obstacle = None if labelled is not None else self._why_not(launcher)
            if obstacle is None:
                rule = "the first in the ranking that can be started" if failures else decided_by(outcome)
                return Found(decision, outcome, launcher, self.clean(rule))
            failures.append(Failure(launcher, launcher.path.encode(), obstacle))
        return Found(decision, NothingExecuted(tuple(failures)), None, "")

    def _why_not(self, launcher: Launcher) -> str | None:
        obstacle = why_not_executable(launcher, self.root, self._itself)
        found = self.tree.find(launcher.path)
        if obstacle is None and found is not None and self.source == "descriptors" and self.is_its_launcher(found):
            return "is metalauncher itself"
        return self._on_its_machine(locate(launcher, self.root), obstacle)

    def _on_its_machine(self, place: bytes, obstacle: str | None) -> str | None:
        """Return what was foretold for this machine as it is on the image's, where that is another one."""
        wanted = self.architecture
        if wanted in (None, this_architecture(os.uname().machine)) or obstacle not in (None, _NO_EXEC):
            return obstacle
        binary = inspect(read_head(place, HEAD))
        if isinstance(binary, str) or binary.kind != "elf":
            return obstacle
        return None if binary.machine in (wanted, _OLDER.get(wanted)) else _NO_EXEC

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
