"""The settings of ROME."""

from baft.methods.settings._rank_one import RankOneSettings


class Settings(RankOneSettings):
    """EasyEdit's for LLaMA-2-7B, with the authors' second moment."""

    title = "ROME"
