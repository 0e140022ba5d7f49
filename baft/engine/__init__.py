"""The engine: a frozen model and many edits side by side.

A *stream* is one virtual copy of the model; its edits are *deltas* at *sites*. Rows of different streams share each
forward pass, and every row sees its own stream's deltas only.
"""
