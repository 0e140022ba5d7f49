"""What a reader needs of any figure: no text is cut off or lies over another, and the legend covers no data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

# Pixels, at 100 to an inch, that the boxes around two texts may share: they are larger than what is drawn.
_SLACK = 1.5


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """The figures that are saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *args: object, **options: object) -> None:
        save(figure, *args, **options)
        if figure not in figures:
            figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", kept)
    yield figures


def faults(figure: Figure) -> list[str]:
    """What is wrong with the layout, in words."""
    figure.canvas.draw()
    page = figure.bbox.padded(_SLACK)
    beyond = _beyond(figure)
    texts = [(text, text.get_window_extent()) for text in figure.findobj(_shown) if text not in beyond]
    found = [f"{text.get_text()!r} is cut off" for text, box in texts if not _within(box, page)]
    for (one, box), (other, its) in combinations(texts, 2):
        if _overlap(box, its):
            found.append(f"{one.get_text()!r} lies over {other.get_text()!r}")
    for legend in figure.legends:
        covered = legend.get_window_extent()
        found += ["the legend covers axes" for axis in figure.get_axes() if _overlap(covered, axis.get_window_extent())]
    return found


def _shown(artist: object) -> bool:
    return isinstance(artist, Text) and artist.get_visible() and bool(artist.get_text().strip()) and _drawn(artist)


def _drawn(text: Text) -> bool:
    axes = text.axes
    return axes is None or (axes.axison and axes.get_visible())


def _beyond(figure: Figure) -> set[Text]:
    """Labels of ticks outside the axes, which are not drawn."""
    found = set()
    for axis in (one for axes in figure.get_axes() for one in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        found |= {text for tick in ticks if not low <= tick.get_loc() <= high for text in (tick.label1, tick.label2)}
    return found


def _within(box: Bbox, page: Bbox) -> bool:
    return page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1


def _overlap(one: Bbox, other: Bbox) -> bool:
    shared = Bbox.intersection(one, other)
    return shared is not None and shared.width > _SLACK and shared.height > _SLACK
