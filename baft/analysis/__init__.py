"""What trained subspace edits do inside: measured by a job, then turned into the numbers of the figures."""
