"""Why a dispatch ends without a launcher, and with which exit code. Facts alone: must not know files or wording.

The codes are CNB's own where CNB has one (11, 12, 1, and 82 of the 80s reserved for launch);
docs/on-call/exit-codes.md lists them. `explain/` turns a refusal into the text that people read.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final

    from metalauncher.apis import ApiVersion
    from metalauncher.descriptor import Launcher
    from metalauncher.execute import Failure
    from metalauncher.record import Buildpack

USAGE = 3
INTERNAL = 70
DRY_RUN = 83  # a launcher would have been started; not 0, for a job must not pass for done


class Refused(Exception):
    """A dispatch that ends without a launcher; each kind owns its exit code."""

    exit_code: ClassVar[int]
    kind: ClassVar[str]


class PlatformApiMalformed(Refused):
    """`CNB_PLATFORM_API` is not an API version."""

    exit_code = 11
    kind = "platform-api-malformed"

    def __init__(self, text: str) -> None:
        """Hold the variable's value as it came."""
        super().__init__(text)
        self.text: Final = text


class PlatformApiAbsent(Refused):
    """`CNB_PLATFORM_API` is absent or empty, and no launcher serves that."""

    exit_code = 11
    kind = "platform-api-absent"

    def __init__(self, *, stripped: bool) -> None:
        """Hold whether the buildpacks recorded theirs, so that the platform's was lost on the way."""
        super().__init__(stripped)
        self.stripped: Final = stripped


class PlatformApiNotCovered(Refused):
    """No eligible launcher supports the Platform API."""

    exit_code = 11
    kind = "platform-api-not-covered"

    def __init__(self, api: ApiVersion, text: str, *, deprecated: bool) -> None:
        """Hold the API asked for, and whether only `CNB_DEPRECATION_MODE=error` took it away."""
        super().__init__(text)
        self.api: Final = api
        self.text: Final = text
        self.deprecated: Final = deprecated


class BuildpackApisNotCovered(Refused):
    """Some launcher supports the Platform API, but none all of the app's Buildpack APIs as well."""

    exit_code = 12
    kind = "buildpack-apis-not-covered"

    def __init__(self, launcher: Launcher, offender: Buildpack, *, deprecated: bool, each_covered: bool) -> None:
        """Hold the first offender of the highest-ranked launcher that supports the Platform API.

        Args:
            launcher: that launcher.
            offender: the first buildpack in file order whose API it does not support.
            deprecated: only `CNB_DEPRECATION_MODE=error` took the offender's API away.
            each_covered: every recorded Buildpack API has some launcher, only no single one has them all.
        """
        super().__init__(offender.id)
        self.launcher: Final = launcher
        self.offender: Final = offender
        self.deprecated: Final = deprecated
        self.each_covered: Final = each_covered


class MetadataKeyMissing(Refused):
    """Every launcher that covers the app's APIs requires a key that its metadata.toml does not have."""

    exit_code = 12
    kind = "metadata-key-missing"

    def __init__(self, launcher: Launcher, key: str) -> None:
        """Hold the highest-ranked of those launchers and the first key it misses."""
        super().__init__(key)
        self.launcher: Final = launcher
        self.key: Final = key


class MetadataUnreadable(Refused):
    """The app's metadata.toml is absent, unreadable or malformed."""

    exit_code = 1
    kind = "metadata-unreadable"

    def __init__(self, path: str, detail: str, errno: int | None = None) -> None:
        """Hold the file, what is wrong with it, and the errno where it can't be read."""
        super().__init__(detail)
        self.path: Final = path
        self.detail: Final = detail
        self.errno: Final = errno


class NoLauncherInstalled(Refused):
    """There is no usable descriptor at all."""

    exit_code = 80
    kind = "no-launcher-installed"


class PinUnsatisfied(Refused):
    """The operator's pin is malformed, or names no launcher that covers the app."""

    exit_code = 81
    kind = "pin-unsatisfied"

    def __init__(self, pin: str, malformed: str | None) -> None:
        """Hold the pin as it came and, if it is malformed, in what way."""
        super().__init__(pin)
        self.pin: Final = pin
        self.malformed: Final = malformed


class NothingExecuted(Refused):
    """Launchers cover the app, but none of them could be exec'd."""

    exit_code = 82
    kind = "nothing-executed"

    def __init__(self, failures: tuple[Failure, ...]) -> None:
        """Hold what was tried, in order."""
        super().__init__(failures)
        self.failures: Final = failures


if TYPE_CHECKING:
    Refusal = (
        PlatformApiMalformed
        | PlatformApiAbsent
        | PlatformApiNotCovered
        | BuildpackApisNotCovered
        | MetadataKeyMissing
        | MetadataUnreadable
        | NoLauncherInstalled
        | PinUnsatisfied
        | NothingExecuted
    )
