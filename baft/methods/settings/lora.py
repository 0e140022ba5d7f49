"""The settings of LoRA."""

from baft.methods.settings._adapters import AdapterSettings


class Settings(AdapterSettings):
    """Rank, α and learning rate are EasyEdit's for LLaMA-2-7B."""

    title = "LoRA"
