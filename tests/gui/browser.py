"""A browser window on the interface."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.remote.webelement import WebElement

    from tests.gui.conftest import Server

SECONDS = 60.0  # to wait at most, as on a machine that is busy
EXPECTED = ("400 (Bad Request)", "422 (Unprocessable")  # responses to errors that a test makes on purpose
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,950")
SOFTWARE_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")


class Page:
    """A browser window on the interface."""

    def __init__(self, driver: webdriver.Chrome, server: Server) -> None:
        self.driver, self.server = driver, server

    def open(self, address: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(f"{self.server.address}#/{address}")

    def find(self, css: str, text: str | None = None) -> WebElement:
        """Wait for an element."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for element in self.driver.find_elements(By.CSS_SELECTOR, css):
                try:
                    if element.is_displayed() and (text is None or text in element.text):
                        return element
                except WebDriverException:  # redrawn meanwhile: look again
                    continue
            time.sleep(0.05)
        raise AssertionError(
            f"no {css} {text or ''} in:\n{self.driver.find_element(By.TAG_NAME, 'body').text}"
        )

    def click(self, css: str, text: str | None = None) -> None:
        for _ in range(5):
            try:
                self.find(css, text).click()
                return
            except WebDriverException:  # redrawn between being found and being clicked
                time.sleep(0.2)
        self.find(css, text).click()

    def fill(self, css: str, text: str) -> None:
        element = self.find(css)
        element.send_keys(Keys.CONTROL, "a")
        element.send_keys(text or Keys.DELETE)

    def fill_form(self, **values: str) -> None:
        for name, value in values.items():
            css = f"#field-{name}"
            self.unfold()
            self.fill(css, value)

    def unfold(self) -> None:
        """Open all groups of the form."""
        self.find("form")
        for fold in self.driver.find_elements(By.CSS_SELECTOR, "details.card"):
            if fold.get_attribute("open") is None:
                fold.find_element(By.TAG_NAME, "summary").click()

    def start(self) -> str:
        """Start the job of the form; return its name."""
        self.click("[data-do=start]")
        self.find("#state .badge")
        return self.find("h1").text.split()[0]

    def finish(self, state: str = "finished") -> None:
        name = self.find("h1").text.split()[0]
        job = self.server.wait(name)
        assert job["state"] == state, self.server.get("api/log", name=name).json["text"]
        self.find("#state .badge", state)

    def choose(self, *names: str) -> None:
        """Choose from the project folder on the last name, or its folder if the name is empty."""
        self.find("dialog .browser[data-folder]")
        self.click('dialog [data-folder="."]')
        self.find('dialog .browser[data-folder="."]')
        for name in names:
            if name:
                self.click(f'dialog .browser [data-name="{name}"]')
            if name and name != names[-1]:
                self.find(f'dialog .browser[data-folder$="{name}"]')
        self.click("dialog [data-do=choose]")

    def wait_for(self, what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not self.driver.execute_script(f"return {what}"):
            assert time.monotonic() < deadline, what
            time.sleep(0.05)


def start_browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in (*OPTIONS, *SOFTWARE_WEBGL):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


@contextmanager
def open_page(driver: webdriver.Chrome, server: Server, *expected: str) -> Iterator[Page]:
    """Yield a page; no error may be logged then, except those that are expected."""
    driver.get_log("browser")
    yield Page(driver, server)
    wrong = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    known = (*EXPECTED, *expected)
    assert [message for message in wrong if not any(text in message for text in known)] == []
