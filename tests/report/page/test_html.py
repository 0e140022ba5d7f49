import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from baft.report.page import html


def noise(path: Path, side: int) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)).save(path)
    return path


def picture(address: str) -> Image.Image:
    head, _, content = address.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_pictures_are_part_of_the_page_as_they_are(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.png", 9)
    (address,) = html.embedded({"a": path}).values()
    assert base64.b64decode(address.partition(",")[2]) == path.read_bytes()


def test_pictures_too_large_for_a_page_are_reduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {name: noise(tmp_path / f"{name}.png", 100) for name in "ab"}
    monkeypatch.setattr(html, "PICTURES", 30_000)
    colours = html.embedded(paths)
    assert {picture(address).size for address in colours.values()} == {(100, 100)}
    monkeypatch.setattr(html, "PICTURES", 9_000)
    small = html.embedded(paths)
    assert sum(len(base64.b64decode(address.partition(",")[2])) for address in small.values()) <= 9_000
    assert all(picture(address).size[0] < 100 for address in small.values())


def test_a_page_shows_no_character_that_cannot_be_seen(tmp_path: Path) -> None:
    html.write_page("table.html", tmp_path / "t.html", title="a\u202eb\x1b", tables=[])
    assert r"<title>a\u202eb\x1b</title>" in (tmp_path / "t.html").read_text()


@pytest.mark.parametrize(("inches", "alone"), [(3.3, True), (6.9, False)])
def test_a_figure_of_one_column_is_told_from_one_of_the_page(tmp_path: Path, inches: float, alone: bool) -> None:
    Image.new("RGB", (round(300 * inches), 10)).save(tmp_path / "f.png")
    assert html.in_one_column(tmp_path / "f.png") is alone
