"""Saved edits: read back whole, or refused in a sentence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from baft.engine.asking import Decoding, Question
from baft.engine.deltas import Dense, GatedSubspace, LowRank, Offset
from baft.engine.parts import kind_of, tensor_fields
from baft.engine.positions import AtMark, Everywhere, PromptEnds
from baft.engine.preambles import Fact, Query
from baft.engine.saved import TENSORS, TEXT, load_state, save_state
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from tests.engine.test_state import same
from tests.engine.tiny import PROMPTS, engine
from tests.engine.toys import LatestFact, NearestOffset

STREAMS = 3


def state() -> EditState:
    draw = torch.Generator().manual_seed(0)

    def r(*shape: int) -> torch.Tensor:
        return torch.randn(STREAMS, *shape, generator=draw)

    deltas = {
        Site(1): GatedSubspace(PromptEnds(0, 2), r(2, 32), r(2, 32), r(2), r(2, 32), r(2)),
        Site(2): Offset(AtMark(), r(32)),
        Site(0, "mlp.down_proj"): LowRank(Everywhere(), r(1, 48), r(1, 32)),
        Site(1, "mlp.down_proj"): Dense(Everywhere(), r(32, 48)),
        Site(2, "mlp.down_proj"): NearestOffset(Everywhere(), r(4, 32), r(4, 32), at=Site(0), radius=1.5),
    }
    facts = ((Fact("a", "Rome is in France."),), (), (Fact("b", "巴黎在意大利。"), Fact("c", "x")))
    edited = torch.tensor([True, False, True])
    return EditState(STREAMS, deltas, {"usage": r(2)}, LatestFact(facts, r(2), sign=" —"), edited)


def test_a_state_is_read_back_as_it_was(tmp_path: Path) -> None:
    tiny = engine("llama")
    save_state(state(), tmp_path, {"method": "toy"})
    loaded, about = load_state(tmp_path, tiny.model)
    assert same(loaded, state())
    assert loaded.preamble is not None and state().preamble is not None
    assert replace(loaded.preamble, weight=0) == replace(state().preamble, weight=0)  # type: ignore[call-arg]
    assert torch.equal(loaded.preamble.tensors()["weight"], state().preamble.tensors()["weight"])  # type: ignore[union-attr]
    assert about == {"method": "toy"}
    questions = [Question(s, tuple(tiny.text.prompt(p)), ((5, 6),)) for s in range(STREAMS) for p in PROMPTS]
    assert tiny.ask(loaded, questions, Decoding(3)) == tiny.ask(state(), questions, Decoding(3))
    queries = [Query(2, PROMPTS[0]), Query(0, PROMPTS[0], ""), Query(1, PROMPTS[0])]
    assert tiny.openings(loaded, queries) == ["x — ", "", ""]


def edit_text(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    text = json.loads((folder / TEXT).read_text())
    change(text)
    (folder / TEXT).write_text(json.dumps(text))


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / TENSORS)
    change(tensors)
    save_file(tensors, folder / TENSORS)


def poison(tensors: dict[str, torch.Tensor]) -> None:
    tensors["memory/usage"][1, 0] = torch.nan


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no text": ("edit.json or edit.safetensors is not there", lambda f: (f / TEXT).unlink()),
    "no tensors": ("edit.json or edit.safetensors is not there", lambda f: (f / TENSORS).unlink()),
    "cut text": ("is no JSON", lambda f: (f / TEXT).write_text((f / TEXT).read_text()[:-20])),
    "cut tensors": ("cannot be used", lambda f: (f / TENSORS).write_bytes((f / TENSORS).read_bytes()[:-20])),
    "other numbers": (
        "edit.safetensors is not as it was saved",
        lambda f: edit_tensors(f, lambda t: t["memory/usage"].neg_()),
    ),
    "no digest": ("tensors in edit.json is None", lambda f: edit_text(f, lambda t: t.pop("tensors"))),
    "a list": ("holds no keys", lambda f: (f / TEXT).write_text("[]")),
    "format": ("format 1, and this version reads format 4", lambda f: edit_text(f, lambda t: t.update(format=1))),
    "streams": ("true or false for each of 2", lambda f: edit_text(f, lambda t: t.update(streams=2))),
    "edited": ("edited in edit.json is 'yes'", lambda f: edit_text(f, lambda t: t.update(edited="yes"))),
    "site": ("edits at '7'", lambda f: edit_text(f, lambda t: t["deltas"].update({"7": t["deltas"].pop("1")}))),
    "no site": ("edits at 'x'", lambda f: edit_text(f, lambda t: t["deltas"].update(x=t["deltas"].pop("1")))),
    "kind": (
        "'Strange' comes from a method outside",
        lambda f: edit_text(f, lambda t: t["deltas"]["2"].update(kind="Strange", module="evil")),
    ),
    "module": (
        "names the module 'baft.evil'",
        lambda f: edit_text(f, lambda t: t["deltas"]["2"].update(kind="Strange", module="baft.evil")),
    ),
    "another part": (
        "'LatestFact' is no kind of delta",
        lambda f: edit_text(f, lambda t: t["deltas"]["2"].update(kind="LatestFact")),
    ),
    "where": (
        "the values of Offset",
        lambda f: edit_text(f, lambda t: t["deltas"]["2"]["values"].update(where={"rule": "Nowhere"})),
    ),
    "head": (
        "head and tail are numbers",
        lambda f: edit_text(f, lambda t: t["deltas"]["1"]["values"].update(where={"rule": "PromptEnds", "head": "2"})),
    ),
    "looks": (
        "reads at '9'",
        lambda f: edit_text(f, lambda t: t["deltas"]["2:mlp.down_proj"]["values"].update(at={"site": "9"})),
    ),
    "facts": (
        "facts of 2 streams, not of 3",
        lambda f: edit_text(f, lambda t: t["preamble"]["values"].update(facts=[[], []])),
    ),
    "nan": ("'memory/usage' has values that are not finite", lambda f: edit_tensors(f, poison)),
    "missing": ("Offset lacks 'value'", lambda f: edit_tensors(f, lambda t: t.pop("deltas/2/value"))),
    "extra": (
        "has 'deltas/2/more', which",
        lambda f: edit_tensors(f, lambda t: t.update({"deltas/2/more": torch.zeros(3, 1)})),
    ),
    "width": (
        r"'deltas/2/value' has shape \(3, 31\), but must have \(S = 3, o = 32\)",
        lambda f: edit_tensors(f, lambda t: t.update({"deltas/2/value": torch.zeros(3, 31)})),
    ),
    "rank": (
        r"gate_bias' has shape \(3, 3\), but must have \(S = 3, r = 2\)",
        lambda f: edit_tensors(f, lambda t: t.update({"deltas/1/gate_bias": torch.zeros(3, 3)})),
    ),
    "first dimension": (
        "first dimension must be 3 streams",
        lambda f: edit_tensors(f, lambda t: t.update({"memory/usage": torch.zeros(2, 2)})),
    ),
    "dtype": (
        "has the type float16",
        lambda f: edit_tensors(f, lambda t: t.update({"memory/usage": torch.zeros(3, 2, dtype=torch.float16)})),
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_edit_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    told, damage = DAMAGE[name]
    save_state(state(), tmp_path, {})
    damage(tmp_path)
    with pytest.raises(UserError, match=told) as caught:
        load_state(tmp_path, engine("llama").model)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    save_state(state(), folder, {"method": "toy"})
    return folder


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_gives_the_state_or_a_sentence(data: st.DataObject, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "edit"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    how = data.draw(st.sampled_from(["value", "key", "bytes of text", "bytes of tensors"]))
    if how in ("value", "key"):
        text = json.loads((folder / TEXT).read_text())
        *path, last = data.draw(st.sampled_from([place for place in places(text) if place]))
        holder = text
        for key in path:
            holder = holder[key]
        if how == "key":
            del holder[last]
        else:
            holder[last] = data.draw(JSON)
        (folder / TEXT).write_text(json.dumps(text))
    else:
        file = folder / (TEXT if how == "bytes of text" else TENSORS)
        content = bytearray(file.read_bytes())
        start = data.draw(st.integers(0, min(len(content), 4000)))
        content[start : start + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
        file.write_bytes(bytes(content))
    tiny = engine("llama")
    try:
        loaded, _ = load_state(folder, tiny.model)
    except UserError as error:
        assert str(folder) in str(error)
    else:
        # What is read can be used, and answers with numbers.
        (reply,) = tiny.ask(loaded, [Question(0, (5, 6, 7), ((8,),))], Decoding(1))
        assert reply.forced[0].logprob[0] == reply.forced[0].logprob[0]


def test_a_kind_is_found_in_a_process_that_has_imported_nothing_of_it(tmp_path: Path) -> None:
    # Not by its being imported beforehand, as in this process.
    described = {"kind": "GatedSubspace", "module": "baft.engine.deltas", "values": {}}
    code = f"from baft.engine.parts import kind_of; print(kind_of({described!r}).__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "baft.engine.deltas", done.stderr
    assert kind_of(described) is GatedSubspace
    assert tensor_fields(GatedSubspace) == ("rotation", "weight", "bias", "gate_weight", "gate_bias")


def test_two_kinds_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="defines Offset, which baft"):
        type("Offset", (Offset,), {"__module__": "mine"})
