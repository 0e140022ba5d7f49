"""Loading language models, and what the engine must know about their architectures."""
