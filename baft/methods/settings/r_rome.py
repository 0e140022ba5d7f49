"""The settings of R-ROME."""

from baft.methods.settings._rank_one import RankOneSettings


class Settings(RankOneSettings):
    """ROME's."""

    title = "R-ROME"
