"""Benchmarking knowledge editing of language models, around BaFT (basis-level representation fine-tuning)."""

__version__ = "0.1.0"
