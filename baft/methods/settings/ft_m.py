"""The settings of FT-M."""

from baft.methods.settings._tuning import TuningSettings


class Settings(TuningSettings):
    """EasyEdit's for LLaMA-2-7B (layer 21 of 32), which has no bound."""

    title = "FT-M"
