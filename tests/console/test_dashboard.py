"""The dashboard in a real headless browser, beside a real node: sign in, edit, invoke, look at what ran; on a phone, too."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.fences import ROOT

pytestmark = pytest.mark.browser
PATIENCE = 60
"""Seconds that any step may take on a busy machine."""

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
PHONE, SCREEN = (390, 844), (1280, 900)


class Page:
    """The browser on the page."""

    def __init__(self, driver: Any, url: str, data: Path) -> None:
        self.driver = driver
        self.url = url
        self.key, self.admin = ((data / name).read_text().strip() for name in ("guest.auth", "admin.key"))

    def __getitem__(self, id: str) -> WebElement:
        found: WebElement = self.driver.find_element(By.ID, id)
        return found

    def wait(self, what: Any, message: str = "") -> Any:
        return WebDriverWait(self.driver, PATIENCE, 0.1).until(what, message)

    def shows(self, id: str, text: str) -> None:
        self.wait(lambda _: text in self[id].text, f"{id} never showed {text!r}")

    def tab(self, name: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, f"[data-tab={name}]").click()

    def fill(self, id: str, text: str) -> None:
        self.driver.execute_script("arguments[0].value = arguments[1]", self[id], text)

    def sign_in(self, key: str, admin: str = "") -> None:
        self.driver.get(f"{self.url}/dashboard")
        self.driver.execute_script("sessionStorage.clear()")
        self.driver.refresh()
        self.wait(lambda _: self["sign-in"].is_displayed())
        self.fill("key", key)
        self.fill("admin", admin)
        self.driver.find_element(By.CSS_SELECTOR, "#sign-in button").click()

    def invoke(self, name: str, code: str, arguments: str = "{}") -> None:
        self.tab("actions")
        self["new-action"].click()
        self.fill("action-name", name)
        Select(self["action-kind"]).select_by_value("python:3")
        self.fill("code", code)
        self.fill("arguments", arguments)
        self["run"].click()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    place = tmp_path_factory.mktemp("dashboard")
    data = place / "data"
    command = [sys.executable, str(ROOT / "run.py"), "node", "--port", "0", "--data-dir", str(data), "--driver", "process"]
    with (place / "out").open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=place) as process:
        end = time.monotonic() + PATIENCE
        while "ready after" not in (place / "out").read_text():
            assert time.monotonic() < end, (place / "out").read_text()
            time.sleep(0.05)
        text = (place / "out").read_text()
        yield text.split("API host")[1].split()[0], data
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture(scope="module")
def page(node: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options, service)
    driver.set_window_size(*SCREEN)
    try:
        yield Page(driver, *node)
    finally:
        driver.quit()


def test_a_wrong_key_is_told(page: Page) -> None:
    """In the node's own words, and the page asks again."""
    page.sign_in("nobody:wrong")
    page.shows("sign-in-error", "The supplied authentication is invalid")
    assert page["sign-in"].is_displayed()


def test_write_invoke_and_look_at_it(page: Page) -> None:
    """From the playground to the list of activations, with result, logs and the stages that took the time."""
    page.sign_in(page.key, page.admin)
    page.shows("state", "ready")
    code = "def main(args):\n    print('a line <b>of</b> log')\n    return {'hello': args['who']}\n"
    page.invoke("hello", code, '{"who": "Ada"}')
    page.shows("play-state", "success after")
    page.shows("play-result", '"hello": "Ada"')
    page.shows("play-logs", "a line <b>of</b> log")
    page.shows("action-list", "hello")
    page.tab("activations")
    page.shows("latest", "guest/hello")
    page["latest"].find_element(By.TAG_NAME, "button").click()
    page.shows("opened-logs", "a line <b>of</b> log")
    assert '"hello": "Ada"' in page["opened-result"].text
    assert "run" in page["opened-stages"].text
    page["opened"].find_element(By.TAG_NAME, "button").click()
    page.tab("pool")
    page.shows("memory-text", "MB in")
    page.shows("parts", "store ok")
    page["leave"].click()
    assert page["sign-in"].is_displayed()


def test_a_failure_and_what_is_no_json(page: Page) -> None:
    """Both are told where the person looks; failures can be shown alone."""
    page.sign_in(page.key)
    page.invoke("broken", "def main(args):\n    return {'error': 'out of <i>tea</i>'}\n")
    page.shows("play-state", "application error")
    page.shows("play-result", "out of <i>tea</i>")
    page.fill("arguments", "{no")
    page["invoke"].click()
    page.shows("play-state", "The arguments are no JSON")
    page.tab("activations")
    page["failed"].click()
    page.wait(lambda _: "broken" in page["latest"].text and "guest/hello" not in page["latest"].text)
    page.tab("pool")
    page.shows("pool-hint", "sign in with the admin key")


def test_what_runs_shows_its_logs_as_they_come(page: Page) -> None:
    """Line by line, then the result."""
    page.sign_in(page.key)
    lines = ("print('begun')", "time.sleep(4)", "print('over')", "return {'late': 1}")
    page.invoke("slow", "\n    ".join(("import time\ndef main(args):", *lines)))
    page.tab("activations")
    page.shows("unfinished", "running")
    page["unfinished"].find_element(By.TAG_NAME, "button").click()
    page.shows("opened-logs", "begun")
    assert "over" not in page["opened-logs"].text
    page.shows("opened-result", '"late": 1')
    assert page["opened-logs"].text.splitlines()[-1].endswith("over")
    page["opened"].find_element(By.TAG_NAME, "button").click()


def test_it_fits_a_phone(page: Page) -> None:
    """Nothing is wider than the screen, on any tab."""
    page.sign_in(page.key, page.admin)
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": PHONE[0], "height": PHONE[1], "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        for tab in ("activations", "actions", "pool"):
            page.wait(lambda _: page["sign-in"].is_displayed() is False)
            page.tab(tab)
            assert page.driver.execute_script("return document.documentElement.scrollWidth") <= PHONE[0], tab
            assert page.driver.find_element(By.ID, tab).is_displayed()
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_asks_no_other_machine_and_logs_no_error(page: Page) -> None:
    """Every request of all tests before went to the node; the page's own policy was never broken."""
    messages = [entry["message"] for entry in page.driver.get_log("performance")]
    requests = [text for text in messages if '"Network.requestWillBeSent"' in text]
    assert requests
    foreign = [text for text in requests if '"url":"http' in text and f'"url":"{page.url}' not in text]
    assert foreign == []
    refused = re.compile(r"status of (401|404|502) ")  # a wrong key, a record that comes a little later, a failed action
    assert [entry for entry in page.driver.get_log("browser") if not refused.search(entry["message"])] == []
