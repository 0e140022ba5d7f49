"""How figures look: a colour a family of methods, a marker a method, sizes that stay legible in a paper's column."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.lines import Line2D

from baft.files import replacing
from baft.methods.settings import Family
from baft.report.labels import known_methods, method_name, ordered_methods

_NONE: Mapping[str, str] = MappingProxyType({})

# Widths of one and of two columns of a paper, inches.
COLUMN = 3.3
PAGE = 6.9
DPI = 300

# A colour a family of methods: Okabe and Ito's, told apart with any kind of colour vision; without their yellow, which
# fades on white.
COLOURS: dict[Family, str] = {
    "reference": "#7F7F7F",
    "representation": "#D55E00",
    "weights": "#0072B2",
    "adapters": "#009E73",
    "memory": "#CC79A7",
    "context": "#E69F00",
    "others": "#000000",
}
# A marker a member. The star and the octagon are those of what methods are compared with.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "d", "H")
_FLOORS = ("*", "8")
# Towards black (negative) or white: what tells members of a family apart besides the marker.
_SHADES = (0.0, -0.4, 0.4)

_RC: dict[str, Any] = {
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.6,
    # Labels and tokens are drawn as they are: two dollar signs are no formula.
    "text.parse_math": False,
    # Text stays text in the PDF, and the file depends on nothing but the figure.
    "pdf.fonttype": 42,
    "svg.hashsalt": "baft",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Colour and marker of a method."""

    colour: str
    marker: str


def marks(labels: Iterable[str], methods: Mapping[str, str] = _NONE) -> dict[str, Mark]:
    """The mark of each label, in the order of tables.

    A method of this package has the mark of its place in its family, whatever else is shown. ``methods`` are the names of
    the methods behind labels, where they are known: a label of such a method has the colour of its family and the first
    mark that no label here has. What is in no family is black.
    """
    ordered = ordered_methods(labels)
    given = {label: _own_marks()[label] for label in ordered if label in _own_marks()}
    for label in ordered:
        if label not in given:
            known = known_methods().get(methods.get(label, ""))
            given[label] = _free(known.family if known else "others", set(given.values()))
    return {label: given[label] for label in ordered}


@functools.cache
def _own_marks() -> Mapping[str, Mark]:
    found: dict[str, Mark] = {}
    for name, known in known_methods().items():
        found[name] = _free(known.family, set(found.values()))
    return found


def _free(family: Family, taken: Set[Mark]) -> Mark:
    """The first mark of a family that is not taken; the last there is if all are, for no legend holds so many."""
    markers = _FLOORS if family == "reference" else MARKERS
    # Marker and shade change together, so that neighbours differ in both.
    pairs = [
        Mark(_shaded(COLOURS[family], _SHADES[(place + turn) % len(_SHADES)]), marker)
        for turn in range(len(_SHADES))
        for place, marker in enumerate(markers)
    ]
    return next((mark for mark in pairs if mark not in taken), pairs[-1])


def _shaded(colour: str, shade: float) -> str:
    end = 1.0 if shade > 0 else 0.0
    red, green, blue = ((1 - abs(shade)) * part + abs(shade) * end for part in to_rgb(colour))
    return to_hex((red, green, blue)).upper()


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure of that size in inches, in the report's style, independent of pyplot and of any display."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)  # type: ignore[arg-type]
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def save(figure: Figure, frame: pd.DataFrame, out: Path) -> list[Path]:
    """Write ``figure`` as PDF and PNG (300 dpi) and its numbers as CSV, to ``out`` with those suffixes.

    What could not be measured, by the numbers' columns ``…unmeasured``, is told above the figure. Must be called inside
    :func:`drawing`. The bytes depend on the data alone: no time, no version.
    """
    lost = int(frame[[name for name in frame.columns if str(name).endswith("unmeasured")]].sum().sum())
    if lost:
        # Above, for legends stand below.
        text = f"Measurements that could not be taken and are left out: {lost} (the CSV file says where)."
        figure.suptitle(text, fontsize=6, color="#6A6A6A")
    base = out.with_suffix("") if out.suffix in (".pdf", ".png", ".csv") else out
    nothing: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
    paths = []
    for kind, metadata in nothing.items():
        paths.append(base.with_name(f"{base.name}.{kind}"))
        with replacing(paths[-1]) as file:
            figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
    paths.append(base.with_name(f"{base.name}.csv"))
    with replacing(paths[-1]) as file:
        file.write(frame.to_csv(index=False).encode())
    return paths


def save_sentence(sentence: str, frame: pd.DataFrame, out: Path) -> list[Path]:
    """Write what stands in a figure's place where there is nothing to draw, as :func:`save` does; return the paths."""
    with drawing(COLUMN, 0.5) as figure:
        figure.text(0.5, 0.5, sentence, ha="center", va="center")
        return save(figure, frame, out)


def literal(text: str, most: int = 24) -> str:
    """Text of a user or model as a figure can show it, in one line.

    What cannot be printed or has no glyph is escaped (``\\n``, ``\\u65e5``), and more than ``most`` characters are cut.
    """
    shown = "".join(one if one.isprintable() and _has_glyph(one) else _escaped(one) for one in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


@functools.cache
def _has_glyph(character: str) -> bool:
    return get_font(findfont("DejaVu Sans")).get_char_index(ord(character)) != 0


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def legend_handles(given: dict[str, Mark]) -> list[Line2D]:
    """Legend entries of methods."""
    return [
        Line2D(
            [],
            [],
            color=mark.colour,
            marker=mark.marker,
            linestyle="",
            markersize=marker_size(mark),
            label=method_name(label),
        )
        for label, mark in given.items()
    ]


def marker_size(mark: Mark) -> float:
    """Points across: stars and crosses are drawn larger to look as large as the rest."""
    return {"*": 7.5, "P": 5.0, "X": 5.0, "D": 3.8, "s": 4.0, "d": 5.0}.get(mark.marker, 4.5)


def name_panels(axes: Sequence[Axes], names: Sequence[str], pad: float = 4) -> None:
    """Titles that fit narrow panels: underscores are spaces, and long names break into two lines."""
    for axis, name in zip(axes, names, strict=True):
        axis.set_title(panel_name(name), pad=pad)


def panel_name(name: str) -> str:
    """``mini_wiki_counterfact`` in two lines where it is too long for one."""
    words = name.replace("_", " ").split()
    if len(name) <= 14 or len(words) < 2:
        return " ".join(words)
    cuts = range(1, len(words))
    best = min(cuts, key=lambda cut: abs(len(" ".join(words[:cut])) - len(" ".join(words[cut:]))))
    return " ".join(words[:best]) + "\n" + " ".join(words[best:])
