"""What metalauncher does in a merged file system: its own code decides over what it would read there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.decision import Decision, decide
from metalauncher.descriptor import MASK
from metalauncher.environment import Policy, metadata_path
from metalauncher.errnos import errno_text
from metalauncher.execute import Failure
from metalauncher.explain.forecast import NOTHING_AGAINST
from metalauncher.explain.messages import decided_by
from metalauncher.files import Unreadable, size_text
from metalauncher.places import Root
from metalauncher.record import METADATA_LIMIT, InvalidMetadata
from metalauncher.refusals import NothingExecuted
from metalauncher.registry import (
    DANGLING,
    DESCRIPTOR_LIMIT,
    InvalidDescriptor,
    is_descriptor,
    load_registry,
    parse_file,
)
from metalauncher.selection import Selection
from metalauncher.tooling.apps.check.layer_scan import WHOLE_LIMIT
from metalauncher.tooling.apps.check.permissions import READ
from metalauncher.tooling.apps.check.records import Records
from metalauncher.tooling.console import decode, encode
from metalauncher.tooling.elf import has_note
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalauncher.descriptor import Launcher, Mask
    from metalauncher.explain.forecast import Forecast
    from metalauncher.record import Buildpack, Record
    from metalauncher.refusals import Refusal
    from metalauncher.tooling.apps.check.entrypoint import Leads
    from metalauncher.tooling.apps.check.resolver import Place
    from metalauncher.tooling.apps.check.walk import Walk
    from metalauncher.tooling.oci.tree import Node, Tree
    from metalauncher.tooling.run_image.model import RunImage

_ENTRIES_LIMIT = 5000  # of a directory of descriptors


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


class Dispatcher:
    """Dispatches apps on one run image. For several threads at once."""

    def __init__(self, run: RunImage) -> None:
        """Take the run image."""
        self._run: Final = run
        self._descriptors: Final[dict[tuple[Node, str], Launcher | Mask]] = {}
        self._records: Final = Records()

    def dispatch(self, environment: Mapping[bytes, bytes], walk: Walk, leads: Leads, *, by_files: bool) -> Found:
        """Return what metalauncher would do, started with this environment.

        Args:
            environment: of the container.
            walk: its file system.
            leads: how it is started.
            by_files: whether the run image's labels don't count: an app's copy of metalauncher looks at descriptors.

        Raises:
            NotKept: what decides was not kept when it was read.
            ImageError: the record is more than is looked at.
        """
        labelled = None if by_files else self._run.labelled
        descriptors = _Descriptors(walk, self._run.tree, self._descriptors)
        registry = labelled or load_registry(Root(b""), descriptors.list, descriptors.read)
        record = _RecordFile(environment, walk, self._records)
        decision = decide(environment, registry, record.read)
        found = self._execute(decision, walk, leads, follow=labelled is None)
        found = found._replace(buildpacks=record.buildpacks())
        if found.launcher is not None and record.data is not None:
            found = found._replace(forecast=self._records.foretell(record.data, found.launcher))
        return found

    def _execute(self, decision: Decision, walk: Walk, leads: Leads, *, follow: bool) -> Found:
        """Foretell the execs, as `execute.execute` tries them."""
        outcome = decision.outcome
        if not isinstance(outcome, Selection):
            return Found(decision, outcome, None, "")
        failures: list[Failure] = []
        for launcher in outcome.ranked[1:]:
            if launcher.path in (leads.start, leads.invoked):
                walk.resolver.doubt(
                    f"it is started by the path of {launcher!r}, so that no other launcher is tried first"
                )
        for launcher in outcome.ranked:
            obstacle = self._obstacle(launcher, walk, leads.invoked) if follow else None
            if obstacle is None:
                rule = "the first in the ranking that can be started" if failures else decided_by(outcome)
                return Found(decision, outcome, launcher, rule)
            failures.append(Failure(launcher, launcher.path.encode(), obstacle))
        return Found(decision, NothingExecuted(tuple(failures)), None, "")

    def _obstacle(self, launcher: Launcher, walk: Walk, invoked: str) -> str | None:
        """Return why a launcher can't be exec'd; None if it is."""
        found = walk.exec(launcher.path)
        if any([self._is_itself(step.place, invoked, walk) for step in found.steps]):
            return "is metalauncher itself"
        if found.errno:
            return errno_text(found.errno)
        for place in found.files:
            if walk.contents.is_apps(place):
                walk.resolver.doubt(f"its own layers have /{place.path}, which {launcher!r} begins with")
            elif has_note(walk.contents.head(place)):
                walk.resolver.doubt(f"{launcher!r} is another build of metalauncher, which dispatches again")
        last = found.steps[-1].place
        if last.node is not None and (wrong := self._run.wrong_digest(launcher, last.node)):
            walk.resolver.doubt(wrong)
        return None

    def _is_itself(self, place: Place, invoked: str, walk: Walk) -> bool:
        if self._run.is_its_launcher(place):
            return True
        return bool(invoked) and place.node is not None and walk.resolver.find(invoked, walk.cwd).node is place.node


class _Descriptors:
    """The descriptors of a merged tree, as the container's user reads them."""

    def __init__(self, walk: Walk, run: Tree, parsed: dict[tuple[Node, str], Launcher | Mask]) -> None:
        """Take whose view it is, the run image's files, and what was parsed of its own descriptors."""
        self._walk: Final = walk
        self._run: Final = run
        self._parsed: Final = parsed

    def list(self, directory: bytes, invalid: list[InvalidDescriptor]) -> list[tuple[bytes, bool]]:
        """Return the names of the descriptors in a directory, sorted, each with whether it is a link."""
        path = decode(directory)
        place = self._walk.resolver.read(path)
        errno = place.errno or (20 if place.node is not None and place.node.kind != "directory" else 0)
        if place.node is None or errno:
            if errno != 2:
                invalid.append(InvalidDescriptor(path, "", Unreadable(errno=errno)))
            return []
        if len(place.node.children) > _ENTRIES_LIMIT:
            raise ImageError("too-large", f"has more than {_ENTRIES_LIMIT} files in {path}")
        # Each of them counts, also one that a layer not read so far would hide.
        self._walk.resolver.list_all(place)
        entries = [(encode(name), child.kind == "link") for name, child in place.node.children.items()]
        return sorted([(name, link) for name, link in entries if is_descriptor(name)])

    def read(self, entry: bytes, file: bytes, shown: str, link: bool) -> Launcher | Mask:  # registry.Read
        """Read one descriptor.

        Raises:
            InvalidDescriptor: it is neither a launcher's nor a mask.
        """
        if link and self._target(entry) == "/dev/null":
            return MASK
        place = self._walk.resolver.find(decode(file))
        if place.node is None:
            missing = link and place.errno in (2, 20)
            raise InvalidDescriptor(shown, "", DANGLING if missing else Unreadable(errno=place.errno))
        if not self._walk.resolver.access(place, READ):
            raise InvalidDescriptor(shown, "", Unreadable(errno=13))
        if place.node.kind != "file":
            what = "a directory" if place.node.kind == "directory" else "no file"
            raise InvalidDescriptor(shown, "", f"is {what}, not a regular file")
        known = self._parsed.get((place.node, shown))
        if known is not None:
            return known
        data = self._walk.contents.whole(place, DESCRIPTOR_LIMIT)
        if len(data) > DESCRIPTOR_LIMIT:
            raise InvalidDescriptor(shown, "", f"is larger than {size_text(DESCRIPTOR_LIMIT)}")
        if self._walk.contents.is_apps(place):
            self._walk.resolver.doubt(f"its own layers have /{place.path}, a descriptor of launchers")
        found = parse_file(data, shown)
        own = self._run.find(shown)
        if own is not None and own[1] is place.node:  # else what is remembered would grow with the apps
            self._parsed[place.node, shown] = found
        return found

    def _target(self, entry: bytes) -> str:
        folder, _, name = decode(entry).rpartition("/")
        place = self._walk.resolver.find(folder)
        child = None if place.node is None else place.node.children.get(name)
        return "" if child is None else child.target


