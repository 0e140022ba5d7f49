import math
from pathlib import Path

import pandas as pd
import pytest

from baft.errors import UserError
from baft.report.rendering import HOLE
from baft.report.summary import summary_text


def test_the_summary_fits_a_terminal(folder: Path) -> None:
    text = summary_text(folder)
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= 88
    assert lines[0].startswith("tiny, single editing, tune split")
    main = pd.read_csv(folder / "main.csv", keep_default_na=False).query("group == '*' and method == 'baft'")
    row = main.query("benchmark == 'mini_wiki_recent' and metric == 'edit_success'").iloc[0]
    shown = next(line for line in lines if line.startswith("  BaFT"))
    assert shown.split()[1] == f"{100 * float(row['mean']):.1f}"
    assert any(line.startswith("  LoRA") and HOLE in line for line in lines)
    assert not any(math.isnan(float(word)) for word in text.split() if word == "nan")
    assert "nan" not in text


def test_the_summary_of_nothing_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="baft tabulate"):
        summary_text(tmp_path)
