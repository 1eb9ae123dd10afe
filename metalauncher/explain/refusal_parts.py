"""What the texts of several refusals share: their sections, what there is, and the commands that show more.

Loaded only when a refusal is said. Must not know which refusal it is.
"""

from __future__ import annotations

from metalauncher.explain.messages import by_rank, describe
from metalauncher.explain.shortfall import masked_that_cover
from metalauncher.places import EXECUTABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from metalauncher.apis import ApiVersion
    from metalauncher.decision import Decision

HAVE_LIMIT = 20  # launchers and broken descriptors listed one by one

GO_BACK = "if it started before a rebase, redeploy the app's image from before that rebase"
ALLOW_DEPRECATED = "start the container without CNB_DEPRECATION_MODE=error"
INSPECT = ("docker image inspect --format '{{json .Config.Env}}' IMAGE",)
# What a container gets besides its image's config, and that decides.
_DECIDING = (b"METALAUNCHER_PIN", b"CNB_DEPRECATION_MODE")


class Text:
    """What there is to say of one refusal, section by section."""

    __slots__ = ("details", "fix", "have", "headline", "need", "now", "what")

    def __init__(
        self,
        headline: list[str],
        what: list[str],
        need: list[str],
        have: Sequence[str] = (),
        now: Sequence[str] = (),
        fix: Sequence[str] = (),
        details: Sequence[str] = (),
    ) -> None:
        """Hold each section's lines; one without lines is left out.

        Args:
            headline: the first lines: CNB's own text where it has one, because people search for it.
            what: what happened, and what comes nearest to what was needed.
            need: what the app needs.
            have: what there is.
            now: what helps now.
            fix: what helps whoever can change the run image or the app.
            details: commands that show more; empty for those of `--which`.
        """
        self.headline: Final = headline
        self.what: Final = what
        self.need: Final = need
        self.have: Final = have
        self.now: Final = now
        self.fix: Final = fix
        self.details: Final = details


def ask_which(environment: Mapping[bytes, bytes], more: str = "") -> tuple[str, ...]:
    """Return the commands that ask the image, from outside, what this dispatch was asked."""
    given = [
        f"{name.decode()}={_quoted(environment[name].decode('utf-8', 'surrogateescape'))}"
        for name in _DECIDING
        if environment.get(name, b"quiet") not in (b"", b"quiet")  # lifecycle's exporter puts quiet into the config
    ]
    docker = "".join([f" -e {variable}" for variable in given])
    kubectl = "".join([f" --env={variable}" for variable in given])
    return (
        f"docker run --rm{docker} --entrypoint {EXECUTABLE} IMAGE --which{more}",
        f"kubectl run which --rm -it --restart=Never --image=IMAGE{kubectl} --command -- {EXECUTABLE} --which{more}",
    )


def copy_out(path: str) -> str:
    """Return the command that copies a file out of an image, to look at it."""
    return f"docker create --name look IMAGE && docker cp look:{path} . ; docker rm look"


def _quoted(value: str) -> str:
    """Return a value as a shell takes it."""
    return value if value.isascii() and value.replace("-", "").isalnum() else "'" + value.replace("'", "'\\''") + "'"


def have(decision: Decision) -> list[str]:
    """List the launchers that there are, and the descriptors that give none."""
    registry = decision.registry
    launchers = sorted(registry.launchers, key=by_rank, reverse=True)
    lines = [f"{describe(launcher)} ({launcher.descriptor})" for launcher in launchers]
    lines += [f"invalid: {broken}" for broken in registry.invalid]
    lines += [f"masked: {image} by {mask}" for image, mask in registry.masked if image]
    if len(lines) > HAVE_LIMIT:
        lines[HAVE_LIMIT:] = [f"and {len(lines) - HAVE_LIMIT} more"]
    return lines or [f"no descriptor in {' or '.join(registry.directories)}"]


def unmask(decision: Decision, platform_api: ApiVersion | None = None) -> list[str]:
    """Name the masks that take away launchers which would do."""
    supports = "may support" if decision.record is None else "supports"
    return [
        f"remove the mask {mask}: it hides {launcher!r}, which {supports} the app"
        for launcher, _, mask in masked_that_cover(decision, platform_api)
    ]


def repair(decision: Decision) -> list[str]:
    """Say that invalid descriptors may be all that is wrong, where there are some."""
    return (
        ["repair the invalid descriptors above: one of them may support the app; or"]
        if decision.registry.invalid
        else []
    )


def metadata_of(decision: Decision) -> str:
    """Return the path of the app's metadata.toml, its name alone where it was not read."""
    return decision.record.metadata if decision.record else "metadata.toml"
