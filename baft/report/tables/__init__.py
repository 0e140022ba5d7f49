"""Tables, one a file: Markdown and LaTeX beside the tidy numbers as CSV. They are found by their declarations."""
