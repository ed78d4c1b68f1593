"""A real JupyterLab and a real headless Chromium, for the tests that need both."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import (
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
STALE = [StaleElementReferenceException]  # the page drew it anew: look again
# No window, and no service of Chromium's own that would reach for the network.
FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync
--disable-dev-shm-usage --window-size=1280,1600""".split()


@contextlib.contextmanager
def jupyterlab(folder: Path, **environment: str):
    """JupyterLab over a folder, on a free loopback port; yields (address, token)."""
    port, token = free_port(), secrets.token_hex(16)
    home = folder / ".jupyter"
    write_settings(home)
    variables = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "PYTHONPATH": str(ROOT),
        "MMLEARN_SIZE": "smoke",
        **environment,
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    log = (folder / "jupyter.log").open("w")
    server = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for_server(server, f"{address}/api?token={token}", folder / "jupyter.log")
        yield address, token
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def write_settings(home: Path) -> None:
    """No question about news or kernels; every cell in the page, seen or not."""
    page = {
        "disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}
    }
    notebook = {"windowingMode": "none", "autoStartDefaultKernel": True}
    files = {
        "labconfig/page_config.json": page,
        "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings": notebook,
    }
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(json.dumps(content), encoding="utf-8")


def wait_for_server(server, address: str, log: Path) -> None:
    for _ in range(200):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def chromium(profile: Path):
    """Headless Chromium with an empty profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        if shots := os.environ.get("MMLEARN_SCREENSHOTS"):  # the last thing it saw
            driver.save_screenshot(str(Path(shots) / "browser.png"))
        driver.quit()


def wait(driver, css: str, seconds: float = 40):
    """The first element of this selector, waited for."""

    def first(d):
        return next(iter(d.find_elements(By.CSS_SELECTOR, css)), None)

    return WebDriverWait(driver, seconds, 0.2, STALE).until(
        first, f"no {css} on the page"
    )


def run_all(
    driver, address: str, token: str, name: str, until: str, patience=15
) -> None:
    """Open a notebook, choose Run → Run All Cells, and wait for a selector to appear.

    Just after opening, a page that is still settling can lose the command, or a widget
    (JupyterLab then says "model not found"): as a reader would, it is chosen again.
    """
    driver.get(f"{address}/lab/tree/{name}?token={token}")
    wait(driver, ".jp-Notebook .jp-CodeCell")
    wait(driver, ".jp-Notebook-ExecutionIndicator[data-status='idle']")
    for seconds in (1, 3, 5):
        time.sleep(seconds)
        with contextlib.suppress(WebDriverException):
            choose_run_all(driver)
            wait(driver, until, patience)
            return
        driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    raise RuntimeError(f"Run All Cells was chosen three times, and no {until} came")


def choose_run_all(driver) -> None:
    for button in driver.find_elements(By.CSS_SELECTOR, ".jp-Dialog .jp-mod-accept"):
        button.click()  # "Select Kernel", where the list came late
    menus = driver.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-item")
    next(menu for menu in menus if menu.text.strip() == "Run").click()
    wait(driver, "li[data-command='runmenu:run-all']", 5).click()
