from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from baft.report import sequences, style
from baft.report.cells import read_cells
from baft.report.figures.batched_sequence_length import _panel, plot_batched_sequence_length
from tests.report.test_sequences import SETTINGS, stream, summary


def test_both_moments_of_scoring_are_drawn(tmp_path: Path) -> None:
    streams = stream("a", [1.0, 1.0, 0.5], [0.5, 1.0], [0.0, 0.5, 0.5]), stream("c", [1.0], [], [1.0])
    drawn = plot_batched_sequence_length([summary(tmp_path, "reft", *streams)], tmp_path / "figure", SETTINGS)
    assert [path.suffix for path in drawn] == [".pdf", ".png", ".csv"]
    assert set(pd.read_csv(drawn[2])["scored"]) == {"final", "immediate"}


def test_methods_scored_at_one_number_of_edits_stand_beside_each_other(tmp_path: Path) -> None:
    streams = [
        stream(name, [1.0, 1.0], [], [value, 1.0])
        for name, value in zip("abcde", (0.0, 0.5, 1.0, 0.0, 1.0), strict=True)
    ]
    records = [summary(tmp_path / method, method, *streams) for method in ("reft", "baft")]
    frame = sequences.sequence_frame(read_cells(records), SETTINGS)
    axis = Figure().subplots()
    given = style.marks(["reft", "baft"])
    _panel(axis, frame, given)
    points = {line.get_marker(): (line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines}
    # Dashes are what they had right after each edit.
    ours, theirs = (points[given[method].marker] for method in ("baft", "reft"))
    assert ours[0] < theirs[0] and ours[1] == theirs[1] == pytest.approx(75)
    assert points["_"][1] == 100
    bars = [segment[:, 1] for bar in axis.collections for segment in bar.get_segments()]
    final = frame[frame["scored"].eq("final")]
    assert np.allclose(sorted(map(tuple, bars)), sorted(zip(100 * final["low"], 100 * final["high"], strict=True)))
    assert (final["low"] < final["high"]).all()
