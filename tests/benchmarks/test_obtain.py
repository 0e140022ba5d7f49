"""Public files are found by their content, wherever they come from."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from baft.benchmarks import obtain
from baft.benchmarks.known_files import PARTS, KnownFile, Part
from baft.benchmarks.obtain import fetch, files_table, first_of
from baft.errors import UserError
from tests.benchmarks.real import DATA

ROOT = Path(__file__).parents[2]
ROWS = [{"prompt": f"Ž {number} is", "target": str(number), "x": [1.5, None, number]} for number in range(7)]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def written(rows: list, indent: int) -> bytes:
    return json.dumps(rows, indent=indent, ensure_ascii=False).encode()


def part(path: str, rows: list, of: KnownFile, indent: int = 0) -> Part:
    digest = hashlib.sha256(written(rows, indent)).hexdigest()
    return Part(path, of, len(rows), first_of(rows[0]), digest, indent)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A stand-in for the hub and for any other server: it gives the files of a folder, by their last name."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.reply()

        def do_GET(self) -> None:
            self.wfile.write(self.reply())

        def reply(self) -> bytes:
            file = folder / self.path.partition("?")[0].rpartition("/")[2]
            content = file.read_bytes() if file.is_file() else b""
            self.send_response(200 if file.is_file() else 404)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            return content

        def log_message(self, *said: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", folder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def sets(monkeypatch: pytest.MonkeyPatch) -> tuple[Part, ...]:
    """A set of two parts of one file, the second in the middle."""
    known = KnownFile("b", "test", "folder/all.json", "")
    parts = (part("b/first.json", ROWS[:2], known), part("b/middle.json", ROWS[3:6], known, indent=1))
    monkeypatch.setitem(obtain.PARTS, "mine", parts)
    return parts


def holds(into: Path, parts: tuple[Part, ...]) -> bool:
    return all(hashlib.sha256((into / one.path).read_bytes()).hexdigest() == one.sha256 for one in parts)


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("ascii", [True, False])
def test_parts_are_found_in_a_folder_whatever_the_file_is_called_and_however_it_is_written(
    indent: int | None, ascii: bool, sets: tuple[Part, ...], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = tmp_path / "given" / "deep"
    given.mkdir(parents=True)
    (given / "renamed.bin").write_text(json.dumps(ROWS, indent=indent, ensure_ascii=ascii), encoding="utf-8")
    (given / "other.json").write_text('{"not": "a list"}')
    (given / "picture.png").write_bytes(b"\x89PNG\xff")
    fetch("mine", tmp_path / "into", tmp_path / "given")
    assert holds(tmp_path / "into", sets)
    assert "records 3 to 6 of" in capsys.readouterr().out
    fetch("mine", tmp_path / "into", tmp_path / "given" / "deep")
    assert capsys.readouterr().out.count("there already") == 2


def test_what_is_missing_is_named_and_the_rest_is_made(sets: tuple[Part, ...], tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "a").write_text(json.dumps(ROWS[:3]))
    with pytest.raises(UserError, match=r"1 of 2 files of mine are missing: no file in .* 3 records of b/middle\.json"):
        fetch("mine", tmp_path / "into", given)
    assert holds(tmp_path / "into", sets[:1]) and not (tmp_path / "into/b/middle.json").exists()


def test_one_changed_value_is_enough_to_refuse(sets: tuple[Part, ...], tmp_path: Path) -> None:
    changed = [*ROWS[:4], ROWS[4] | {"target": "4 "}, *ROWS[5:]]
    (tmp_path / "a.json").write_text(json.dumps(changed))
    with pytest.raises(UserError, match=r"b/middle\.json"):
        fetch("mine", tmp_path / "into", tmp_path)


def test_a_file_with_other_content_is_not_replaced(sets: tuple[Part, ...], tmp_path: Path) -> None:
    there = tmp_path / "into/b/first.json"
    there.parent.mkdir(parents=True)
    there.write_text("[]")
    with pytest.raises(UserError, match="has other content"):
        fetch("mine", tmp_path / "into", tmp_path)
    assert there.read_text() == "[]"


def test_mistakes_are_told(tmp_path: Path, sets: tuple[Part, ...]) -> None:
    with pytest.raises(UserError, match="no set of benchmark files 'knowedti'"):
        fetch("knowedti", tmp_path)
    with pytest.raises(UserError, match="--from is"):
        fetch("mine", tmp_path, tmp_path / "nowhere")


def test_a_server_is_asked_and_its_file_checked(
    served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    address, folder = served
    known = KnownFile("b", "test", "all.json", "0" * 64, place=f"{address}/data", licence="")
    parts = (part("b/first.json", ROWS[:2], known),)
    monkeypatch.setitem(obtain.PARTS, "mine", parts)
    with pytest.raises(UserError, match=r"all\.json cannot be downloaded .*404.*use --from"):
        fetch("mine", tmp_path / "into")
    (folder / "all.json").write_text(json.dumps(ROWS))
    fetch("mine", tmp_path / "into")
    assert holds(tmp_path / "into", parts)
    assert "another revision than the one we used" in capsys.readouterr().out


def test_the_hub_is_asked_by_its_own_client(served: tuple[str, Path], sets: tuple[Part, ...], tmp_path: Path) -> None:
    address, folder = served
    (folder / "all.json").write_text(json.dumps(ROWS))
    # The client reads its environment once, when it is imported.
    code = (
        "from pathlib import Path; from baft.benchmarks import obtain; "
        "from baft.benchmarks.known_files import KnownFile, Part; "
        f"known = KnownFile('b', 'test', 'folder/all.json', ''); obtain.PARTS['mine'] = (Part({sets[1].path!r}, known, "
        f"{sets[1].count}, {sets[1].first!r}, {sets[1].sha256!r}, 1),); obtain.fetch('mine', Path('into'))"
    )
    environment = os.environ | {
        "HF_ENDPOINT": address,
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(ROOT),
        "no_proxy": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"at {COMMIT}" in done.stdout
    assert holds(tmp_path / "into", sets[1:])


def test_the_configs_pin_what_is_fetched() -> None:
    pinned = {one.path: one.sha256 for parts in PARTS.values() for one in parts}
    read = {}
    for config in sorted((ROOT / "config").glob("*.yaml")):
        for benchmark in (yaml.safe_load(config.read_text()).get("benchmarks") or {}).values():
            if benchmark.get("source") == "file":
                read[benchmark["path"]] = benchmark["sha256"]
    # Of CounterFact's flat form no public file is known.
    assert {path for path in read if path not in pinned} == {"counterfact/counterfact_flat_train_2000.json"}
    assert all(pinned.get(path, sha256) == sha256 for path, sha256 in read.items())
    assert {one.path for one in PARTS["knowedit"]} <= set(read)


def test_the_page_on_real_data_shows_the_table() -> None:
    page = (ROOT / "docs" / "real-data.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- files -->\n")[2].partition("<!-- end of files -->")[0]
    assert shown.strip() == files_table().strip(), "run `make schema`"


@pytest.mark.skipif(not DATA.is_dir(), reason="BAFT_TEST_DATA names no folder with the real files")
@pytest.mark.parametrize("name", PARTS)
def test_the_real_files_are_recognised(name: str, tmp_path: Path) -> None:
    fetch(name, tmp_path, DATA)
    assert all((tmp_path / one.path).is_file() for one in PARTS[name])
