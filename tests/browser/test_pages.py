"""The report and the answers in a real browser, as their reader has them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from baft.report.page.answers import write_answers
from baft.report.page.study import write_report
from baft.report.rendering import HOLE, Behind, Table
from baft.report.writing import write_table
from tests.report import answered

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (requirements-peers.lock)")
if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("there is no chromium with its chromedriver (tests/browser/install)", allow_module_level=True)

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

DESKTOP, PHONE = 1400, 390
METHODS = ["none", "baft", "lora", "rome"]
ROME, FOUND = ["ROME", HOLE, HOLE], ["ROME", "9.0", "+3.5*"]
TABLE = Table(
    "m, single editing",
    ["Method", "Success", "Locality"],
    [
        (
            "facts",
            [
                ["Unedited", "0.0", "100.0"],
                ["BaFT", "80.0 [60.0, 90.0]", "9.5"],
                ["LoRA", "0.0", "20.0"],
                ["ROME", HOLE, HOLE],
            ],
        ),
        (
            "others",
            [["Unedited", "0.0", "100.0"], ["BaFT", "75.0", "50.0"], ["LoRA", "1.0", "40.0"], ["ROME", "9.0", "+3.5*"]],
        ),
    ],
    ["a note"],
    Behind("m", "single", METHODS, ["", "reliability", "locality"]),
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both pages of a small study."""
    root = tmp_path_factory.mktemp("pages")
    answered.write_answers(root)
    main = pd.DataFrame(
        [{"protocol": "single", "benchmark": "facts", "metric": "edit_success", "group": "*", "units": 5}]
    )
    write_table(root / "tables/main", main, [TABLE])
    spec = answered.page_spec(root)
    write_answers(spec, root / "answers.html")
    write_report(spec, root, root / "report.html")
    return root


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for switch in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def opened(browser: webdriver.Chrome, page: Path, wanted: str = "", width: int = DESKTOP) -> webdriver.Chrome:
    """The browser once it shows a page and the page's tables are ready; a page that was open is forgotten."""
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(page.as_uri() + wanted)
    WebDriverWait(browser, 120).until(lambda it: it.find_elements(By.CSS_SELECTOR, "table.dataTable"))
    return browser


def shown(browser: webdriver.Chrome, selector: str) -> list[str]:
    """The texts of what can be seen, once the page has done what it was asked for."""
    # DataTables sorts and searches not at once but in timers of at most 10 ms, which come before one that is set later.
    browser.execute_async_script("const done = arguments[0]; setTimeout(() => setTimeout(done, 10), 10)")
    return [one.text for one in browser.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("page", ["report.html", "answers.html"])
def test_a_page_opens_without_errors_and_fits(page: str, width: int, pages: Path, browser: webdriver.Chrome) -> None:
    opened(browser, pages / page, width=width)
    assert browser.get_log("browser") == []
    root = "document.documentElement"
    wide, room = browser.execute_script(f"return [{root}.scrollWidth, {root}.clientWidth]")
    assert wide <= room, "no page scrolls sideways as a whole"
    assert browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)") == []


def test_a_table_is_sorted_by_its_numbers_within_each_benchmark(pages: Path, browser: webdriver.Chrome) -> None:
    opened(browser, pages / "report.html")
    assert shown(browser, "tr.dtrg-group") == ["facts", "others"]
    heads = browser.find_elements(By.CSS_SELECTOR, "table.grouped thead th")
    next(head for head in heads if head.text == "Locality").click()
    column = "table.grouped tbody tr:not(.dtrg-group) td:last-child"
    # As text, 100 would come before 9.5.
    assert shown(browser, column) == [HOLE, "9.5", "20.0", "100.0", "+3.5*", "40.0", "50.0", "100.0"]
    heads = browser.find_elements(By.CSS_SELECTOR, "table.grouped thead th")
    next(head for head in heads if head.text == "Locality").click()
    assert shown(browser, column)[:3] == ["100.0", "20.0", "9.5"]


def test_a_number_of_a_table_leads_to_its_answers(pages: Path, browser: webdriver.Chrome) -> None:
    opened(browser, pages / "report.html")
    browser.find_element(By.LINK_TEXT, "80.0").click()
    WebDriverWait(browser, 120).until(lambda it: it.find_elements(By.CSS_SELECTOR, "article"))
    assert set(shown(browser, ".who")) == {"Unedited", "BaFT"}
    assert len(shown(browser, "article")) == 5
    assert all("reliability" in text for text in shown(browser, "article"))


def test_answers_are_found_and_filtered(pages: Path, browser: webdriver.Chrome) -> None:
    opened(browser, pages / "answers.html")
    assert "1 to 10 of 10 probes" in shown(browser, ".dt-info")
    browser.find_element(By.CSS_SELECTOR, ".dt-search input").send_keys("France 3")
    assert [text.splitlines()[1] for text in shown(browser, "article")] == ["France 3 makes"]
    browser.find_element(By.CSS_SELECTOR, ".dt-search input").clear()
    browser.find_element(By.CSS_SELECTOR, ".dt-search input").send_keys(" ")
    Select(browser.find_element(By.NAME, "record")).select_by_visible_text("r2")
    assert [text.splitlines()[1] for text in shown(browser, "article")] == [
        "Say that the capital 2 is",
        "France 2 makes",
    ]
    Select(browser.find_element(By.NAME, "kind")).select_by_visible_text("locality")
    (answers,) = shown(browser, "article")
    assert "BaFT\n✓ right\nforced 100 %\nwine" in answers and "LoRA\n✗ wrong\nforced 0 %\ncheese" in answers


def test_answers_that_leak_or_differ_are_told_apart(pages: Path, browser: webdriver.Chrome) -> None:
    # LoRA's success is right when forced only, but for the last record; its locality is wrong, and ROME's is not.
    opened(browser, pages / "answers.html")
    browser.find_element(By.NAME, "leak").click()
    assert [text.splitlines()[0].split(" ")[0] for text in shown(browser, "article")] == ["r0", "r1", "r2", "r3"]
    browser.find_element(By.CSS_SELECTOR, "button[type=reset]").click()
    browser.find_element(By.NAME, "differ").click()
    assert "1 to 9 of 9 probes (of 10)" in shown(browser, ".dt-info")
    browser.find_element(By.CSS_SELECTOR, ".filters summary").click()
    boxes = browser.find_elements(By.CSS_SELECTOR, "fieldset label")
    assert [box.text for box in boxes] == ["Unedited", "BaFT", "ROME", "LoRA"]
    boxes[-1].click()
    assert "No probe fits these filters." in shown(browser, "#probes td")
    browser.find_element(By.NAME, "differ").click()
    assert set(shown(browser, ".who")) == {"Unedited", "BaFT", "ROME"}


def test_text_of_a_model_is_shown_and_not_obeyed(pages: Path, browser: webdriver.Chrome) -> None:
    opened(browser, pages / "answers.html", "#record=r4&kind=reliability")
    (text,) = shown(browser, "article")
    assert r"<script>alert(1)</script>\x1b[31m\u202etxt" in text
