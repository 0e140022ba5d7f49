import json
import subprocess
import sys
from pathlib import Path

import pytest

from baft.errors import UserError
from baft.results import provenance
from baft.results.provenance import Conditions

CONDITIONS = Conditions(
    model="f00d",
    protocol={"kind": "single"},
    method={"name": "reft", "rank": 4},
    benchmark="b",
    revision="r1",
    sha256="0" * 64,
    split="tune",
    prompt_format="plain",
    dtype="float32",
    records=3,
)


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_what_is_collected_survives_json_and_gives_the_conditions_back() -> None:
    found = provenance.collect(CONDITIONS, device="cpu", device_name="Some CPU", config={"seed": 1}, shard={"of": 2})
    back = json.loads(json.dumps(found))
    assert provenance.conditions_of(back, "x") == CONDITIONS
    assert back["config"] == {"seed": 1}
    assert back["shard"] == {"of": 2}
    assert back["device_name"] == "Some CPU"
    assert back["versions"]["python"].startswith("3.")
    assert {"baft", "torch", "transformers"} <= back["versions"].keys()


def test_collecting_does_not_import_torch() -> None:
    script = (
        "import sys; from baft.results import provenance as p; p.versions(); p.own_commit(); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_counts_do_not_make_conditions_differ() -> None:
    more = Conditions(**{**provenance.asdict(CONDITIONS), "records": 9, "rejected": 1})
    assert more == CONDITIONS
    assert Conditions(**{**provenance.asdict(CONDITIONS), "dtype": "bfloat16"}) != CONDITIONS


def test_what_is_unknown_differs_from_nothing() -> None:
    begun, not_begun = (Conditions(**{**provenance.asdict(CONDITIONS), "bos": bos}) for bos in (True, False))
    assert provenance.differences(begun, not_begun) == "bos True and False"
    assert not provenance.differences(begun, CONDITIONS) and not provenance.differences(CONDITIONS, begun)


@pytest.mark.parametrize("found", [{}, {"conditions": {"modell": "x"}}])
def test_provenance_of_another_version_is_refused_by_file(found: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"part\.parquet"):
        provenance.conditions_of(found, "part.parquet")


def test_commit_and_dirty_flag(tmp_path: Path) -> None:
    git(tmp_path, "init")
    file = tmp_path / "a"
    file.write_text("1")
    assert provenance.commit(tmp_path) is None, "a clone that does not track the folder says nothing about it"
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "one")
    clean = provenance.commit(tmp_path)
    assert clean is not None
    assert len(clean["hash"]) == 40
    assert clean["dirty"] is False
    file.write_text("2")
    assert provenance.commit(tmp_path) == clean | {"dirty": True}


def test_git_is_asked_once_for_all_files_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # A search writes a file a trial.
    asked: list[Path] = []
    monkeypatch.setattr(provenance, "commit", lambda folder: asked.append(folder) or {"hash": "abc", "dirty": False})
    provenance.own_commit.cache_clear()
    try:
        found = [provenance.collect(CONDITIONS, device="cpu", device_name="Some CPU")["commit"] for _ in range(3)]
    finally:
        provenance.own_commit.cache_clear()
    assert found == [{"hash": "abc", "dirty": False}] * 3
    assert asked == [Path(provenance.__file__).parent]


def test_no_commit_outside_a_clone(tmp_path: Path) -> None:
    assert provenance.commit(tmp_path) is None
