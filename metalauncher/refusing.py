"""Why a dispatch finds no launcher: the refusal that applies. Pure, and loaded only then. Must not know wording."""

from __future__ import annotations

from metalauncher.record import InvalidMetadata
from metalauncher.refusals import (
    BuildpackApisNotCovered,
    MetadataKeyMissing,
    MetadataUnreadable,
    NoLauncherInstalled,
    PinUnsatisfied,
    PlatformApiAbsent,
    PlatformApiMalformed,
    PlatformApiNotCovered,
)
from metalauncher.selection import (
    BuildpackNotCovered,
    KeyMissing,
    PlatformNotCovered,
    is_pinned,
    reads,
    why_not_platform,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from metalauncher.apis import ApiSet
    from metalauncher.environment import Policy
    from metalauncher.record import Buildpack, Record
    from metalauncher.refusals import Refusal
    from metalauncher.registry import Registry
    from metalauncher.selection import Sifted


def refuse(  # noqa: PLR0911  # one return for each refusal, in their order
    policy: Policy, registry: Registry, found: Record | InvalidMetadata | None, sifted: Sifted
) -> Refusal:
    """Return the first refusal that applies, in the order of docs/on-call/exit-codes.md.

    Args:
        policy: what the variables ask for.
        registry: the launchers that there are.
        found: the record, or why there is none; None where it was not to be read.
        sifted: the registry by the record.
    """
    if policy.platform_text and policy.platform_api is None:
        return PlatformApiMalformed(policy.platform_text)
    if not registry.launchers:
        return NoLauncherInstalled()
    if isinstance(found, InvalidMetadata):
        return MetadataUnreadable(found.path, found.detail, found.errno)
    if found is None:
        return _platform_not_covered(policy, registry)
    if found.defect is not None and not any([reads(launcher, found) for launcher in registry.launchers]):
        return MetadataUnreadable(found.metadata, found.defect)
    if found.platform_api is None and not found.unrecorded:
        return PlatformApiAbsent(stripped=True)
    if not sifted.covering:
        return _not_covered(found, sifted, strict=policy.strict)
    if found.defect is not None and (
        not policy.pin_text or any([is_pinned(launcher, policy) for launcher in sifted.covering])
    ):
        return MetadataUnreadable(found.metadata, found.defect)
    return PinUnsatisfied(policy.pin_text, policy.pin_problem)


def _platform_not_covered(policy: Policy, registry: Registry) -> Refusal:
    api = policy.platform_api
    if api is None:
        raise AssertionError("without a Platform API the record is read")
    reasons = [why_not_platform(api, launcher, policy) for launcher in registry.launchers]
    deprecated = any([isinstance(reason, PlatformNotCovered) and reason.deprecated for reason in reasons])
    return PlatformApiNotCovered(api, policy.platform_text, deprecated=deprecated)


def _not_covered(record: Record, sifted: Sifted, *, strict: bool) -> Refusal:
    if record.unrecorded:
        return PlatformApiAbsent(stripped=False)
    left_out = sifted.left_out
    offences = [(launcher, reason) for launcher, reason in left_out if isinstance(reason, BuildpackNotCovered)]
    if not offences:  # the Platform API is covered, so what is left is a missing key
        return next(MetadataKeyMissing(launcher, why.key) for launcher, why in left_out if isinstance(why, KeyMissing))
    launcher, offence = offences[0]
    sets = [candidate.buildpack for candidate, _ in offences]
    return BuildpackApisNotCovered(
        launcher,
        offence.buildpack,
        deprecated=offence.deprecated,
        # Where a launcher lacks but a key, it does support them together.
        each_covered=not any(isinstance(why, KeyMissing) for _, why in left_out)
        and all(_some_covers(sets, buildpack, strict=strict) for buildpack in record.buildpacks),
    )


def _some_covers(sets: list[ApiSet], buildpack: Buildpack, *, strict: bool) -> bool:
    api = buildpack.api
    return api is not None and any(apis.covers(api) and not (strict and apis.deprecates(api)) for apis in sets)
