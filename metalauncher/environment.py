"""The variables that a dispatch is started with, and what they ask for, parsed once. Must not know launchers or files.

Parsing raises nothing, whatever a variable holds: what is malformed is kept with its reason, and refused in its turn.
"""

from __future__ import annotations

from metalauncher.apis import ApiVersion
from metalauncher.places import LAYERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from metalauncher.pins import Pin

# What Go's strconv.ParseBool takes for true; launchers read CNB_NO_COLOR with it.
TRUE_VALUES = frozenset((b"1", b"t", b"T", b"true", b"TRUE", b"True"))


def read_environment(environ: list[bytes]) -> dict[bytes, bytes]:
    """Return the variables of `environ`; of duplicates the first counts, as in Go and in CPython."""
    environment: dict[bytes, bytes] = {}
    for entry in environ:
        name, equals, value = entry.partition(b"=")
        if equals and name not in environment:
            environment[name] = value
    return environment


def metadata_path(environment: Mapping[bytes, bytes]) -> bytes:
    """Return the path of the app's metadata.toml, inside the image."""
    return (environment.get(b"CNB_LAYERS_DIR") or LAYERS) + b"/config/metadata.toml"


class Policy:
    """What the variables ask of a selection."""

    __slots__ = ("_environment", "pin", "pin_problem", "pin_text", "platform_api", "platform_text", "strict")

    def __init__(self, environment: Mapping[bytes, bytes]) -> None:
        """Parse the variables.

        Attributes:
            platform_text: `CNB_PLATFORM_API` as it came, "" where it is absent.
            platform_api: None where it is absent or malformed.
            strict: `CNB_DEPRECATION_MODE=error` takes away deprecated APIs.
            pin_text: `METALAUNCHER_PIN` as it came, "" where it is absent.
            pin: None where it is absent or malformed.
            pin_problem: why it is malformed, None where it is not.
        """
        self._environment: Final = environment
        self.platform_text: Final = _text(environment, b"CNB_PLATFORM_API")
        self.platform_api: Final = ApiVersion.parse_or_none(self.platform_text)
        self.strict: Final = environment.get(b"CNB_DEPRECATION_MODE") == b"error"
        self.pin_text: Final = _text(environment, b"METALAUNCHER_PIN")
        pin, problem = _parse_pin(self.pin_text) if self.pin_text else (None, None)
        self.pin: Final = pin
        self.pin_problem: Final = problem

    def opts_in(self, variable: str) -> bool:
        """Tell whether a variable, of a launcher's choice, is true."""
        return self._environment.get(variable.encode()) in TRUE_VALUES


def _text(environment: Mapping[bytes, bytes], name: bytes) -> str:
    value = environment.get(name)
    return value.decode("utf-8", "surrogateescape") if value else ""


def _parse_pin(text: str) -> tuple[Pin | None, str | None]:
    from metalauncher.pins import Pin  # a dispatch without a pin does without it

    try:
        return Pin(text), None
    except ValueError as error:
        return None, str(error)
