"""The result schema, the parquet store and the statistics."""
