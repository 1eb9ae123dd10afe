"""Where a path leads, for whom: as the kernel says. Examples as files, and small trees by chance."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import strategies
from harness import DATA
from kernel import Kernel, Laid, Told, as_user, asking, fact, lay, written

from metalauncher.tooling.apps.check.layer_scan import Fact
from metalauncher.tooling.apps.check.permissions import EXECUTE, READ
from metalauncher.tooling.apps.check.resolver import Place, Resolver
from metalauncher.tooling.apps.check.user import ROOT, User
from metalauncher.tooling.oci.tree import Tree

CASES = {path.stem: path for path in sorted((DATA / "tooling/apps/check/paths").glob("*.toml"))}
SEARCHED = 200 if strategies.PROFILE == "quick" else 5000
_EACCES = 13
_ERRNOS = {"ENOENT": 2, "EACCES": 13, "ENOTDIR": 20, "ENAMETOOLONG": 36, "ELOOP": 40}
_CAPABILITY, _GROUPS, _LINK = "CAP_DAC_OVERRIDE", "by a group", "somebody else's link"

Asked = tuple[str, str]  # an operation and a path


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """Return what asks the kernel."""
    with asking() as found:
        yield found


@pytest.fixture
def folder(public: Path) -> Path:
    """Return where trees are laid out."""
    return public / "tree"


def ours(laid: Laid, user: User, asked: Asked, cwd: str) -> tuple[Told, Resolver]:
    """Return what we say of an operation, and what there is to be said about it."""
    resolver = Resolver(laid.tree, user)
    operation, path = asked
    place = (resolver.read if operation == "read" else resolver.find)(path, cwd)
    assert (place.node is None) == bool(place.errno)
    return Told(place.errno, "" if place.errno else place.path), resolver


def hold(kernel: Kernel, laid: Laid, user: User, asked: Sequence[Asked], cwd: str = "") -> list[Told]:
    """Hold what we say against the kernel, as every such user there may be; return what we say."""
    surely = user._replace(perhaps=frozenset())
    richly = surely._replace(groups=user.groups | user.perhaps)
    truths = [kernel.ask(laid, surely, asked, cwd), kernel.ask(laid, richly, asked, cwd)]
    bare = kernel.ask(laid, surely, asked, cwd, capable=False) if user.uid == 0 else truths[0]
    said = []
    for one, sure, rich, without in zip(asked, *truths, bare, strict=True):
        told, resolver = ours(laid, user, one, cwd)
        said.append(told)
        shown = (
            f"{one} in /{cwd} as {user}: we say {told}, {list(resolver.doubts)}, the kernel {sure}, with all groups "
        )
        shown += f"{rich}, without capabilities {without}\n{written(laid.facts)}"
        doubts = " ".join(resolver.doubts)
        if _LINK in doubts:  # fs.protected_symlinks: this machine's is what it is
            assert sure in (told, Told(_EACCES)), shown
        elif _GROUPS in doubts:
            assert Told(_EACCES) in (sure, rich), shown
            assert told in (sure, rich) or doubts.count(_GROUPS) > 1, shown
        else:
            assert told == sure == rich, shown
            assert without == (Told(_EACCES) if _CAPABILITY in doubts else told), shown
    return said


@pytest.mark.parametrize("name", CASES)
def test_an_example(name: str, kernel: Kernel, folder: Path) -> None:
    """What the file says, we say, and the kernel says."""
    case: dict[str, Any] = tomllib.loads(CASES[name].read_text())
    laid = lay(folder, [fact(line) for line in case["tree"]])
    for ask in case["ask"]:
        user = as_user(ask.get("user", "0:0"))
        cwd = ask.get("cwd", "")
        for operation in ("find", "read"):
            for path, wanted in ask.get(operation, {}).items():
                (told,) = hold(kernel, laid, user, [(operation, path)], cwd)
                errno = _ERRNOS.get(wanted, 0)
                assert told == Told(errno, "" if errno else wanted.removeprefix("/")), path
                doubts = " ".join(ours(laid, user, (operation, path), cwd)[1].doubts)
                assert ask["doubt"] in doubts if "doubt" in ask else not doubts, doubts


TREE = [
    fact(line)
    for line in (
        "dir 0755 0:0 d",
        "dir 1777 5:0 open",
        "link 0777 1000:0 open/own /d",
        "link 0777 5:0 open/his /d",
        "link 0777 6:0 open/other /d/e/x",
        "dir 0777 5:0 free",
        "link 0777 6:0 free/other /d",
        "dir 1775 5:0 sticky",
        "link 0777 6:0 sticky/other /d",
        "dir 0700 5:0 shut",
        "file 0644 0:0 file",
        "dir 0750 5:60 half",
        "link 0777 0:0 empty",
        "link 0777 0:0 loop loop",
        "link 0777 0:0 away d/no/where/",
    )
]
USER = as_user("1000:1000,60?")


def resolver(user: User = USER) -> Resolver:
    """Return one over the tree above, in memory alone."""
    tree = Tree()
    for one in TREE:
        tree.apply(one, "", 0)
    return Resolver(tree, user)


@pytest.mark.parametrize(
    ("path", "end", "errno", "touched"),
    [
        ("/", "", 0, {""}),
        ("/d", "d", 0, {"", "d"}),
        ("/d/../d/", "d", 0, {"", "d"}),
        ("/no/where/./../x/", "no/where/x", 2, {"", "no", "no/where", "no/where/x"}),
        ("/away/x", "d/no/where/x", 2, {"", "away", "d", "d/no", "d/no/where", "d/no/where/x"}),
        ("/file/x/y", "file", 20, {"", "file"}),
        ("/shut/x", "shut", 13, {"", "shut"}),
        ("/empty/x", "empty", 2, {"", "empty"}),
        ("/open/other", "d/e/x", 2, {"", "open", "open/other", "d", "d/e", "d/e/x"}),
        ("/d/" + "n" * 256, "d/" + "n" * 256, 36, {"", "d", "d/" + "n" * 256}),
        ("", "", 2, set()),
        ("/" * 4096, "", 36, set()),
        ("/d/../loop/x", "loop", 40, {"", "d", "loop"}),
    ],
)
def test_what_is_touched(path: str, end: str, errno: int, touched: set[str]) -> None:
    """Where a path stops, or would have led, and every place on the way, of links as well."""
    found = resolver()
    place = found.find(path)
    assert (place.path, place.errno, found.touched) == (end, errno, touched)
    assert (place.node is None) == bool(errno)


def test_a_working_directory_that_is_yet_to_be_made() -> None:
    """What lies in it is nowhere, until a layer has it; above it is what is there."""
    found = resolver()
    place = found.find("x/./y/", "work/here")
    touched = {"work/here", "work/here/.", "work/here/x", "work/here/x/y"}  # whether it is open counts as well
    assert (place, found.touched) == (Place("work/here/x/y", None, 2), touched)
    place = found.find("x", "d//")
    assert place == Place("d/x", None, 2)
    assert found.find("../../d", "work/here") == found.find("/d")
    assert found.find("../d", "d/none").path == "d/d"


def test_what_a_doubt_is_about() -> None:
    """It names the place, also where what is there is asked for."""
    found = resolver(ROOT)
    assert found.access(found.find("/shut"), READ)
    assert list(found.doubts) == ["/shut (mode 0700) is open to root by the capability CAP_DAC_OVERRIDE alone"]
    assert found.read("d") == found.find("d") == found.find("/d")


def test_all_entries() -> None:
    """A directory's name with a slash stands for them."""
    found = resolver()
    found.list_all(found.find("/d"))
    assert found.touched == {"", "d", "d/"}


