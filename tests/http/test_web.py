"""The page in a real Chromium.  After every test: no console error, no request to another host."""

import json
import os
import shutil

import pytest

from harness import CHATML, ROOT, RUN_ON, SLOW, Server
from web_front import Front, hello, state

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

pytestmark = [pytest.mark.full, pytest.mark.skipif(not shutil.which("chromedriver"), reason="no Chromium")]
SHOTS = ROOT / os.environ.get("INFERD_BUILD", "build/release") / "test-logs/web"
HTML = '<img src=x onerror="document.title=1"><script>document.title=2</script> <b>bold</b> **x<i>y** `<u>`'


class Page:
    def __init__(self, driver, front, allowed=(), shows="#model"):
        self.driver, self.front, self.allowed = driver, front, allowed
        driver.get(front.url)
        driver.execute_script("sessionStorage.clear(); localStorage.clear()")
        driver.get(front.url)
        self.until(lambda: self.text(shows))

    def until(self, what):
        return WebDriverWait(self.driver, 15 * SLOW, 0.05).until(lambda _: what())

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def text(self, css):
        return self.driver.execute_script("return [...document.querySelectorAll(arguments[0])].at(-1)?.textContent ?? ''", css)

    def keys(self, *keys):
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def alt(self, key):
        webdriver.ActionChains(self.driver).key_down(Keys.ALT).send_keys(key).key_up(Keys.ALT).perform()

    def set(self, field, value):
        self.driver.execute_script("const e = document.getElementById(arguments[0]); e.value = arguments[1];"
                                   "e.dispatchEvent(new Event('input'))", field, value)

    def view(self, name):
        self.one(f".views [data-view={name}]").click()

    def done(self):
        self.until(lambda: self.all(".answer") and not self.all(".writing") and self.text(".turn-note"))

    def shot(self, name):
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(SHOTS / f"{name}.png"))

    def leave(self):
        """Checks, then closes the page before its server goes: a lost connection is no error of the page."""
        self.check()
        self.driver.get("about:blank")
        self.front.close()
        for log in ("browser", "performance"):
            self.driver.get_log(log)

    def check(self):
        bad = [e for e in self.driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")
               and not any(word in e["message"] for word in self.allowed)]
        assert not bad, bad
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                assert url.startswith((self.front.url, "data:", "about:")), url


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for arg in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1600,1000", "--force-color-profile=srgb"):
        options.add_argument(arg)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def page(request, driver, stories):
    front = Front(stories)
    front.say("hello", hello())
    front.say("state", state(0))
    page = Page(driver, front, getattr(request.function, "allowed", ()))
    yield page
    page.leave()


def test_send_stream_retry_edit(page):
    page.front.extra = dict(RUN_ON)
    page.set("p-max_tokens", "40")
    page.set("p-temperature", "0")
    page.set("p-seed", "7")
    page.one("#composer-text").send_keys("Once upon a time", Keys.ENTER)
    page.done()
    first = page.text(".answer-text")
    assert first and "40 tokens" in page.text(".turn-note") and "tokens/s" in page.text(".turn-note")
    page.shot("answer")
    page.one(".answer [aria-label=Retry]").click()
    page.done()
    assert page.text(".answer-text") == first
    page.keys(Keys.ARROW_UP)
    page.until(lambda: page.all(".edit-text"))
    page.keys(" there was a dog", Keys.ENTER)
    page.done()
    assert len(page.all(".turn")) == 2
    assert page.text(".own-text") == "Once upon a time there was a dog"


def test_stop(page, stories):
    page.set("p-temperature", "1")
    page.set("p-max_tokens", "100000")
    page.one("#composer-text").send_keys("a", Keys.ENTER)
    page.until(lambda: page.text(".fault"))  # refused in the server's words
    page.set("p-max_tokens", "")
    # Company in the same request makes an answer last for seconds.
    page.front.extra = {"n": 128, "ignore_eos": True, "max_tokens": 450}
    page.alt("n")
    page.one("#composer-text").send_keys("Once", Keys.ENTER)
    page.until(lambda: len(page.text(".answer-text")) > 5)
    assert stories.metric("vllm:num_requests_running") > 0
    page.keys(Keys.ESCAPE)
    page.done()
    assert "stopped" in page.text(".turn-note").split(" · ")
    stories.wait_metric("vllm:num_requests_running", 0)


test_stop.allowed = ("400",)


def test_html_is_text(page):
    page.front.answer = HTML
    page.one("#composer-text").send_keys("hi", Keys.ENTER)
    page.until(lambda: page.all(".answer") and not page.all(".writing"))
    assert page.text(".answer-text") == HTML.replace("**", "").replace("`", "")
    assert not page.all(".answer-text :is(img, script, b, i, u)")
    assert page.all(".answer-text strong") and page.driver.title.endswith("inferd")


def test_live_view(page):
    page.view("split")
    page.front.say("state", state(16, 3))
    page.until(lambda: len(page.all("li.request")) == 19)
    assert page.text("#t-running") == "16" and page.text("#t-waiting") == "3"
    page.until(lambda: page.one("#kv-grid").get_attribute("data-owners") == "16")
    page.shot("both-light")
    page.one("#theme").click()
    page.one("#theme").click()
    assert page.driver.execute_script("return document.documentElement.dataset.theme") == "dark"
    page.shot("both-dark")
    page.front.cut_live()
    page.until(lambda: page.text("#state-text") == "not connected")
    page.front.say("hello", hello())
    page.front.say("state", state(1))
    page.until(lambda: page.text("#state-text") == "ready" and len(page.all("li.request")) == 1)


def test_narrow(page):
    for view in ("chat", "live"):
        page.driver.set_window_size(500, 800)
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": 360, "height": 760, "deviceScaleFactor": 1, "mobile": False})
        page.front.say("state", state(5, 1))
        page.one(f".views [data-view={view}]").click()
        page.until(lambda: page.one(f"#{view}").is_displayed())
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 360
        page.shot(f"narrow-{view}")
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.driver.set_window_size(1600, 1000)


def test_keys_and_help(page):
    page.keys(Keys.ESCAPE, "?")
    page.until(lambda: page.one("#help").is_displayed())
    page.shot("help")
    page.keys(Keys.ENTER)
    page.until(lambda: not page.one("#help").is_displayed())
    page.keys("/")
    assert page.driver.switch_to.active_element.get_attribute("id") == "composer-text"
    page.alt("p")
    page.until(lambda: page.one("#params").is_displayed())
    page.shot("parameters")


def test_key_dialog(driver):
    with Server("--chat-template", CHATML, "--api-key", "sesame") as server:
        front = Front(server)
        front.say("hello", hello())
        page = Page(driver, front, allowed=("401",), shows="#state-text")
        page.until(lambda: page.one("#key-dialog").is_displayed())
        page.keys("sesame", Keys.ENTER)
        page.until(lambda: not page.one("#key-dialog").is_displayed())
        page.until(lambda: page.text("#state-text") == "ready" and page.text("#model"))
        page.set("p-max_tokens", "8")
        page.one("#composer-text").send_keys("Once", Keys.ENTER)
        page.done()
        assert page.driver.execute_script("return Object.keys(localStorage).length") == 0
        page.leave()
