"""What a user may do with a file, by its mode, owner and group (Linux, fs/namei.c, `generic_permission`). Pure.

Root is asked for twice: with the capability CAP_DAC_OVERRIDE, which engines give by default, and without it. What only
the capability allows is `PERHAPS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from metalauncher.tooling.apps.check.user import User
    from metalauncher.tooling.oci.tree import Node

READ: Final = 4
SEARCH: Final = 1  # of a directory
EXECUTE: Final = 1  # of a file

Answer = Literal["yes", "no", "capability", "groups"]


def may(user: User, node: Node, access: int) -> Answer:
    """Tell whether a user may access a file.

    Args:
        user: who.
        node: what is there.
        access: READ, SEARCH or EXECUTE.

    Returns:
        `capability` where only CAP_DAC_OVERRIDE allows it, `groups` where a supplementary group decides that not every
        engine adds.
    """
    mode, owner, group = node.mode, node.owner, node.group
    if owner == user.uid:
        allowed = bool(mode & access << 6)
    elif group == user.gid or group in user.groups:
        allowed = bool(mode & access << 3)
    else:
        allowed = bool(mode & access)
        if group in user.perhaps and allowed != bool(mode & access << 3):
            return "groups"
    if allowed:
        return "yes"
    # The capability runs no file that nobody may run.
    if user.uid == 0 and (node.kind == "directory" or access != EXECUTE or mode & 0o111):
        return "capability"
    return "no"