@pytest.mark.parametrize(
    ("path", "doubts"),
    [
        ("/d", []),
        ("/open/own", []),
        ("/open/his", []),
        ("/free/other", []),
        ("/sticky/other", []),
        ("/open/other", ["/open/other is somebody else's link in a directory that all may write to"]),
        ("/half/x", ["/half (mode 0750) is open or closed by a group that not every engine adds"]),
        ("/half/../half/./x", ["/half (mode 0750) is open or closed by a group that not every engine adds"]),
        ("/proc/self/exe", ["/proc is looked at, which the container's runtime mounts"]),
        ("/sys", ["/sys is looked at, which the container's runtime mounts"]),
        ("/d/../dev/null", ["/dev is looked at, which the container's runtime mounts"]),
        ("/d/proc", []),
    ],
)
def test_doubts(path: str, doubts: list[str]) -> None:
    """Each once, with the place."""
    found = resolver()
    found.find(path)
    assert list(found.doubts) == doubts


def test_what_the_capability_alone_opens() -> None:
    """Root is let in, and that is said."""
    found = resolver(ROOT)
    assert found.read("/half").node is not None
    assert not found.read("/half/x").node
    assert list(found.doubts) == [
        "/half (mode 0750) is open to root by the capability CAP_DAC_OVERRIDE alone",
    ]


