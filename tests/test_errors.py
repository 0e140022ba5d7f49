from __future__ import annotations

import pytest

from baft.errors import first_line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("no such file\nand more"), "OSError: no such file"),
        (KeyError("model_type"), "KeyError: 'model_type'"),
        (
            ValueError("Validation error for 'depth':\n    expected int, got str:\n\n  'x'\nmore"),
            "ValueError: Validation error for 'depth': expected int, got str: 'x'",
        ),
        (ValueError("ends in a colon:"), "ValueError: ends in a colon:"),
        (RuntimeError("\n \n"), "RuntimeError"),
    ],
)
def test_an_error_is_told_in_one_line(error: Exception, said: str) -> None:
    assert first_line(error) == said
