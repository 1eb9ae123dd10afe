"""Where patched images go: `--to`, a template in which the app's repository and tag are put as text. Pure.

Nothing is ever overwritten: a target is no app's source, and no two apps have one target. All that is wrong is said at
once, for the whole run, before anything is asked or written.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from metalauncher.tooling.apps.check.bounds import NAME_LIMIT, SENTENCE_LIMIT, shorten
from metalauncher.tooling.console import Unable, count
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.reference import InvalidReference, Reference

if TYPE_CHECKING:
    from collections.abc import Iterable

REPOSITORY: Final = "{repository}"
TAG: Final = "{tag}"
TEMPLATE_LIMIT: Final = 1024  # characters
NEED: Final = "a template of the target's name, with {repository} (which has the host) and {tag}"
EXAMPLE: Final = "{repository}:{tag}-shim"
_PARTS = re.compile(r"(\{repository\}|\{tag\})")
_FAULTS_LIMIT = 10  # that are shown


def plan_command(to: str = EXAMPLE, journal: str = "patch.jsonl", launcher: str = "shim", *more: str) -> str:
    """Return the command that makes a plan, as a shell takes it.

    Args:
        to: the template.
        journal: the file that it is kept in.
        launcher: what the apps are to carry.
        more: options.
    """
    words = ("--launcher", launcher, "--to", to, "--journal", journal, *more)
    return f"metalauncher patch --from apps.txt {shlex.join(words)}"


def beside(path: str) -> str:
    """Return the name of another journal, for a command that is to be run."""
    stem, ending = os.path.splitext(path)
    return f"{stem}-2{ending}"


class InvalidTemplate(ValueError):
    """A text is no template, or gives an app no target; the message says why."""


class Template(NamedTuple):
    """A template.

    Attributes:
        text: as it was given.
        parts: of it: `{repository}`, `{tag}`, and what stands between them.
    """

    text: str
    parts: tuple[str, ...]

    def target(self, source: Reference) -> Reference:
        """Return where an app's patched image goes.

        Raises:
            InvalidTemplate: the app has no tag to put in, or what comes of it names no tag of a repository.
        """
        if TAG in self.parts and not source.tag:
            raise InvalidTemplate(f"{source} has only a digest, and the template asks for its {TAG}")
        values = {REPOSITORY: f"{source.host}/{source.repository}", TAG: source.tag}
        text = "".join([values.get(part, part) for part in self.parts])
        try:
            found = Reference.parse(text)
        except InvalidReference as error:
            raise InvalidTemplate(f"the target of {source}: {error}") from None
        if found.digest:
            raise InvalidTemplate(f"the target of {source} has a digest, {text}: only a tag can be written")
        if not text.endswith(f":{found.tag}"):  # the tag that clients would fill in
            raise InvalidTemplate(f"the target of {source} has no tag: {text}")
        return found


def parse_template(text: str) -> Template:
    """Parse a template.

    Raises:
        InvalidTemplate: it has another brace than those of `{repository}` and `{tag}`, or says nothing.
    """
    if not 0 < len(text) <= TEMPLATE_LIMIT:
        raise InvalidTemplate("is empty" if not text else f"has {len(text)} characters, more than {TEMPLATE_LIMIT}")
    parts = tuple([part for part in _PARTS.split(text) if part])
    for part in parts:
        if part not in (REPOSITORY, TAG) and ("{" in part or "}" in part):
            raise InvalidTemplate(f"{shorten(text)!r} has another brace than those of {REPOSITORY} and {TAG}")
    return Template(text, parts)


def source_of(app: str) -> Reference:
    """Return the image in a registry that an app's name means.

    Raises:
        InvalidTemplate: it is in no registry.
    """
    try:
        location = parse_location(app)
        if location.kind == "registry":
            return Reference.parse(location.place)
    except ValueError as error:
        raise InvalidTemplate(str(error)) from None
    raise InvalidTemplate(f"{app} is in no registry: push it to one first")


def find_targets(template: Template, apps: Iterable[str]) -> dict[str, Reference]:
    """Return the target of each app, all of them different, and none of them an app's source.

    Raises:
        Unable: an app has none, or one that is taken.
    """
    faults: list[str] = []
    sources: dict[str, Reference] = {}
    targets: dict[str, Reference] = {}
    for app in apps:
        try:
            sources[app] = source_of(app)
            targets[app] = template.target(sources[app])
        except InvalidTemplate as error:
            faults.append(str(error))
    by_source = {_place(source): app for app, source in sources.items()}
    by_target: dict[tuple[str, str, str], str] = {}
    for app, target in targets.items():
        place = _place(target)
        if place in by_source:
            faults.append(f"the target of {app} is the app {by_source[place]}, which would be overwritten")
        elif place in by_target:
            faults.append(f"{by_target[place]} and {app} have one target, {target}")
        by_target.setdefault(place, app)
    if faults:
        raise _refuse(template, faults)
    return targets


def _place(name: Reference) -> tuple[str, str, str]:
    """Return what is one and the same for two names of one tag, and of nothing else."""
    return name.api_host.removesuffix(":443"), name.repository, name.tag or name.digest


def refuse_taken(faults: list[str], command: str) -> None:
    """Refuse a run of which some targets hold something already.

    Args:
        faults: what, one line for each of these.
        command: that plans the same with other targets.

    Raises:
        Unable: there is one.
    """
    if faults:
        raise Unable(
            faults[0] if len(faults) == 1 else f"{count(len(faults), 'target')} can't be written to",
            need="targets where there is nothing, except what the same journal has written",
            have=[] if len(faults) == 1 else _first(faults),
            do="take these apps off the list, or name other targets; nothing was written",
            command=command,
        )


def _refuse(template: Template, faults: list[str]) -> Unable:
    text = shorten(template.text, NAME_LIMIT)
    return Unable(
        f"--to {text}: {shorten(faults[0], SENTENCE_LIMIT)}"
        if len(faults) == 1
        else f"--to {text}: {count(len(faults), 'app')} can't go there",
        need="a target for each app that is its alone, and nobody's source",
        have=[] if len(faults) == 1 else _first(faults),
        command=plan_command(),
    )


def _first(faults: list[str]) -> list[str]:
    more = len(faults) - _FAULTS_LIMIT
    return [*map(shorten, faults[:_FAULTS_LIMIT]), *([f"and {more:,} more"] if more > 0 else [])]
