"""Random small images for the oracle: a plain app, and a few changes of what a start depends on.

An image is a list of changes by name and seed, so that one that `check` is wrong about can be made smaller by leaving
changes out. The same seed gives the same images.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import oracle_configs as configs
import oracle_places as places
from oracle_draft import Draft
from recipes import Recipe

Change = Callable[[Draft], None]
# How often each is taken.
CHANGES: Final[Mapping[Change, int]] = {
    places.user: 8,
    places.odd_user: 1,
    places.passwd: 1,
    places.folder_of_run: 4,
    places.folder_of_app: 4,
    places.file_modes: 4,
    places.second_launcher: 3,
    places.no_launcher: 1,
    configs.api: 2,
    places.other_launcher: 4,
    places.launcher_as_link: 3,
    places.replaced: 3,
    places.removed: 3,
    places.own_launcher: 4,
    places.shim: 3,
    places.process_link: 4,
    places.launcher_link: 3,
    places.linked_folder: 3,
    places.metadata_file: 3,
    configs.layers_directory: 2,
    configs.entrypoint: 4,
    configs.init: 4,
    configs.path_lookup: 4,
    configs.working_directory: 3,
    configs.config_keys: 2,
    configs.env: 3,
    configs.order: 3,
    configs.labels: 4,
    places.metalauncher: 2,
    places.descriptors: 3,
    places.archive: 1,
    places.dishonest: 1,
    places.behind_links: 2,
    places.odd_header: 2,
    configs.odd_words: 1,
    configs.volumes: 1,
    places.harmless: 8,
}
_NAMES: Final = {change.__name__: change for change in CHANGES}
# One change in a list: its name, and its own seed.
Step = tuple[str, int]


def steps(seed: int) -> list[Step]:
    """Return the changes that make the image of a seed."""
    chance = random.Random(seed)
    number = chance.choice((0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5))
    chosen = chance.choices(list(CHANGES), weights=list(CHANGES.values()), k=number)
    return [(change.__name__, chance.randrange(1 << 32)) for change in chosen]


def compose(chosen: Sequence[Step]) -> Recipe:
    """Return the recipe that these changes make."""
    draft = Draft()
    for name, seed in chosen:
        draft.chance = random.Random(seed)
        _NAMES[name](draft)
    return draft.recipe(" + ".join([name for name, _ in chosen]) or "plain")


def shrink(chosen: Sequence[Step], is_wrong: Callable[[Recipe], bool]) -> list[Step]:
    """Return as few of the changes as are still wrong."""
    found = list(chosen)
    for step in chosen:
        fewer = [one for one in found if one is not step]
        if len(fewer) < len(found) and is_wrong(compose(fewer)):
            found = fewer
    return found
