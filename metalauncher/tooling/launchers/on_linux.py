"""Which commands start launchers: they need Linux, and say so."""

from __future__ import annotations

import os

from metalauncher.tooling.console import Unable


def need_linux(command: str) -> None:
    """See that launchers can be started here.

    Args:
        command: that starts them.

    Raises:
        Unable: this is no Linux. All that the package does without starting one it does elsewhere too.
    """
    system = os.uname().sysname
    if system != "Linux":
        raise Unable(
            f"{command} starts launchers, which are programs for Linux",
            need="a machine, or a container, with Linux",
            have=[system],
            do="install metalauncher there, and run it with the same arguments",
            command="pip install metalauncher",
        )
