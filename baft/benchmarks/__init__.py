"""Edit benchmarks: file formats in, records out."""
