"""Protocols and metrics: how records become streams, and how an edited model is judged."""