class _RecordFile:
    """The app's metadata.toml, read where the dispatch reads it."""

    def __init__(self, environment: Mapping[bytes, bytes], walk: Walk, records: Records) -> None:
        self._environment: Final = environment
        self._walk: Final = walk
        self._records: Final = records
        self._record: Record | None = None
        self.data: bytes | None = None

    def read(self, policy: Policy) -> Record:
        """Read it.

        Raises:
            InvalidMetadata: it can't be read, or is no record.
        """
        path = decode(metadata_path(self._environment))
        if self.data is None:
            self.data = self._read(path)
        self._record = self._records.parse(self.data, path, policy)
        return self._record

    def buildpacks(self) -> tuple[Buildpack, ...]:
        """Return the buildpacks that it records, whatever the Platform API is; none where it can't be read."""
        try:
            if self._record is None:
                self._record = self.read(Policy({}))
        except InvalidMetadata:
            return ()
        return self._record.buildpacks

    def _read(self, path: str) -> bytes:
        place = self._walk.resolver.read(path, self._walk.cwd)
        if place.node is None:
            raise InvalidMetadata(path, errno_text(place.errno), place.errno)
        if place.node.kind != "file":
            what = "a directory" if place.node.kind == "directory" else "no file"
            raise InvalidMetadata(path, f"is {what}, not a regular file")
        if not self._walk.contents.is_apps(place):
            raise ImageError("unsupported", f"takes its metadata.toml from the run image, at /{place.path}")
        if place.node.size > WHOLE_LIMIT:
            size = f"{place.node.size >> 10} KiB"
            raise ImageError("too-large", f"has a metadata.toml of {size}; {WHOLE_LIMIT >> 10} are looked at")
        data = self._walk.contents.whole(place, METADATA_LIMIT)
        if len(data) > METADATA_LIMIT:
            raise InvalidMetadata(path, f"is larger than {size_text(METADATA_LIMIT)}")
        return data
