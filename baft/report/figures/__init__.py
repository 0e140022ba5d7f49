"""One figure a file: each reads result files and writes PDF, PNG and the tidy CSV of what it shows."""

from baft.report.figures.parameters import plot_parameters
from baft.report.figures.tradeoff import plot_tradeoff

__all__ = ["plot_parameters", "plot_tradeoff"]
