"""One real browser opens one real notebook, runs it and moves one real slider.

``MMLEARN_BROWSER_NOTEBOOK=notebooks/00_start_here.ipynb`` drives another notebook.
"""

import os
import shutil
from pathlib import Path

import browser
import nbformat
import pytest
import sample_notebook as sample
from selenium.common.exceptions import NoSuchElementException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

HANDLE = ".jp-OutputArea .noUi-handle"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (browser.CHROMIUM and browser.DRIVER),
        reason="apt-get install chromium chromium-driver, to test with a browser",
    ),
]


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """A folder with the notebook to drive, and its name; widgets live, not static."""
    monkeypatch.delenv("MMLEARN_STATIC")
    chosen = os.environ.get("MMLEARN_BROWSER_NOTEBOOK")
    folder = tmp_path / "book"
    folder.mkdir()
    if chosen:
        shutil.copy(browser.ROOT / chosen, folder)
        return folder, Path(chosen).name
    small = sample.chapter()
    del small.cells[4]  # its many words
    nbformat.write(small, folder / "09_sample.ipynb")
    return folder, "09_sample.ipynb"


def handle(driver):
    """The first slider's handle."""
    return driver.find_element(By.CSS_SELECTOR, HANDLE)


def picture_of(one):
    """The picture of the widget that this handle belongs to."""
    box = "ancestor::div[contains(@class, 'widget-vbox')][1]"
    return one.find_element(By.XPATH, f"{box}//img[@class='mmlearn']")


def src(picture) -> str:
    return picture.get_attribute("src")


def test_a_slider_moved_by_keyboard_changes_the_picture(notebook, tmp_path):
    folder, name = notebook
    patience = 15 if name == "09_sample.ipynb" else 150  # seconds until its widget
    with (
        browser.jupyterlab(folder) as (address, token),
        browser.chromium(tmp_path / "profile") as driver,
    ):
        browser.run_all(driver, address, token, name, until=HANDLE, patience=patience)
        wait = WebDriverWait(driver, 20, 0.5, [*browser.STALE, NoSuchElementException])
        before = src(wait.until(lambda d: picture_of(handle(d))))
        assert before.startswith("data:image/png")
        assert len(picture_of(handle(driver)).get_attribute("alt")) >= 15

        def moved(d):  # one more step each time, until it is seen
            handle(d).send_keys(Keys.ARROW_RIGHT)
            return src(picture_of(handle(d))) != before

        wait.until(moved, "the picture did not change")
        still = driver.find_elements(By.CSS_SELECTOR, ".jp-RenderedHTML img.mmlearn")
        assert still and all(len(i.get_attribute("alt")) >= 15 for i in still)
