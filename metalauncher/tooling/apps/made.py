"""When a page was made, and by which command line: what a reader who finds it later asks first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.tooling.sbom.model import moment

if TYPE_CHECKING:
    from argparse import Namespace

    from metalauncher.tooling.console import Console


class Made(NamedTuple):
    """When, and by what.

    Attributes:
        time: in UTC.
        command: the command line, as a shell takes it.
    """

    time: datetime
    command: str


def note_made(options: Namespace, console: Console) -> None:
    """Put into the options, as `made`, what the page has to say; before the work, which a wrong time must not cost.

    Args:
        options: of the command line, with the line itself.
        console: its environment may have SOURCE_DATE_EPOCH, which then is the time: the same input, the same page.

    Raises:
        Unable: a page is asked for, and that variable is no time.
    """
    if options.format == "html":
        time = moment(console.environment.get(b"SOURCE_DATE_EPOCH"), datetime.now(UTC))
        options.made = Made(time, options.command_line)
