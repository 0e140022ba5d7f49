from __future__ import annotations

import numpy as np

from baft.analysis.bound import bound_frame
from tests.analysis.frames import bases, position

HERE = {"gap": 3.0, "tilt": 1.0, "slope": 4.0, "distance": 0.5}


def test_bounds_by_hand_at_the_last_edited_position() -> None:
    frame = bound_frame(
        bases(
            position("editing", [1.0, 1.0]),
            position("rephrasing", [1.0, 1.0], distance=2.0, spread=0.5),
            position("rephrasing", [1.0, 1.0], index=1, distance=1.0, spread=0.7),
            position("irrelevant", [1.0, 1.0], position=3, **HERE),
            position("irrelevant", [1.0, 1.0], position=2, gap=100.0),
            position("irrelevant", [1.0, 1.0], position=4, edited=False, gap=100.0),
            position("general", [1.0, 1.0], [0.5, 0.5], **HERE),
        )
    ).set_index("method")
    columns = ["bound", "bound_along", "radius", "spread"]
    assert frame.loc["reft", columns].tolist() == [1.0, 2.0, 2.0, 0.7]
    assert frame.loc["baft", columns[:2]].tolist() == [1.0, 2.0]
    assert np.isnan(frame.loc["baft", "radius"]), "an edit without rephrasings has no radius"
    assert len(frame) == 2
