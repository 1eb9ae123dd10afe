"""Prove of an app, as it would be, that it starts: on the run image inside it, and on the one that its label names.

The second, as its name stands today, is what the next rebase puts below the app: where it has no metalauncher, that
would be the end of a patched app.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from metalauncher.tooling.apps.check.bounds import SENTENCE_LIMIT, bounded, shorten
from metalauncher.tooling.apps.check.layer_map import read_layer_map
from metalauncher.tooling.apps.check.verdict import AT_RISK
from metalauncher.tooling.apps.patch.entry import Proof
from metalauncher.tooling.apps.patch.run_images import NAMES_LIMIT
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.oci.reference import InvalidReference, Reference
from metalauncher.tooling.run_image.labels import APP_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from metalauncher.tooling.apps.check.verdict import Result
    from metalauncher.tooling.apps.patch.entry import Over
    from metalauncher.tooling.apps.patch.run_images import HeldRunImage, RunImages
    from metalauncher.tooling.oci.image import Image
    from metalauncher.tooling.oci.model import Store

_LABEL_LIMIT: Final = 4 << 20  # characters; with hundreds of layers it has 100 KB

ProofCode = Literal[
    "no-run-image-inside",  # the labels don't say where the run image ends
    "inside-without-metalauncher",
    "no-named-run-image",
    "named-unreadable",
    "named-without-metalauncher",
    "unreachable",
    "does-not-start",
    "unknown",
    "starts-otherwise",  # by something else than the launcher that is replaced
]


class NotProved(Exception):
    """An app is not written.

    Attributes:
        code: why.
        about: which run image, or what the verdict says, in a few words.
        proofs: as far as there are any.
        decisive: the one of them that says so; None where it did not come to that.
        hosts: registries that were asked because the app's label names them.
    """

    def __init__(
        self,
        code: ProofCode,
        about: str = "",
        proofs: Sequence[Proof] = (),
        decisive: Proof | None = None,
        *,
        hosts: tuple[str, ...] = (),
    ) -> None:
        """Hold why."""
        super().__init__(code, about)
        self.code: Final = code
        self.about: Final = shorten(about, SENTENCE_LIMIT)
        self.proofs: Final = tuple(proofs)
        self.decisive: Final = decisive
        self.hosts: Final = hosts


class Base(NamedTuple):
    """A run image below an app.

    Attributes:
        over: which of the two.
        name: what it is called; "" inside.
        digest: as `Proof.digest`.
        held: it.
    """

    over: Over
    name: str
    digest: str
    held: HeldRunImage

    def prove(self, app: str, store: Store) -> Proof:
        """Return what comes of an app on it."""
        result = bounded(self.held.judge(app, store))
        launcher = None if result.launcher is None else str(result.launcher)
        counts = self.held.coverage(result)
        verdict = result.kind, result.reason, launcher, result.assumes
        return Proof(self.over, self.name, self.digest, *verdict, *counts, result.remedy)


class Bases(NamedTuple):
    """The run images that an app is proved on.

    Attributes:
        inside: the one that it has.
        named: the one that its label names today.
        hosts: registries that were asked because the label names them, the first first.
    """

    inside: Base
    named: Base
    hosts: tuple[str, ...]

    def now(self, app: str, store: Store) -> Result:
        """Return the verdict over an app as it is, on what it has inside."""
        return bounded(self.inside.held.glance(app, store))

    def prove(self, app: str, store: Store, *, force: bool) -> tuple[Proof, ...]:
        """Return what comes of an app on both.

        Args:
            app: its name.
            store: of the image that is to be proved.
            force: what is unknown is let through.

        Raises:
            NotProved: it does not start, or that is not known.
        """
        inside = self.inside.prove(app, store)
        if self.inside.held is self.named.held:
            named = inside._replace(over="named", run_image=self.named.name, digest=self.named.digest)
        else:
            named = self.named.prove(app, store)
        proofs = (inside, named)
        for proof in proofs:
            where = proof.run_image or "the run image inside"
            if proof.kind in AT_RISK:
                raise NotProved("does-not-start", f"{where}: {proof.reason}", proofs, proof)
            if proof.kind == "keeps-own-launcher":
                raise NotProved("starts-otherwise", f"{where}: {proof.reason}", proofs)
        for proof in proofs:
            if proof.kind == "unknown" and not force:
                where = proof.run_image or "the run image inside"
                raise NotProved("unknown", f"{where}: {proof.reason}", proofs, proof)
        return proofs


@contextlib.contextmanager
def bases_of(image: Image, runs: RunImages, target: Reference) -> Iterator[Bases]:
    """Give the run images that an app is to be proved on.

    Args:
        image: the app, as it is or as it would be: its run image is the same.
        runs: those of the run.
        target: where the app will be rebased.

    Raises:
        NotProved: one of them has no metalauncher, or is not known.
        ImageError: the app's own can't be read.
    """
    own = read_layer_map(image).own
    if not own:
        raise NotProved("no-run-image-inside")
    with contextlib.ExitStack() as stack:
        layers = image.layers[:own]
        inside = Base("inside", "", layers[-1].diff_id, stack.enter_context(runs.read("inside", image, layers)))
        if not inside.held.has_metalauncher:
            raise NotProved("inside-without-metalauncher")
        names = nearest_first(named_run_images(image.labels.get(APP_LABEL, "")), target)
        if not names:
            raise NotProved("no-named-run-image")
        try:
            found = runs.find(names, image.platform)
            held = stack.enter_context(runs.read(found.name, found.image, found.image.layers))
        except ImageError as error:
            code: ProofCode = "unreachable" if error.kind == "unreachable" else "named-unreadable"
            raise NotProved(code, str(error), hosts=_registries(names[:NAMES_LIMIT])) from None
        hosts = _registries(names[: names.index(found.name) + 1])
        if not held.has_metalauncher:
            raise NotProved("named-without-metalauncher", found.name, hosts=hosts)
        yield Bases(inside, Base("named", found.name, found.image.manifest.digest, held), hosts)


def nearest_first(names: tuple[str, ...], target: Reference) -> tuple[str, ...]:
    """Return the names of a run image in the order in which a rebase tries them: those in the app's registry first.

    Source: buildpacks/lifecycle platform/run_image.go, BestRunImageMirrorFor.
    """
    return tuple(sorted(names, key=lambda name: _registry(name) != target.api_host))


def _registry(name: str) -> str:
    """Return the registry of a name, "" where it is none."""
    try:
        return Reference.parse(name).api_host
    except InvalidReference:
        return ""


def _registries(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([host for host in map(_registry, names) if host]))


def named_run_images(label: str) -> tuple[str, ...]:
    """Return the run images that an app's label names, `image` before its mirrors.

    Source: buildpacks/lifecycle platform/files, LayersMetadata: `runImage` since Platform API 0.12, `stack.runImage`
    before.
    """
    try:
        document: Any = json.loads(label) if len(label) <= _LABEL_LIMIT else None
    except (ValueError, RecursionError):
        return ()
    stack = _object(document, "stack")
    for about in (_object(document, "runImage"), _object(stack, "runImage")):
        name, mirrors = about.get("image"), about.get("mirrors")
        names = [name, *(mirrors if isinstance(mirrors, list) else [])]
        if isinstance(name, str) and name:
            return tuple([each for each in names if isinstance(each, str) and each])
    return ()


def _object(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
