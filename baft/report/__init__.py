"""Tables and figures made of the result datasets."""
