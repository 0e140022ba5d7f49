"""The settings of ReFT."""

from baft.methods.settings import Bases
from baft.methods.settings._subspace import SubspaceSettings


class Settings(SubspaceSettings):
    """LoReFT at the last prompt token; the rank as in figure 1 of the BaFT paper."""

    title = "ReFT"
    family = "representation"

    def bases(self) -> Bases:
        return Bases("1 throughout", varies=False)
