"""The report in headless Chromium: `make test-browser`. Search, sort, filter, open, by mouse and keyboard; nothing is logged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learnalign.report import write_report
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet
from tests.report.browser import Browser, find_browser
from tests.report.runs import KINDS, add_gradients, add_pool, add_rollouts, add_scores, new_run, whole_run
from tests.report.test_report import HOSTILE, QUESTIONS
from tests.report.test_text import NUMBERS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium: apt-get install chromium"),
]
ROWS = "[...document.querySelectorAll('#table tbody tr:not(.detail)')]"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return whole_run(tmp_path_factory.mktemp("browser") / "run", [*QUESTIONS, *(f"Many more {i}" for i in range(80))])


@pytest.fixture(scope="module")
def page(run: RunDir) -> Path:
    return write_report(run)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(started: Browser, page: Path) -> Iterator[Browser]:
    """A page just opened; it must end without a word in the console and without another request."""
    load(started, page)
    yield started
    assert started.problems == []
    assert {url.partition("#")[0] for url in started.requests} <= {page.resolve().as_uri()}


def load(browser: Browser, page: Path) -> None:
    browser.problems.clear()
    browser.requests.clear()
    browser.resize(1200, 900)
    browser.open(page)
    browser.until(f"{ROWS}.length")


def cells(browser: Browser, column: int) -> list[str]:
    values: list[str] = browser.run(f"{ROWS}.map((row) => row.cells[{column}].textContent)")
    return values


def search(browser: Browser, words: str) -> None:
    """Type into the search box and wait for the new rows."""
    browser.run("document.querySelector('#search').focus(); document.querySelector('#search').select()")
    browser.run("document.querySelector('#count').textContent = 'waiting'")
    browser.call("Input.insertText", text=words)
    browser.until("document.querySelector('#count').textContent !== 'waiting'")


def count(browser: Browser) -> str:
    return str(browser.run("document.querySelector('#count').textContent"))


def test_the_best_come_first_fifty_at_a_time(browser: Browser) -> None:
    assert cells(browser, 0) == [str(i) for i in range(1, 51)]
    assert cells(browser, 4) == ["yes"] * 10 + [""] * 40
    browser.run("document.querySelector('[data-page=last]').click()")
    assert cells(browser, 0) == [str(i) for i in range(101, 131)]
    assert browser.run("document.querySelector('[data-page=next]').disabled")


def test_search_finds_words_ids_and_answers(browser: Browser, run: RunDir) -> None:
    search(browser, "more MANY 7")
    prompts = read_parquet(run.prompts_file).to_pylist()
    asked = {prompt["id"]: prompt["messages"][0]["content"] for prompt in prompts}
    found = [text for id, text in asked.items() if text.startswith("Many") and "7" in f"{id} {text} {int(id[:4], 16)}"]
    assert sorted(set(cells(browser, 1))) == sorted(found)
    prompt = prompts[11]
    browser.run("document.querySelector('#search').value = ''")
    search(browser, prompt["id"])
    assert cells(browser, 1) == [prompt["messages"][0]["content"]]
    assert count(browser) == "1 of 130 prompts"


def test_a_header_sorts_both_ways_and_says_so(browser: Browser) -> None:
    head = "document.querySelector('[data-sort=p]')"
    for way in ("ascending", "descending"):
        browser.run(f"{head}.click()")
        rates = [float(cell) for cell in cells(browser, 2)]
        assert rates == sorted(rates, reverse=way == "descending")
        assert browser.run(f"{head}.closest('th').getAttribute('aria-sort')") == way
        assert browser.run("document.querySelectorAll('[aria-sort]').length") == 1


def test_filters_narrow_the_rows(browser: Browser, run: RunDir) -> None:
    change = "dispatchEvent(new Event('input', { bubbles: true }))"
    browser.run(f"(() => {{ const s = document.querySelector('#kind'); s.value = 'never'; s.{change}; }})()")
    never = sum(correct == 0 for correct in read_parquet(run.success_file)["correct"].to_pylist())
    browser.until(f"document.querySelector('#count').textContent === '{never} of 130 prompts'")
    assert set(cells(browser, 2)) == {"0"}
    browser.run(f"(() => {{ const s = document.querySelector('#group-0'); s.value = '1'; s.{change}; }})()")
    browser.until(f"document.querySelector('#count').textContent !== '{never} of 130 prompts'")
    assert len(set(cells(browser, 5))) == 1


def test_a_row_opens_and_closes_by_the_keyboard(browser: Browser, run: RunDir) -> None:
    button = "document.querySelector('#table button.open')"
    browser.run(f"{button}.focus()")
    browser.press("Enter", 13)
    browser.until("document.querySelector('.detail pre')")
    assert browser.run(f"{button}.getAttribute('aria-expanded')") == "true"
    text = browser.run("document.querySelector('.detail').textContent")
    assert all(f"completion {k} of prompt" in text for k in range(8))
    assert "of 8 correct; p is between" in text
    assert "Gradients most aligned" in text
    assert "of the chosen's scores together" in text
    assert browser.run("document.querySelector('.detail .density').getAttribute('d').length") > 500
    browser.press("Enter", 13)
    browser.until("!document.querySelector('.detail')")
    assert browser.run(f"{button}.getAttribute('aria-expanded')") == "false"


def test_a_neighbour_and_a_link_lead_to_their_rows(browser: Browser) -> None:
    browser.run("document.querySelector('#table button.open').click()")
    browser.until("document.querySelector('.detail .two ol button')")
    name = browser.run("document.querySelector('.detail .two ol button').textContent")
    search(browser, "nothing has these words")
    assert count(browser) == "0 of 130 prompts"
    browser.run("document.querySelector('#completions a[data-place]').click()")
    browser.until("document.querySelector('.detail')")
    linked = browser.run("document.querySelector('#completions a[data-place]').textContent")
    assert browser.run("document.activeElement.textContent") == linked
    assert isinstance(name, str)


def test_the_theme_changes_and_stays(browser: Browser, page: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = browser.run(ground)
    browser.run("document.querySelector('#theme').click()")
    assert browser.run(ground) != light
    browser.open(page)
    assert browser.run(ground) != light
    browser.run("document.querySelector('#theme').click(); localStorage.clear()")
    browser.resize(1200, 900, dark=True)
    browser.open(page)
    browser.run("localStorage.clear()")


def test_dots_take_the_colours_of_the_chosen_column(browser: Browser) -> None:
    classes = "[...document.querySelectorAll('#scores circle[data-groups]')].map((dot) => [dot.getAttribute('class'), dot.dataset.groups])"
    browser.run(
        "(() => { const s = document.querySelector('#colour'); s.value = '0'; s.dispatchEvent(new Event('change')); })()"
    )
    for kind, groups in browser.run(classes):
        assert kind.split()[0] == f"s{groups.split()[0]}"
    assert browser.run("document.querySelectorAll('#scores .legend:not([hidden]) li').length") == len(KINDS)


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_the_page_is_no_wider_than_the_window(browser: Browser, width: int) -> None:
    browser.resize(width, 900)
    browser.run("document.querySelector('#table button.open').click()")
    browser.until("document.querySelector('.detail')")
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_on_a_phone_only_wide_tables_scroll(browser: Browser) -> None:
    browser.resize(360, 900)
    wide = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth + 1)"
    assert set(browser.run(f"{wide}.map((one) => one.closest('section').id)")) <= {"prompts", "cosines", "methods"}


def test_a_number_of_a_row_is_written_as_on_the_rest_of_the_page(started: Browser, tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    prompts = add_pool(run, QUESTIONS[: len(NUMBERS)])
    add_rollouts(run, prompts, [4] * len(prompts))
    add_scores(run, prompts, np.array([*NUMBERS], float), 4)
    load(started, write_report(run))
    assert cells(started, 3) == [NUMBERS[value] for value in sorted(NUMBERS, reverse=True)]


def test_prompts_with_markup_do_nothing(started: Browser, tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    prompts = add_pool(run, HOSTILE, HOSTILE[:3])
    correct = [0, 8, 4, 3] * 3
    add_rollouts(run, prompts, correct, text=lambda i, k: HOSTILE[(i + k) % len(HOSTILE)])
    features: Any = np.random.default_rng(0).standard_normal
    add_gradients(run, prompts, correct, lambda places: features((len(places), 8)))
    add_scores(run, prompts, np.array([c * (8 - c) / 64 for c in correct]), 4)
    page = write_report(run)
    load(started, page)
    for i in range(len(HOSTILE)):
        started.run(f"document.querySelectorAll('#table button.open')[{i}].click()")
        started.until(f"document.querySelectorAll('.detail').length === {i + 1}")
    texts = started.run("[...document.querySelectorAll('.detail')].map((row) => row.textContent).join(' ')")
    assert all(text in texts for text in HOSTILE[:5])
    assert started.run("document.querySelectorAll('img, #table script, #table style').length") == 0
    assert started.run("getComputedStyle(document.body).display") != "none"
    assert started.problems == []
    assert {url for url in started.requests} == {page.resolve().as_uri()}
