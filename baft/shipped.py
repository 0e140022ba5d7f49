"""Where the files lie that ship with the package and are no code: settings of methods, known models, captions, texts.

In a clone they are where they are written; an installed package has copies inside it, which ``setup.py`` puts there.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CLONE = _PACKAGE.parent


def shipped(name: str) -> Path:
    """The path of a shipped file or folder, named as in a clone: ``config/methods``."""
    root = _CLONE if (_CLONE / "pyproject.toml").is_file() else _PACKAGE / "shipped"
    return root / name
