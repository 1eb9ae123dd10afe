"""Why an app image is not rewritten, as codes and facts. The words are `refusal_text`'s."""

from __future__ import annotations

from typing import Final, Literal

RefusalCode = Literal[
    # Left alone, rightly: its launcher layer is none that was asked for, or delegates already.
    "not-matched",
    "delegates",
    # Of the manifest and the config.
    "schema-1",
    "index",
    "no-image",  # an artifact, or what is not read here
    "damaged-document",
    "repeated-key",
    "unequal-layers",
    "descriptor",  # that of a blob to be replaced says more of it than what it is
    "layer-type",  # a layer to be replaced is zstd's, foreign, encrypted, of an unknown type
    "mixed-types",  # of a layer that is kept there is no counterpart in the manifest's own family
    "digest",  # a blob is not what its digest says
    # Of the labels.
    "no-label",
    "damaged-label",
    "not-rebasable",
    # Of the layers.
    "no-layer",  # the label names a layer that the image does not have
    "repeated-layer",
    "run-image-layer",  # the label counts the launcher's, or that of the SBOMs, among the run image's
    "damaged-layer",
    "large-layer",
    "launcher-layer",  # there is more in the launcher's, or other things
    "sbom-layer",  # of the SBOMs' the launcher's can't be taken out
]
LEFT_ALONE: Final[frozenset[RefusalCode]] = frozenset(("not-matched", "delegates"))


class Refused(Exception):
    """An image is not rewritten.

    Attributes:
        code: why.
        place: what it is about: a document, a label, a layer's digest, the path of a value.
        found: what is there, as far as the code does not say it.
    """

    def __init__(self, code: RefusalCode, place: str = "", found: str = "") -> None:
        """Hold why."""
        super().__init__(code, place, found)
        self.code: Final = code
        self.place: Final = place
        self.found: Final = found

    @property
    def left_alone(self) -> bool:
        """Whether nothing is wrong with the image: there is nothing to do."""
        return self.code in LEFT_ALONE
