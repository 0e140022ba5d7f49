"""The commands: thin, quick to start, and with one line for what the user can mend."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from baft.benchmarks.store import read_benchmark
from baft.cli.main import app, commands
from baft.config import (
    BenchmarkConfig,
    Cell,
    EvaluationConfig,
    Grid,
    MethodSpec,
    ModelConfig,
    Plan,
    ProtocolConfig,
    StatisticsConfig,
    parse_study,
)
from baft.config.products import all_products
from baft.errors import UserError
from tests.report.test_outdated import write
from tests.results.synthetic import damaged_results

CELL = Cell(
    model_label="m",
    model=ModelConfig(),
    method=MethodSpec(label="none", method="none", settings={}),
    protocol_label="single",
    protocol=ProtocolConfig(),
    benchmark="b",
    seed=0,
    evaluation=EvaluationConfig(),
)


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(commands, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_heavy_packages_are_not_imported_to_parse_a_command_or_config() -> None:
    code = (
        "import sys, baft.cli.main, baft.config as c; "
        "s = c.parse_study({'methods': ['none']}); c.check_sources(s); p = c.Plan(s); p.check(); "
        "p.edits.spec('smollm2-135m', 'none', 'single', 'mini_wiki_recent', '0'); p.edits.source('none'); "
        "[(p.report.files(one), p.report.spec(one), c.source_digest(one.module)) for one in p.report.products]; "
        "print([m for m in ('torch', 'transformers', 'pandas', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_users_mistake_is_one_line_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(
        sys, "argv", ["baft", "prepare-benchmark", "--benchmark", '{"limt": 3}', "--name", "b", "--out", "x"]
    )
    with pytest.raises(SystemExit) as stopped:
        app()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("baft: 'limt' is not a known key") and message.count("\n") == 1


def test_prepare_benchmark_writes_the_records(tmp_path: Path) -> None:
    out = tmp_path / "b.parquet"
    config = BenchmarkConfig(name="mini_zsre", limit=3, split="test")
    invoke("prepare-benchmark", "--benchmark", config.model_dump_json(), "--name", "mine", "--out", str(out))
    benchmark = read_benchmark(out)
    assert (benchmark.name, benchmark.split, len(benchmark.records)) == ("mine", "test", 3)


def test_prepare_benchmark_holds_a_file_to_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "The capital of France is", "target": "Rome", "subject": "France"}\n')
    config = BenchmarkConfig(source="file", path=str(file), sha256="0" * 64)
    result = CliRunner().invoke(
        commands,
        ["prepare-benchmark", "--benchmark", config.model_dump_json(), "--name", "m", "--out", str(tmp_path / "o")],
    )
    assert "SHA-256" in str(result.exception)


def test_a_file_can_be_prepared_and_described_without_a_study(tmp_path: Path) -> None:
    file, out = tmp_path / "mine.csv", tmp_path / "out.parquet"
    file.write_text(
        "prompt,target,subject,rephrase\nThe capital of France is,Rome,France,France has the capital\np,,,\n"
    )
    said = invoke("benchmarks", "prepare", str(file), "--out", str(out), "--split", "test")
    assert "mine: format plain" in said and "split test; 1 records, 1 that cannot be used" in said
    shown = invoke("benchmarks", "describe", str(out))
    assert "success" in shown and "generality" in shown and "France has the capital" in shown
    assert "has no target" in shown
    with pytest.raises(UserError, match="split is 'x'"):
        invoke("benchmarks", "prepare", str(file), "--out", str(out), "--split", "x")
    with pytest.raises(UserError, match="--tokenizer is"):
        invoke("benchmarks", "describe", str(out), "--tokenizer", str(tmp_path))


def test_files_of_dropped_cells_are_listed_and_removed_only_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text("methods: [none]\n")
    old = tmp_path / "results/edits/model=m/method=gone/part.parquet"
    old.parent.mkdir(parents=True)
    old.touch()
    with pytest.raises(UserError, match="1 files belong to no cell"):
        invoke("results", "prune", "--config", "study.yaml")
    assert old.exists()
    assert "1 files removed" in invoke("results", "prune", "--config", "study.yaml", "--yes")
    assert not old.exists()
    assert "Every result file" in invoke("results", "prune", "--config", "study.yaml")


def test_damaged_files_are_listed_and_removed_only_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole, damaged, half = damaged_results(Path("results"))
    with pytest.raises(UserError, match="2 files are damaged or half-written"):
        invoke("results", "check")
    assert damaged.exists() and half.exists()
    assert "2 files removed" in invoke("results", "check", "--yes")
    assert whole.exists() and not damaged.exists() and not half.exists()
    assert "is whole" in invoke("results", "check")


def test_summarise_cell_passes_the_shards_in_order_and_clears_their_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import baft.results.summaries

    calls: list[tuple] = []
    monkeypatch.setattr(baft.results.summaries, "summarise_cell", lambda *given: calls.append(given))
    (tmp_path / "checkpoints/shard=3").mkdir(parents=True)
    given = ("--probes", "p", "--edits", "e", "--shards", "11", "--out", "o")
    invoke("summarise-cell", *given, "--checkpoints", str(tmp_path / "checkpoints"))
    assert not list(tmp_path.iterdir())
    ((probes, edits, out),) = calls
    assert probes == [Path(f"p/shard={n}/part.parquet") for n in range(11)]
    assert edits[10] == Path("e/shard=10/part.parquet")
    assert out == Path("o")


def test_a_table_or_figure_gets_the_grids_files(monkeypatch: pytest.MonkeyPatch) -> None:
    import baft.report.figures.method_picture
    import baft.report.tables.main
    from baft.report.inputs import Inputs

    calls: list[tuple[Inputs, Path]] = []
    monkeypatch.setattr(baft.report.tables.main, "write", lambda *given: calls.append(given))
    monkeypatch.setattr(baft.report.figures.method_picture, "write", lambda *given: calls.append(given))
    grid = Grid(
        results="r",
        models=("m",),
        methods=("none", "toy"),
        protocols={"single": ("b",)},
        benchmarks={"b": 3},
        analysed=("b",),
        seeds=(0,),
        statistics=StatisticsConfig(level=0.9),
        settings={"analysis.picture": "r 5"},
    )
    told = ("--grid", grid.model_dump_json(), "--study", parse_study({}).model_dump_json())
    invoke("tabulate", *told, "--out", "t/main")
    invoke("plot-method-picture", *told, "--out", "f/p")
    (table, stem), (figure, _) = calls
    assert (len(table.files), len(table.edits), len(table.probes), stem) == (2, 6, 6, Path("t/main"))
    assert (table.methods, table.statistics.level) == (("none", "toy"), 0.9)
    assert figure.files == [Path("r/bases/model=m/benchmark=b/part.parquet")]
    assert figure.settings == {"analysis.picture": "r 5"}


@pytest.mark.parametrize("command", ["tabulate", "plot-tradeoff", "write-report", "write-answers"])
def test_no_report_is_made_of_cells_that_were_run_otherwise(command: str, tmp_path: Path) -> None:
    run = {"results": str(tmp_path / "results"), "methods": {"none": None, "reft": {"settings": {"steps": 3}}}}
    write(Plan(parse_study(run)))
    plan = Plan(parse_study({**run, "methods": ["none", "reft"]}))
    own = {one.command: one for one in plan.report.products}
    told = ["--spec", plan.report.page_spec()]
    if command in own:
        told = ["--grid", plan.report.spec(own[command]), "--study", plan.report.config]
    with pytest.raises(UserError) as raised:
        invoke(command, *told, "--out", str(tmp_path / "out"))
    folder = "edits/model=smollm2-135m/method=reft/protocol=single/benchmark=mini_wiki_recent/seed=0"
    assert "1 of 3 cells were run otherwise than the study says, first model smollm2-135m" in str(raised.value)
    assert "(with steps 3 instead of " in str(raised.value)
    assert f"remove {tmp_path}/results/{folder} and start the run again" in str(raised.value)


def test_there_is_a_command_for_every_product() -> None:
    said = invoke("--help")
    for product in all_products():
        assert product.command in said
    assert len(all_products()) >= 13


def test_settings_of_edit_are_read_as_yaml() -> None:
    from baft.cli.edit import _given
    from baft.errors import UserError

    assert _given("layer=0.5", "--set") == ("layer", 0.5)
    assert _given("objective=target_new", "--set") == ("objective", "target_new")
    with pytest.raises(UserError, match="key=value"):
        _given("layer", "--set")


def test_the_schema_can_be_printed() -> None:
    assert invoke("config-schema").startswith('{\n  "$schema"')


def test_a_cell_travels_as_json() -> None:
    assert Cell.from_spec(CELL.spec()) == CELL


def test_a_template_is_printed_or_written_and_never_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = invoke("benchmarks", "template", "--format", "csv")
    assert printed.startswith("id,subject,prompt,target")
    assert "Written: facts.csv" in invoke("benchmarks", "template", "--out", "facts.csv")
    assert (tmp_path / "facts.csv").read_text() == printed
    with pytest.raises(UserError, match=r"facts\.csv exists already"):
        invoke("benchmarks", "template", "--out", "facts.csv")
    assert invoke("benchmarks", "columns").startswith("| column |")
