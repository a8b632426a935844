"""The page as the binary serves it, with its own /live, in a real Chromium."""

import json
import re
import threading

import pytest

from harness import Server

pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.keys import Keys  # noqa: E402
from test_live import Viewer  # noqa: E402
from test_web import Page, driver, pytestmark  # noqa: E402, F401 - the fixture and the marks are this file's too


class Direct:
    """Nothing stands between the browser and inferd."""

    def __init__(self, server):
        self.server, self.url = server, server.url + "/"

    def close(self):
        pass


@pytest.fixture(scope="module")
def served():
    # On a machine that stands still for a while a step may seem to hang: that is told truly, and is not what is tested here.
    with Server("--threads", "1", "--max-num-seqs", "64", "--watchdog-timeout", "600", model=None) as s:
        yield s
        s.wait_idle()


@pytest.fixture
def page(driver, served):  # noqa: F811
    page = Page(driver, Direct(served))
    page.until(lambda: page.text("#state-text") == "ready")
    yield page
    page.leave()


class Company:
    """Requests of other clients that run until they are told to stop."""

    def __init__(self, server, n):
        import http.client

        self.connections, self.answers = [], []
        body = {"prompt": "Once upon a time", "max_tokens": 900, "ignore_eos": True, "stream": True, "temperature": 1}
        for k in range(n):
            c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
            c.request("POST", "/v1/completions", json.dumps({**body, "seed": k}), {"Content-Type": "application/json"})
            self.connections.append(c)
        # The answers are read, or the streams would stand still.
        self.threads = [threading.Thread(target=self._read, args=(c,), daemon=True) for c in self.connections]
        for t in self.threads:
            t.start()

    def _read(self, c):
        try:
            r = c.getresponse()
            while r.read1(65536):
                pass
        except OSError:
            pass  # left

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for t in self.threads:
            t.join()
        for c in self.connections:
            c.close()


def test_an_answer_grows(page, served):
    page.set("p-temperature", "0")
    page.driver.execute_script(
        "window.lengths = []; new MutationObserver(() => lengths.push(document.querySelector('.answer-text')?.textContent.length ?? 0))"
        ".observe(document.body, {subtree: true, childList: true, characterData: true})")
    with Company(served, 30):  # alone it would be there within two frames
        page.until(lambda: served.metric("vllm:num_requests_running") == 30)
        page.one("#composer-text").send_keys("Tell me a story about Mia.", Keys.ENTER)
        page.done()
    text = page.text(".answer-text")
    lengths = [n for n in page.driver.execute_script("return lengths") if n]
    assert "Mia" in text and max(lengths) == len(text)
    assert len({n for n in lengths if n < len(text)}) >= 2, lengths  # seen in pieces, not at once
    page.shot("served-story")


def test_stop_frees_the_request(page, served):
    count = lambda: sum(v for k, v in served.metrics().items() if k.startswith("vllm:request_success") and '"abort"' in k)  # noqa: E731
    before = count()
    with Company(served, 40):  # steps take long enough to stop in the middle of an answer
        page.until(lambda: served.metric("vllm:num_requests_running") == 40)
        page.one("#composer-text").send_keys("Tell me a story about Mia.", Keys.ENTER)
        page.until(lambda: page.text(".answer-text"))
        page.keys(Keys.ESCAPE)
        page.until(lambda: "stopped" in page.text(".turn-note"))
        page.until(lambda: count() == before + 1)
        page.until(lambda: served.metric("vllm:num_requests_running") <= 40)  # told with the next step
    served.wait_idle()


def kv_in_words(page):
    """What stands for the grid where it cannot be seen, the legend and the tile: all of one state."""
    label, *legend, tile, of = page.driver.execute_script(
        "return [document.getElementById('kv-grid').ariaLabel, ...['kv-used', 'kv-cached', 'kv-free', 't-kv', 't-kv-blocks']"
        ".map((id) => document.getElementById(id).textContent)]")
    numbers = re.fullmatch("KV pool: ([0-9,]+) blocks in use, ([0-9,]+) cached, ([0-9,]+) free", label)
    assert list(numbers.groups()) == legend
    return *(int(n.replace(",", "")) for n in legend), float(tile.removesuffix(" %")), of


def test_sixteen_requests_are_seen(page, served):
    page.view("split")
    with Company(served, 16):
        page.until(lambda: len(page.all("li.request")) == 16 and page.text("#t-running") == "16")
        page.until(lambda: page.one("#kv-grid").get_attribute("data-owners") == "16")
        with Viewer(served) as v:
            n_blocks = v.until("hello")["n_blocks"]
        used, cached, free, tile, of = kv_in_words(page)
        assert used >= 16 and used + cached + free == n_blocks
        part = 100 * used / n_blocks
        assert abs(tile - part) <= (0.051 if part < 10 else 0.51)  # as it is rounded
        assert of == f"of {n_blocks:,} blocks"
        assert f"kv_blocks={n_blocks} " in served.log  # the same number wherever it is told
        page.shot("served-sixteen")
    served.wait_idle()
    page.until(lambda: not page.all("li.request") and page.text("#t-running") == "0")
    used, cached, free, tile, of = kv_in_words(page)
    assert (used, tile) == (0, 0) and cached > 0 and cached + free == n_blocks
