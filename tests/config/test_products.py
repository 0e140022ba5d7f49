"""What the files of tables and figures declare, as planning reads it."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from baft.config import Plan, parse_study, source_digest
from baft.config.products import Product, TableProduct, all_products, declared

TWO = {label: {"source": "embedded"} for label in ("mini_zsre", "mini_wikibio")}
EVERYTHING = {
    "benchmarks": TWO,
    "methods": ["none", "reft", "baft"],
    "protocols": {"single": {}, "continual": {"length": 4}},
    "sensitivity": {"method": "reft", "layer": [1], "rank": [2]},
    "ablations": {"method": "reft", "variants": {"narrow": {"rank": 2}}},
    "tuning": {"trials": 2},
}


@pytest.mark.parametrize("product", all_products(), ids=lambda product: product.name)
def test_what_is_read_is_what_is_imported(product: Product) -> None:
    module = importlib.import_module(product.module)
    assert replace(module.PRODUCT, name=product.name, about=product.about) == product
    assert product.about == module.__doc__.partition("\n")[0]
    assert Path(module.__file__).parent.name == product.folder, "a table is in tables, a figure in figures"
    assert callable(module.write)


def test_no_two_products_share_a_caption_a_rule_a_file_or_a_place() -> None:
    for of in (lambda one: one.rule, lambda one: one.place):
        assert len({of(one) for one in all_products()}) == len(all_products())
    captions = [
        name for one in all_products() for name in (one.labels if isinstance(one, TableProduct) else [one.name])
    ]
    assert len(set(captions)) == len(captions)


def test_a_study_has_the_products_that_its_cells_allow() -> None:
    assert list(Plan(parse_study(EVERYTHING)).report.products) == list(all_products())
    few = {one.name for one in Plan(parse_study({"methods": ["none", "rome"]})).report.products}
    own = [one for one in all_products() if one.cells in ("records", "curves", "benchmarks")]
    assert few == {one.name for one in own if not one.several_benchmarks}
    assert Plan(parse_study({"methods": ["none", "rome"], "benchmarks": TWO})).report.products.keys() == set(own)


def test_each_is_made_of_its_own_cells() -> None:
    plan = Plan(parse_study(EVERYTHING))
    by_cells = {one.cells: [str(path) for path in plan.report.files(one)] for one in plan.report.products}
    assert all("protocol=continual" in path for path in by_cells["sequences"])
    assert any("layer-1@rank-2" in path for path in by_cells["sensitivity"])
    assert any("reft@narrow" in path for path in by_cells["ablations"])
    assert not any("@" in path for path in by_cells["records"])
    assert [path.split("/")[1:4] for path in by_cells["tuning"]] == [
        ["tuning", "model=smollm2-135m", f"method={label}"] for label in ("reft", "baft")
    ]
    assert all("/bases/" in path for path in by_cells["bases"])
    assert all("/benchmarks/" in path for path in by_cells["benchmarks"])


def test_a_change_of_one_product_concerns_no_other(tmp_path: Path) -> None:
    import shutil

    from baft.config.sources import ROOT, _imports, _path

    shutil.copytree(ROOT / "baft", tmp_path / "baft", ignore=shutil.ignore_patterns("__pycache__"))
    before = {one: source_digest(one.module, root=tmp_path) for one in all_products()}
    changed = next(one for one in all_products() if one.name == "sensitivity")
    with (tmp_path / "baft/report/figures/sensitivity.py").open("a") as file:
        file.write("\n# changed\n")
    _imports.cache_clear()
    _path.cache_clear()
    after = {one: source_digest(one.module, root=tmp_path) for one in all_products()}
    assert {one for one in before if before[one] != after[one]} == {changed}


def test_a_declaration_has_to_be_literal(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text('"""What it is.\n\nMore."""\nPRODUCT = TableProduct(cells="records", label="mine", place=1)\n')
    found = declared(file)
    assert (found.name, found.about, found.rule, found.command) == (
        "mine",
        "What it is.",
        "tabulate_mine",
        "tabulate-mine",
    )
    assert found.files == ["mine.csv", "mine.md", "mine.tex", "mine.json"]
    file.write_text("PLACE = 1\nPRODUCT = TableProduct(cells='records', label='mine', place=PLACE)\n")
    with pytest.raises(ValueError, match=r"mine\.py: PRODUCT must be written in literals"):
        declared(file)
    file.write_text("x = 1\n")
    with pytest.raises(ValueError, match="has no line PRODUCT"):
        declared(file)
