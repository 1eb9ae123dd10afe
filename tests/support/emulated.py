"""The executable for another architecture, run here by qemu-user: what it takes, and what qemu itself changes.

The kernel starts such a program by binfmt_misc. It is registered in a user namespace of the tests' own, which Linux has
since 6.7: the machine knows nothing of it. What runs in that namespace may exec programs of either architecture. qemu
need not lie in its root, as the kernel opens it once (binfmt_misc's flag F); argv[0] arrives (flag P).
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import pytest
from architectures import ARCHITECTURES, EMULATORS, HOST, Architecture
from cache import Cache
from harness import PROJECT, Form
from steps import inputs
from toolchain import Toolchain

NEW_USER, NEW_MOUNTS = 0x1000_0000, 0x2_0000  # linux/sched.h
# ELF files of 64 bits, little-endian, whatever their ABI; executable or shared. Then the machine.
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_MACHINES = {"aarch64": r"\xb7\x00", "x86_64": r"\x3e\x00"}
# Holds the namespace until its standard input ends.
_HOLDER = f"""\
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    if result:
        sys.exit(os.strerror(ctypes.get_errno()))
must(libc.unshare({NEW_USER | NEW_MOUNTS}))
print(flush=True)
sys.stdin.readline()
must(libc.mount(b"binfmt_misc", b"/proc/sys/fs/binfmt_misc", b"binfmt_misc", 0, None))
with open("/proc/sys/fs/binfmt_misc/register", "w") as register:
    register.write(sys.argv[1])
print(flush=True)
sys.stdin.read()
"""


class Emulation:
    """Programs of an architecture that is not this machine's: a compiler for them, and where they run."""

    def __init__(self, architecture: Architecture) -> None:
        """Take the architecture; nothing is started yet."""
        self.architecture = architecture

    @property
    def command(self) -> str:
        """The emulator, which runs a program by name."""
        assert self.architecture.emulator
        found = shutil.which(self.architecture.emulator)
        if found is None:
            pytest.fail(
                f"{self.architecture.emulator} is needed: Debian's package {EMULATORS[self.architecture.emulator]}"
            )
        return found

    @cached_property
    def tools(self) -> Toolchain:
        """The toolchain that the executable itself was built with."""
        return inputs(Cache(), self.architecture).tools

    @cached_property
    def _holder(self) -> subprocess.Popen[str]:
        rule = f":metalauncher:M::{_MAGIC}{_MACHINES[self.architecture.name]}:{_MASK}:{self.command}:PF"
        holder = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _HOLDER, rule],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert holder.stdin
        assert holder.stdout
        if holder.stdout.readline():
            _map_ids(holder.pid)
            holder.stdin.write("\n")
            holder.stdin.flush()
        if not holder.stdout.readline():
            why = holder.communicate()[1].strip()
            message = (
                f"binfmt_misc in a user namespace of one's own, which Linux has since 6.7: {os.uname().release}: {why}"
            )
            pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
        return holder

    @property
    def state(self) -> tuple[tuple[str, str], ...]:
        """What the starter does first (tests/native/starter.c)."""
        return (("join", f"/proc/{self._holder.pid}/ns/user"),)

    @cached_property
    def _namespace(self) -> int:
        return os.open(f"/proc/{self._holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> None:
        """Put this process there: what is to exec such a program, as `preexec_fn`."""
        if ctypes.CDLL(None, use_errno=True).setns(self._namespace, NEW_USER):
            raise OSError(ctypes.get_errno(), "setns")

    def prepare(self) -> None:
        """Make the namespace before a process is forked that is to enter it."""
        assert self._namespace

    def close(self) -> None:
        """Let the namespace go, where there is one; what runs in it goes on."""
        holder = self.__dict__.pop("_holder", None)
        if holder is not None:
            holder.communicate(timeout=60)


def _map_ids(pid: int) -> None:
    """Let every user that there is here be that user there; who is not root is but one."""
    for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
        lines = [line.split() for line in Path(f"/proc/self/{kind}_map").read_text().splitlines()]
        extents = "\n".join(f"{first} {first} {count}" for first, _, count in lines)
        if os.geteuid() != 0:
            extents = f"{own} {own} 1"
            if kind == "gid":
                Path(f"/proc/{pid}/setgroups").write_text("deny")
        Path(f"/proc/{pid}/{kind}_map").write_text(extents)


# The architecture that there is an executable for and that is not this machine's.
OTHER = next(architecture for architecture in ARCHITECTURES.values() if architecture != HOST)


def emulated_form() -> Form:
    """Return the executable that `make static ARCH=all` built for it."""
    return Form(OTHER.name, PROJECT / f"dist/metalauncher-linux-{OTHER.name}", Emulation(OTHER))


# What qemu itself changes, by a pattern of the test's name with its parameters. Such a test is expected to fail over
# this form, and it is a failure if it passes.
CHANGED: dict[str, str] = {}


def changed(test: str) -> str:
    """Return what qemu changes about a test, "" if it is nothing."""
    name = test.rpartition("::")[2]
    return next((reason for pattern, reason in CHANGED.items() if re.search(pattern, name)), "")
