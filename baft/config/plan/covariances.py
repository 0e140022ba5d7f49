"""The text of key covariances, for the jobs that collect them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from baft.config.contents import contents_digest
from baft.config.study import Study


@dataclass(frozen=True)
class Covariances:
    """Answers about the text, which is one for a study."""

    study: Study

    @functools.cached_property
    def contents(self) -> str:
        """Digest of a text that the user keeps, who may change it; empty for one that is pinned."""
        return contents_digest(self.study.covariances.files())
