"""Figures, one a file: PDF, PNG and the tidy CSV of what is shown. They are found by their declarations."""
