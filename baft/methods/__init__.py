"""Editing methods, one file each: a method turns batches of requests into deltas."""
