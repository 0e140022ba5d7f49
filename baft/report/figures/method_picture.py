"""The picture of the method: where one trained edit opens its bases, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from baft.analysis.inputs import EDITING, GENERAL, IRRELEVANT
from baft.config.products import FigureProduct
from baft.errors import UserError
from baft.report import style
from baft.report.bases import read_bases
from baft.report.inputs import Inputs
from baft.report.panels import title_lines

PRODUCT = FigureProduct(
    cells="bases",
    weighed=True,
    settings=("analysis.picture",),
    category="Analysis",
    label="the weights of one edit",
    place=260,
)

# A closed basis is white; one hue, so that it is read alike with any kind of colour vision.
_COLOURS = "Blues"
_MOST = 24
_COLUMNS = [
    "model",
    "benchmark",
    "method",
    "record_id",
    "kind",
    "prompt",
    "position",
    "token",
    "edited",
    "basis",
    "weight",
    "update",
]


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Draw the figure at ``stem`` with the suffixes of figures; return the paths."""
    return plot_method_picture(inputs.files, stem, inputs.settings["analysis.picture"])


def plot_method_picture(bases: Sequence[Path], out: Path, record: str | None = None) -> list[Path]:
    """Draw ``out``.pdf and .png, and write what they show to ``out``.csv; return the three paths.

    The edit of the record with the id ``record`` (the first if None) by each method whose weights depend on the input, at
    its editing prompt and at an irrelevant one: a row a token, coloured by the weight of each basis, beside the length of
    the update as a share of the hidden state's; hollow where the edit does not act. The last 24 tokens of a longer prompt
    are shown.
    """
    found = read_bases(bases).varying()
    frame = picture_frame(found.rows, record)
    methods = [method for method in found.methods if frame["method"].eq(method).any()]
    kinds = list(frame["kind"].unique())
    tokens = int(frame.groupby(["method", "kind"])["position"].nunique().clip(upper=_MOST).max())
    given = style.marks(methods)
    with style.drawing(style.PAGE, len(methods) * (0.155 * tokens + 1.05)) as figure:
        reach = 1.08 * (float(frame["update"].max()) or 1.0)
        parts = figure.subfigures(len(methods), 1, squeeze=False)[:, 0]
        for part, method in zip(parts, methods, strict=True):
            title = "\n".join(title_lines(found.titles()[method], style.PAGE))
            part.suptitle(title, x=0.02, ha="left", fontsize=7.5, fontweight="bold")
            grid = part.subplots(1, 2 * len(kinds), width_ratios=[1.7, 1] * len(kinds))
            own = frame[frame["method"].eq(method)]
            images = [
                _draw(grid[2 * n], grid[2 * n + 1], own[own["kind"].eq(kind)], tokens, reach, given[method].colour)
                for n, kind in enumerate(kinds)
            ]
            bar: dict[str, Any] = {
                "location": "right",
                "shrink": min(0.8, 7 / tokens),
                "aspect": 12,
                "ticks": [0, 0.5, 1],
                "label": "weight",
            }
            part.colorbar(images[-1], ax=list(grid), **bar)
        return style.save(figure, frame, out)


def picture_frame(bases: pd.DataFrame, record: str | None) -> pd.DataFrame:
    """One row a method, prompt, token and basis of a record's edit: ``weight``, and ``update`` = displacement / size.

    Raises :class:`UserError` if no analysed record has that id.
    """
    wanted = bases["record_id"].iloc[0] if record is None else record
    own = bases[bases["record_id"].eq(wanted)]
    if own.empty:
        raise UserError(f"analysis.picture is {record!r}, but no analysed record has that id.")
    own = own[own["model"].eq(own["model"].iloc[0]) & own["benchmark"].eq(own["benchmark"].iloc[0])]
    kinds = [EDITING, IRRELEVANT if own["kind"].eq(IRRELEVANT).any() else GENERAL]
    shown = pd.concat([_first(own[own["kind"].eq(kind)]) for kind in kinds if own["kind"].eq(kind).any()])
    return shown.assign(update=shown["displacement"] / shown["size"])[_COLUMNS].reset_index(drop=True)


def _first(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first input, of each method as they were written."""
    names = ["group", "index"]
    return rows[rows[names].eq(rows[names].iloc[0]).all(axis=1)]


def _draw(left: Axes, right: Axes, rows: pd.DataFrame, lines: int, reach: float, ink: str) -> AxesImage:
    weights = rows.pivot(index="position", columns="basis", values="weight").tail(_MOST)
    tokens = rows.drop_duplicates("position").set_index("position").loc[weights.index]
    image: AxesImage = left.imshow(
        weights.to_numpy(), cmap=_COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="none"
    )
    left.set_yticks(range(len(weights)), [_token(text) for text in tokens["token"]])
    left.set_xticks(range(3, weights.shape[1], 4), [str(k) for k in range(4, weights.shape[1] + 1, 4)])
    left.set_xlabel("basis")
    for place, edited in enumerate(tokens["edited"]):
        _bar(right, place, float(tokens["update"].iloc[place]), edited, ink)
        if edited:
            frame: dict[str, Any] = {
                "zorder": 5,
                "fill": False,
                "edgecolor": ink,
                "linewidth": 1.2,
                "clip_on": False,
            }
            left.add_patch(Rectangle((-0.5, place - 0.5), weights.shape[1], 1, **frame))
    left.set(ylim=(lines - 0.5, -0.5))
    right.set(xlim=(0, reach), ylim=(lines - 0.5, -0.5), yticks=())
    right.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    right.set_xlabel("‖update‖ / ‖h‖")
    for axis in (left, right):
        axis.grid(visible=False, axis="y")
        axis.tick_params(axis="y", length=0)
        axis.spines[:].set_visible(False)
    left.grid(visible=False)
    cells: dict[str, Any] = {"color": "#E5E5E5", "linewidth": 0.5}
    left.hlines([n - 0.5 for n in range(len(weights) + 1)], -0.5, weights.shape[1] - 0.5, **cells)
    left.vlines([k - 0.5 for k in range(weights.shape[1] + 1)], -0.5, len(weights) - 0.5, **cells)
    kind = rows["kind"].iloc[0]
    left.set_title("editing prompt" if kind == EDITING else f"{kind} prompt", fontweight="bold", pad=4)
    return image


def _bar(axis: Axes, place: int, update: float, edited: bool, ink: str) -> None:
    axis.barh(place, update, 0.7, facecolor=ink if edited else "white", edgecolor=ink, linewidth=0.7)


def _token(text: str) -> str:
    return style.literal(text).replace(" ", "·")
