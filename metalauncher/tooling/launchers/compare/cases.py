"""All cases, area by area."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.tooling.launchers.compare import (
    cases_apis,
    cases_arguments,
    cases_directories,
    cases_environment,
    cases_files,
    cases_hooks,
    cases_output,
    cases_refusals,
    cases_routes,
    cases_state,
)
from metalauncher.tooling.launchers.compare.acquaintance import order_case
from metalauncher.tooling.launchers.compare.case import Apis

if TYPE_CHECKING:
    from metalauncher.tooling.launchers.compare.case import Case

_ANY = Apis("0.12", "0.10")  # what cases are written for that won't be run, for want of APIs in common
_AREAS = (
    cases_routes,
    cases_apis,
    cases_arguments,
    cases_directories,
    cases_environment,
    cases_files,
    cases_hooks,
    cases_output,
    cases_refusals,
    cases_state,
)


def all_cases(common: Apis | None) -> list[Case]:
    """Return every case.

    Args:
        common: the APIs of those that are not about APIs; None: whatever, they will not be run.
    """
    apis = common or _ANY
    return [*[case for area in _AREAS for case in area.cases(apis)], order_case(apis)]


def areas() -> list[str]:
    """Return the names of the areas, in order."""
    return list(dict.fromkeys([case.area for case in all_cases(None)]))
