"""A person at a real browser: from the sign-in to a run of their own making, by clicking alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from benchmarks.live_server import LiveServer
from tests.fixtures import documents

DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium")
pytestmark = [
    pytest.mark.live,
    pytest.mark.topology("embedded"),
    pytest.mark.skipif(not (DRIVER and BROWSER), reason="Debian's chromium and chromium-driver are needed."),
]
ARGUMENTS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1200,1600
"""
SECONDS = 60


class Person:
    """Sees pages, and clicks on what they see."""

    def __init__(self, browser: Chrome, base_url: str) -> None:
        self.browser = browser
        self._base_url = base_url

    def open(self, path: str) -> None:
        self.browser.get(self._base_url + path)

    def see(self, text: str) -> None:
        WebDriverWait(self.browser, SECONDS).until(lambda _: text in self._words(), f"{text!r} is to be seen")

    def click(self, text: str) -> None:
        """A link by its words, or else by a part of them."""
        find = self.browser.find_elements
        self._press((find(By.LINK_TEXT, text) or find(By.PARTIAL_LINK_TEXT, text))[0])

    def fill(self, **fields: str | bool) -> None:
        """The form of the page, by the names of its fields."""
        for name, value in fields.items():
            shown = [
                one
                for one in self.browser.find_elements(By.NAME, name)
                if one.is_displayed() and one.get_attribute("type") != "hidden"
            ]
            control = shown[0]
            if control.tag_name == "select":
                Select(control).select_by_value(str(value))
            elif control.get_attribute("type") == "checkbox":
                [box] = [one for one in shown if one.get_attribute("value") in {value, "true"}]
                if not box.is_selected():
                    self._press(box)
            else:
                control.clear()
                control.send_keys(str(value))

    def press(self, button: str) -> None:
        """The button with these words, and wait for the page after it."""
        before = self.browser.find_element(By.TAG_NAME, "html")
        [found] = [
            one
            for one in self.browser.find_elements(By.TAG_NAME, "button")
            if one.is_displayed() and one.text == button
        ]
        self._press(found)
        WebDriverWait(self.browser, SECONDS).until(lambda _: self._is_gone(before), f"{button} leads on")

    def _press(self, control: WebElement) -> None:
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", control)
        control.click()

    def _is_gone(self, element: WebElement) -> bool:
        try:
            element.is_enabled()
        except Exception:
            return True
        return False

    def _words(self) -> str:
        return " ".join(self.browser.find_element(By.TAG_NAME, "body").text.split())


@pytest.fixture
def person(server: LiveServer, tmp_path: Path) -> Iterator[Person]:
    options = ChromeOptions()
    assert BROWSER is not None, "without it this is skipped"
    options.binary_location = BROWSER
    for argument in [*ARGUMENTS.split(), f"--user-data-dir={tmp_path / 'browser'}"]:
        options.add_argument(argument)
    browser = Chrome(options, ChromeService(DRIVER))
    try:
        yield Person(browser, server.base_url)
    finally:
        browser.quit()


def test_person_comes_from_signing_in_to_a_run_by_clicking(
    person: Person, server: LiveServer, tmp_path: Path
) -> None:
    handbook = tmp_path / "handbook.pdf"
    handbook.write_bytes(documents.pdf(2, sentences_per_page=10))
    person.open("/")
    person.fill(username=server.facts["email"], password=server.facts["password"])
    person.press("Log in")
    person.browser.find_element(By.CSS_SELECTOR, "ul.list-inline a").click()

    person.click("Agents")
    person.fill(name="Summarizer", instructions="Summarize the file.\nIn two lines.", tools="create_document")
    person.press("POST")
    person.see("HTTP 201 Created")
    person.click("Summarizer")
    person.press("PUT")  # untouched
    person.see("HTTP 200 OK")

    person.click("Organization")
    person.click("Knowledge bases")
    person.fill(title="Clicked", llmDescription="Made by clicking.", type="ORGANIZATION")
    person.press("POST")
    person.click("Clicked")

    person.click("ETLs")
    agent = person.browser.find_element(By.CSS_SELECTOR, "#suggested-agentId option").get_attribute("value")
    person.fill(etlType="agent", agentId=str(agent))  # its conditions are filled in: a PDF that is READY
    person.press("POST")
    person.see("HTTP 201 Created")

    person.click("Knowledge base")
    person.click("Upload a file")
    person.browser.find_element(By.CSS_SELECTOR, "#upload input[type=file]").send_keys(str(handbook))
    person.fill(tags="clicked")
    [upload] = [one for one in person.browser.find_elements(By.TAG_NAME, "button") if one.text == "Upload"]
    upload.click()
    person.see("handbook.pdf READY")
    person.click("handbook.pdf")
    person.see('"clicked"')

    person.click("Knowledge base")
    person.click("Search")
    person.fill(query=documents.sentence_of_page(1))
    person.press("POST")
    person.see('"similarity"')

    person.click("Knowledge base")
    person.click("ETLs")
    person.click("Summarizer: fileName ENDS_WITH .pdf AND status EQUALS READY")
    person.click("Runs")
    person.browser.find_element(By.CSS_SELECTOR, "#filters summary").click()
    for _ in range(30):
        person.fill(status="SUCCEEDED")
        person.press("Show")
        if person.browser.find_elements(By.PARTIAL_LINK_TEXT, "SUCCEEDED"):
            break
    person.click("SUCCEEDED Summarizer")
    person.click("Documents it wrote")
    person.see('"totalRows": 1')
