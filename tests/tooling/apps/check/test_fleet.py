"""Many at a time: every result once, never more at work than asked for, and an end when somebody asks for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from metalauncher.tooling.apps.check.fleet import Interruption, check_all, interruptible
from metalauncher.tooling.apps.check.verdict import Result
from metalauncher.tooling.console import Unable

APPS = tuple(f"app:{number}" for number in range(300))


def starts(app: str) -> Result:
    """Return a verdict."""
    return Result(app, None, "starts", "because")


def look(apps: Sequence[str], check: Callable[[str], Result], take: Callable[[Result], object], **more: Any) -> None:
    """Check apps; what is a defect makes the verdict unknown."""
    check_all(apps, check, take, defect=lambda app, reason: Result(app, None, "unknown", reason), **more)


@pytest.mark.parametrize("jobs", [1, 7, 1000])
def test_every_app_once(jobs: int) -> None:
    """Each app is checked once, and as many at a time as asked for, no more than there are."""
    found: list[str] = []
    working, most = [0], [0]
    lock = threading.Lock()

    def check(app: str) -> Result:
        with lock:
            working[0] += 1
            most[0] = max(most[0], working[0])
        time.sleep(0.001)
        with lock:
            working[0] -= 1
        return starts(app)

    look(APPS, check, lambda result: found.append(result.app), jobs=jobs)
    assert sorted(found) == sorted(APPS)
    assert most[0] <= min(jobs, len(APPS))
    assert most[0] > 1 or jobs == 1


def test_results_come_as_they_are_there() -> None:
    """A slow app keeps nobody waiting: the others' results arrive before its own."""
    slow = threading.Event()
    found: list[str] = []

    def check(app: str) -> Result:
        if app == "app:0":
            assert slow.wait(20)
        return starts(app)

    def take(result: Result) -> None:
        found.append(result.app)
        if len(found) == len(APPS) - 1:
            slow.set()

    look(APPS, check, take, jobs=2)
    assert found[-1] == "app:0"
    assert len(found) == len(APPS)


def test_memory_does_not_run_ahead() -> None:
    """Where results are taken slowly, checks wait: no more than a few are held."""
    checked: list[str] = []
    ahead = [0]

    def check(app: str) -> Result:
        checked.append(app)
        return starts(app)

    taken = [0]

    def take(_: Result) -> None:
        taken[0] += 1
        time.sleep(0.0005)
        ahead[0] = max(ahead[0], len(checked) - taken[0])

    look(APPS, check, take, jobs=4)
    assert 0 < ahead[0] <= 4 * 3


def test_a_defect_is_one_app_s_alone() -> None:
    """What no image should be able to do, raise something unexpected, makes that one unknown."""

    def check(app: str) -> Result:
        if app == "app:7":
            raise ZeroDivisionError("of all things")
        return starts(app)

    found: dict[str, Result] = {}
    look(APPS, check, lambda result: found.update({result.app: result}))
    assert found["app:7"].kind == "unknown"
    assert found["app:7"].reason == "a defect in metalauncher: ZeroDivisionError: of all things"
    assert {result.kind for app, result in found.items() if app != "app:7"} == {"starts"}
    assert len(found) == len(APPS)


def test_what_no_app_can_go_on_with_ends_it() -> None:
    """A login that can't be read concerns them all."""
    found: list[Result] = []
    met = threading.Event()

    def check(app: str) -> Result:
        if app == "app:5":
            met.set()
            raise Unable("config.json: is not JSON", command="docker login")
        if app not in APPS[:5]:
            met.wait(20)  # else the thread that has that one may get its turn after all others
            time.sleep(0.005)
        return starts(app)

    with pytest.raises(Unable, match=r"config\.json"):
        look(APPS, check, found.append, jobs=2)
    assert len(found) < len(APPS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_somebody_asks_to_stop(number: signal.Signals) -> None:
    """What was taken until then stands, nobody waits for who is at work, and a second signal is as without us."""
    found: list[Result] = []
    forever = threading.Event()

    def check(app: str) -> Result:
        if app in APPS[50:]:
            forever.wait(20)
        return starts(app)

    def take(result: Result) -> None:
        found.append(result)
        if len(found) == 50:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    began = time.monotonic()
    try:
        with interruptible() as interruption:
            look(APPS, check, take, jobs=4, interruption=interruption)
            assert signal.getsignal(number) == before
        assert time.monotonic() - began < 5
    finally:
        forever.set()
    assert interruption
    assert interruption.exit_code == 128 + number
    assert sorted(result.app for result in found) == sorted(APPS[:50])
    assert signal.getsignal(number) == before


def test_who_is_at_work_comes_to_an_end() -> None:
    """When it returns, nobody is at work any more who could be done by then, also where it was interrupted."""
    interruption = Interruption()
    working = threading.Semaphore(0)

    def check(app: str) -> Result:
        if app in APPS[:8]:
            return starts(app)
        working.release()
        time.sleep(0.2)
        working.acquire()
        return starts(app)

    def take(_: Result) -> None:
        interruption.signal = signal.SIGINT

    look(APPS, check, take, jobs=4, interruption=interruption)
    assert not working.acquire(blocking=False)


def test_nobody_asks_to_stop() -> None:
    """Without a signal nothing is interrupted."""
    with interruptible() as interruption:
        look(APPS[:3], starts, lambda _: None, interruption=interruption)
    assert not interruption
    assert Interruption().exit_code == 128


def test_progress_is_shown_while_all_wait() -> None:
    """It is shown also when nothing arrives for a while, and not for each of thousands."""
    shown: list[float] = []

    def check(app: str) -> Result:
        if app == "app:9":
            time.sleep(0.7)
        return starts(app)

    look(APPS, check, lambda _: None, jobs=1, progress=lambda: shown.append(time.monotonic()))
    assert 3 <= len(shown) <= 10


def test_no_apps() -> None:
    """Nothing to do is done at once."""
    look((), starts, lambda _: None)
