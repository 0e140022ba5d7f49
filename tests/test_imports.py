"""The import rule of docs/architecture.md, held to what the modules import."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What planning needs from rooms to the right of `config`, without torch.
AT_PLANNING = {"baft.methods.settings", "baft.benchmarks.formats", "baft.benchmarks.embedded", "baft.models.files"}


def order() -> dict[str, int]:
    """Place of each room, from the page."""
    (block,) = re.findall(
        r"^    (errors -> .*?)\n\n", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE | re.DOTALL
    )
    steps = " ".join(block.split()).split(" -> ")
    return {room: place for place, rooms in enumerate(steps) for room in rooms.split(", ")}


def imports() -> Iterator[tuple[str, str, str]]:
    """Module, its room, and a module of another room that it imports."""
    for path in sorted((ROOT / "baft").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path} has a relative import"
                base = node.module or ""
                named = [f"baft.{alias.name}" for alias in node.names] if base == "baft" else [base]
            else:
                named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in named:
                if name.startswith("baft.") and name.split(".")[1] != parts[1]:
                    yield ".".join(parts), parts[1], name


def test_no_module_imports_what_is_to_its_right() -> None:
    places = order()
    wrong = [
        f"{module} imports {name}"
        for module, room, name in imports()
        if room in places
        and places.get(name.split(".")[1], -1) >= places[room]
        and not (room == "config" and name in AT_PLANNING)
    ]
    assert not wrong


def test_every_room_has_its_place() -> None:
    rooms = {path.stem for path in (ROOT / "baft").iterdir() if not path.stem.startswith(("_", "."))}
    assert rooms == set(order())
    assert {name for _, room, name in imports() if room == "config" and name in AT_PLANNING} == AT_PLANNING
