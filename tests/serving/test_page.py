"""The page of the server in a real browser: it lists requests, sends them, and loads nothing."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving.conftest import PATIENCE, Server, ask

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.browser


def is_there(answer: Any, _: Any) -> bool:
    return answer.text not in ("", "…")


def test_every_request_can_be_sent_from_the_page(driver: Chrome, server: Server) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser: Any = driver  # parts of Selenium have no types
    wait = WebDriverWait(browser, PATIENCE)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(f"{server.url}/docs")
    wait.until(lambda _: browser.find_elements(By.TAG_NAME, "details"))
    parts = browser.find_elements(By.TAG_NAME, "details")
    asked = ask(f"{server.url}/openapi.json").body["paths"]
    assert [part.find_element(By.TAG_NAME, "code").text for part in parts] == [
        f"{method.upper()} {path}"
        for path, methods in asked.items()
        for method in methods
        if path != "/docs"
    ]
    for part in parts:
        part.find_element(By.TAG_NAME, "summary").click()
        part.find_element(By.TAG_NAME, "button").click()
        answer = part.find_element(By.TAG_NAME, "pre")
        wait.until(partial(is_there, answer))
        assert answer.text.startswith("200\n"), answer.text
    body = parts[0].find_element(By.TAG_NAME, "textarea")
    body.clear()
    body.send_keys(json.dumps({"rows": [{"<b>": 1}]}))
    answer = parts[0].find_element(By.TAG_NAME, "pre")
    parts[0].find_element(By.TAG_NAME, "button").click()
    wait.until(lambda _: answer.text.startswith("422\n"))
    assert "<b>" in answer.text

    refused = [entry["message"] for entry in browser.get_log("browser")]
    assert len(refused) == 1
    assert "422" in refused[0]
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    assert sent
    assert [url for url in sent if not url.startswith(server.url)] == []
