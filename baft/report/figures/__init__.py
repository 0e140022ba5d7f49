"""One figure a file: each reads result files and writes PDF, PNG and the tidy CSV of what it shows."""

from baft.report.figures.basis_weights import plot_basis_weights
from baft.report.figures.batched_sequence_length import plot_batched_sequence_length
from baft.report.figures.generality_locality_bound import plot_generality_locality_bound
from baft.report.figures.method_picture import plot_method_picture
from baft.report.figures.parameters import plot_parameters
from baft.report.figures.redundant_dimensions import plot_redundant_dimensions
from baft.report.figures.sensitivity import plot_sensitivity
from baft.report.figures.tradeoff import plot_tradeoff

__all__ = [
    "plot_basis_weights",
    "plot_batched_sequence_length",
    "plot_generality_locality_bound",
    "plot_method_picture",
    "plot_parameters",
    "plot_redundant_dimensions",
    "plot_sensitivity",
    "plot_tradeoff",
]
