"""The rules of `metalauncher lint`: their numbers never change. docs/reference/descriptor.md gives the reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Literal

    Level = Literal["error", "warning", "note"]

# number -> (level, what it finds)
RULES: dict[str, tuple[Level, str]] = {
    "ML001": ("error", "the file can't be read, or is not TOML"),
    "ML002": ("error", "a key is missing, or its value is not one of the format"),
    "ML003": ("error", "a value has the wrong type"),
    "ML004": ("error", "unknown key in `[launcher]`"),
    "ML005": ("error", "a range is open above"),
    "ML006": ("error", "the launcher's path is under `/cnb`"),
    "ML007": ("warning", "a deprecated API is not among those supported"),
    "ML008": ("note", "unknown key outside `[launcher]`"),
    "ML009": ("note", "the file is not named after its launcher"),
    "ML010": ("error", "two launchers tie"),
    "ML011": ("warning", "the operator's file hides another launcher"),
    "ML012": ("warning", "a mask masks nothing"),
    "ML013": ("warning", "a launcher is never selected"),
    "ML014": ("error", "no launcher is in effect"),
    "ML015": ("error", "a gap opened against the baseline"),
    "ML016": ("note", "a temporary file was left over"),
    "ML017": ("error", "the launcher's path ends in `/`"),
    "ML020": ("error", "the executable is missing"),
    "ML021": ("error", "the executable can't be executed by every user"),
    "ML022": ("error", "the executable is neither an ELF file nor a script"),
    "ML023": ("error", "the executable is for another architecture"),
    "ML024": ("warning", "the executable is dynamically linked"),
    "ML025": ("error", "the executable's interpreter or loader is missing, or can't be started"),
    "ML026": ("error", "the executable's digest is not the declared one"),
    "ML027": ("error", "the executable is metalauncher itself, or its shim"),
    "ML028": ("error", "a launcher registry, or an image, is for more than one architecture"),
    "ML030": ("error", "a file, or a directory above it, can be written by others"),
    "ML031": ("error", "a file, or a directory above it, belongs to another user"),
    "ML032": ("error", "a descriptor, or a directory above a file, can't be read by every user"),
}


class Finding(NamedTuple):
    """One thing that a rule found.

    Attributes:
        file: where, as opened.
        line: from 1; None where the file as a whole, or another thing than a text, is meant.
        column: from 1; None likewise.
        rule: its number.
        message: what is wrong and, where that is not plain, what to do.
    """

    file: str
    line: int | None
    column: int | None
    rule: str
    message: str

    @property
    def level(self) -> Level:
        """How bad it is."""
        return RULES[self.rule][0]

    def __str__(self) -> str:
        """Return `file:line:column: level: rule: message`, as compilers do."""
        where = [self.file, *[str(number) for number in (self.line, self.column) if number is not None]]
        return f"{':'.join(where)}: {self.level}: {self.rule}: {self.message}"


def in_order(finding: Finding) -> tuple[str, int, int, str, str]:
    """Return what findings are sorted by."""
    return finding.file, finding.line or 0, finding.column or 0, finding.rule, finding.message