def test_access() -> None:
    """Of what is there; nothing is open of what is not."""
    found = resolver()
    assert found.access(found.find("/file"), READ)
    assert not found.access(found.find("/file"), EXECUTE)
    assert not found.access(found.find("/nowhere"), READ)
    assert found.read("/file").path == "file"
    assert found.read("/shut") == Place("shut", None, 13)
    assert found.read("/nowhere") == Place("nowhere", None, 2)


NAMES = ("a", "b", "c", "d", "..", ".", "", "n" * 255)
IDS = (0, 1000, 1001)
GROUPS = (0, 1000, 50, 60)
DIRECTORY_MODES = (0o755, 0o755, 0o755, 0o711, 0o700, 0o750, 0o1777, 0o000, 0o444, 0o070, 0o007, 0o701, 0o710)
FILE_MODES = (0o644, 0o755, 0o600, 0o000, 0o111, 0o444, 0o040, 0o004, 0o705, 0o070)
USERS = tuple(as_user(text) for text in ("0:0", "0:1000,50", "1000:1000", "1000:50,60", "1001:0,60?", "65534:60,50?"))


def some_path(chance: random.Random, known: Sequence[str]) -> str:
    """Return a path that leads somewhere, nearly somewhere, or nowhere."""
    parts = [chance.choice([*known, *NAMES]) for _ in range(chance.choice((1, 1, 1, 2, 2, 3)))]
    path = (
        chance.choice(("/", "/", "", "./", "../", "//"))
        + "/".join(parts)
        + chance.choice(("", "", "", "/", "/.", "//"))
    )
    if chance.random() < 0.02:
        path += chance.choice(("/" + "n" * 256, "/./" + "é" * 128, "/." * 2048, "/" * (4095 - len(path)), "/" * 4096))
    return path


def some_tree(chance: random.Random) -> list[Fact]:
    """Return a small tree."""
    facts = [Fact("", "directory", chance.choice((0o755, 0o755, 0o711, 0o700, 0o750)), 0, "")]
    folders = [""]
    taken = {""}
    for _ in range(chance.randint(3, 14)):
        parent = chance.choice(folders)
        path = f"{parent}/{chance.choice(('a', 'b', 'c', 'd', 'é', 'n' * 255))}".lstrip("/")
        if path in taken:
            continue
        taken.add(path)
        kind = chance.choice(("directory", "directory", "link", "link", "file", "other"))
        mode = chance.choice(DIRECTORY_MODES if kind == "directory" else FILE_MODES)
        target = ""
        if kind == "link":
            mode, target = 0o777, some_path(chance, sorted(taken)).encode()[:4095].decode(errors="ignore") or "."
        elif kind == "directory":
            folders.append(path)
        facts.append(Fact(path, kind, mode, 0, target, owner=chance.choice(IDS), group=chance.choice(GROUPS)))
    if chance.random() < 0.1:  # a chain of about as many links as there may be
        length = chance.randint(39, 42)
        end = chance.choice(sorted(taken))
        facts += [Fact(f"l{n}", "link", 0o777, 0, f"l{n + 1}") for n in range(length - 1)]
        facts.append(Fact(f"l{length - 1}", "link", 0o777, 0, f"/{end}"))
    return facts


@pytest.mark.parametrize("part", range(10))
def test_any_tree(part: int, kernel: Kernel, folder: Path) -> None:
    """Whatever tree it is, whoever asks, and whatever for."""
    seen: set[int] = set()
    for seed in range(part, SEARCHED, 10):
        chance = random.Random(seed)
        facts = some_tree(chance)
        laid = lay(folder, facts)
        known = [one.path for one in facts if one.path]
        asked = [(chance.choice(("find", "read")), some_path(chance, known)) for _ in range(12)]
        if "l0" in known:
            asked += [("find", "/l0"), ("read", "/l0/")]
        cwd = chance.choice(["", *[one.path for one in facts if one.kind == "directory"]])
        for user in chance.sample(USERS, 3):
            seen.update(told.errno for told in hold(kernel, laid, user, asked, cwd))
    assert seen >= {0, *_ERRNOS.values()} or SEARCHED < 1000, "each errno is to be found"
