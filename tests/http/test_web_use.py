"""The page for the person in front of it: what is said when something fails, keys alone, colours that can be read,
a narrow screen, an address behind a prefix."""

import contextlib
import json
import time

import pytest

from harness import CHATML, IS_STORIES, ROOT, Server
from ops import wait_for
from test_live import Viewer
from web_front import Front, hello, state

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.keys import Keys  # noqa: E402
from test_web import Page, driver, page, pytestmark  # noqa: E402, F401 - the fixtures and the marks are this file's too
from test_web_served import Direct  # noqa: E402

ANSWER = ("# A heading\n\nSome **bold** and *italic* text with `code` in it.\n\n> A quotation that is a little longer.\n\n"
          "- one\n- two\n\n```python\nprint('" + "a long line " * 20 + "')\n```\n" + "Donaudampfschifffahrt" * 12)


def ask(page, text="hi"):  # noqa: F811
    page.one("#composer-text").send_keys(text, Keys.ENTER)
    page.until(lambda: page.all(".answer") and not page.all(".writing"))


def refusal(status, message, wait=None, code=None):
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return status, {"Retry-After": wait} if wait else {}, json.dumps({"error": error})


# --- what fails ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("status, message, wait, words", [
    (429, "The queue is full.", "7", ("too many requests", "Try again in 7 s.")),
    (429, "The queue is full.", None, ("too many requests", "Try again in a moment.")),
    (503, "The model is still loading.", "3", ("The model is still loading.", "Try again in 3 s.")),
])
def test_refused_for_now(page, status, message, wait, words):  # noqa: F811
    page.front.answer = "At last."
    page.front.refusals = [refusal(status, message, wait)]
    ask(page)
    fault = page.one(".fault")
    assert fault.is_displayed() and fault.get_attribute("role") == "alert"
    assert all(word in fault.text for word in words), fault.text
    page.until(lambda: page.text("#announce") in fault.text and page.text("#announce"))
    page.one(".fault button").click()
    page.until(lambda: page.text(".answer-text") == "At last." and not page.all(".fault:not([hidden])"))
    assert len(page.all(".turn")) == 2 and [m["content"] for m in page.front.bodies[-1]["messages"]] == ["hi"]


test_refused_for_now.allowed = ("429", "503")


@pytest.mark.parametrize("how", ["lost", "ended"])
def test_an_answer_that_breaks_off(page, how):  # noqa: F811
    """The connection is lost, or a proxy ends it as if all were there: what came is kept, and is no part of what is
    sent when the person tries again."""
    page.front.answer = "All that there is to say about it."
    page.front.cut, page.front.length = 4, 1 << 20 if how == "lost" else None
    page.front.gate.clear()
    page.one("#composer-text").send_keys("hi", Keys.ENTER)
    page.until(lambda: page.text(".answer-text") == page.front.answer[:15])
    page.front.gate.set()
    page.until(lambda: page.text(".fault"))
    assert page.text(".answer-text") == page.front.answer[:15]
    assert "not complete" in page.one(".fault").text and "lost" in page.one(".fault").text
    page.driver.refresh()
    page.until(lambda: page.text(".answer-text") == page.front.answer[:15] and page.one(".fault").is_displayed())
    page.one(".fault button").click()
    page.until(lambda: page.text(".answer-text") == page.front.answer and not page.all(".fault:not([hidden])"))
    assert [m["content"] for m in page.front.bodies[-1]["messages"]] == ["hi"]


test_an_answer_that_breaks_off.allowed = ("ERR_CONTENT_LENGTH_MISMATCH",)


def test_wrong_key_and_prefix(driver):  # noqa: F811
    """Behind a prefix, with nothing in between: every request stays below it (Page.check), the key dialog too."""
    template, question = (["--chat-template", CHATML], "Once") if IS_STORIES else ([], "Tell me a story about Mia.")
    with Server(*template, "--api-key", "sesame", "--root-path", "/llm") as server:
        direct = Direct(server)
        direct.url += "llm/"
        page = Page(driver, direct, allowed=("401",), shows="#state-text")  # noqa: F811
        page.until(lambda: page.one("#key-dialog").is_displayed())
        page.keys("open", Keys.ENTER)
        page.until(lambda: "did not take this key" in page.one("#key-why").text)
        page.keys(Keys.ESCAPE)
        page.until(lambda: page.text("#state-text") == "locked" and page.one("#banner").is_displayed())
        ask_text = page.one("#composer-text")
        ask_text.send_keys(question, Keys.ENTER)
        page.until(lambda: page.one("#key-dialog").is_displayed())
        page.keys(Keys.ESCAPE)
        page.until(lambda: "needs an API key" in page.text(".fault"))
        page.set("p-max_tokens", "8")
        page.one("#banner-act").click()
        page.until(lambda: page.one("#key-dialog").is_displayed())
        page.keys("sesame", Keys.ENTER)
        page.until(lambda: page.text("#state-text") == "ready" and not page.one("#banner").is_displayed())
        page.one(".fault button").click()
        page.done()
        assert page.text(".answer-text") and "8 tokens" in page.text(".turn-note")
        page.leave()


def kinds(page):  # noqa: F811
    """What the page has sent as messages in the last request."""
    return [(m["role"], m["content"]) for m in page.front.bodies[-1]["messages"]]


TOO_LONG = ("This model's maximum context length is 1024 tokens. However, your messages resulted in 1215 tokens. Please reduce the "
            "length of the messages.")


def test_a_turn_that_failed_is_sent_no_more(page):  # noqa: F811
    """Neither the message nor what came of its answer; both stay to be seen, edited, tried again, removed."""
    front = page.front
    front.answer = "An answer."
    ask(page, "first")
    front.refusals = [refusal(400, TOO_LONG, code="context_length_exceeded")]
    ask(page, "word " * 30)
    assert TOO_LONG in page.text(".fault") and "max tokens" not in page.text(".fault")
    assert "goes without this message" in page.text(".fault")
    good = [("user", "first"), ("assistant", "An answer.")]
    ask(page, "second")
    assert kinds(page) == [*good, ("user", "second")]
    page.driver.refresh()
    page.until(lambda: len(page.all(".turn")) == 6 and page.text("#model"))
    ask(page, "third")
    assert kinds(page) == [*good, ("user", "second"), ("assistant", "An answer."), ("user", "third")]
    fault = page.one(".failed .fault")
    assert [b.text for b in fault.find_elements("css selector", "button")] == ["Try again", "Edit the message", "Remove"]
    fault.find_elements("css selector", "button")[2].click()
    page.until(lambda: len(page.all(".turn")) == 6 and not page.all(".failed"))
    assert page.driver.switch_to.active_element.get_attribute("id") == "composer-text"
    # The only turn of a chat: with it the chat itself is gone.
    page.alt("n")
    front.refusals = [refusal(400, TOO_LONG, code="context_length_exceeded")] * 2
    ask(page, "word word")
    page.one(".fault button:nth-child(2)").click()
    page.until(lambda: page.all(".edit-text"))
    page.keys(" word", Keys.ENTER)
    page.until(lambda: len(front.bodies) == 6 and page.text(".fault"))
    page.one(".fault button:nth-child(3)").click()
    page.until(lambda: page.all(".welcome"))
    page.driver.refresh()
    page.until(lambda: page.text("#model") and len(page.all(".turn")) == 6)


test_a_turn_that_failed_is_sent_no_more.allowed = ("400",)


def test_what_helps_against_a_full_context(page):  # noqa: F811
    """In the server's own words: the prompt alone is too long, or it is so with max tokens."""
    ask(page, "word " * 1200)
    assert "Please reduce the length of the messages." in page.text(".fault") and "new chat" not in page.text(".fault")
    assert "Change" not in page.text(".fault")
    page.alt("n")
    page.set("p-max_tokens", "100000")
    ask(page, "Once")
    page.one(".fault button:nth-child(2)").click()
    page.until(lambda: page.driver.switch_to.active_element.get_attribute("id") == "p-max_tokens")
    assert page.one("#params").is_displayed()


test_what_helps_against_a_full_context.allowed = ("400",)


def test_one_viewer_too_many(driver, stories):  # noqa: F811
    """Only the live view lacks something, says so, and has it as soon as somebody leaves."""
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(Viewer(stories)) for _ in range(16)]
        for v in viewers:
            v.until("hello")
        page = Page(driver, Direct(stories), allowed=("503",))  # noqa: F811
        page.view("split")
        page.until(lambda: "16 viewers look on already" in page.text("#live-note"))
        assert "goes on trying" in page.one("#live-note").text  # it can be seen
        assert page.text("#state-text") == "ready" and not page.one("#banner").is_displayed()
        page.set("p-max_tokens", "5")
        page.one("#composer-text").send_keys("Once", Keys.ENTER)
        page.done()
        assert page.text("#state-text") == "ready" and page.one("#live-note").is_displayed()
        viewers[0].close()
        page.until(lambda: page.text("#t-running") == "0" and not page.one("#live-note").is_displayed())
        page.leave()


def test_who_does_not_look_is_no_viewer(driver, stories):  # noqa: F811
    """A tab in the chat, or one that is not seen, leaves its place to others."""
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(Viewer(stories)) for _ in range(15)]
        page = Page(driver, Direct(stories))  # noqa: F811
        page.until(lambda: page.text("#state-text") == "ready")

        def place():
            """Whether there is one."""
            with Viewer(stories) as v:
                return v.status == 200

        wait_for("a place", place)
        page.view("live")
        page.until(lambda: page.text("#t-running") == "0")
        assert not place()
        page.view("chat")
        page.until(place)
        page.view("live")
        page.until(lambda: not place())
        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        try:
            page.until(place)
            viewers[0].close()
        finally:
            driver.close()
            driver.switch_to.window(first)
        page.until(lambda: page.text("#state-text") == "ready" and not page.all("body.stale"))
        page.leave()


@pytest.mark.shared
def test_plain_mode(driver):  # noqa: F811
    """A model without a chat template: refused in words, with the way out as a button."""
    with Server() as server:
        front = Front(server)
        front.say("hello", hello())
        front.say("state", state(0))
        page = Page(driver, front, allowed=("400",))  # noqa: F811
        page.set("p-max_tokens", "12")
        page.set("p-temperature", "0")
        ask(page, "Once upon a time")
        assert "no chat template" in page.text(".fault").lower()
        page.one(".fault button").click()
        page.done()
        expected = server.post("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0})[1]
        assert page.text(".answer-text") == expected["choices"][0]["text"]
        assert "plain completion" in page.text("#params-chip")
        page.leave()


# --- parameters -------------------------------------------------------------------------------------------

def test_a_parameter_that_cannot_be(page):  # noqa: F811
    """Marked at once, in words that those who listen hear, too; nothing is sent and nothing is lost."""
    page.front.answer = "Yes."
    for field, value, words in (("temperature", "9", "from 0 to 2"), ("max_tokens", "-4", "1 or more"), ("max_tokens", "1.5", "a whole number"),
                                ("top_p", "-1", "from 0 to 1"), ("seed", "1e300", "below 2^53"), ("top_k", "-2", "-1 or more"),
                                ("min_p", "2", "from 0 to 1"), ("repetition_penalty", "0", "from 0.001 to 1000"),
                                ("presence_penalty", "3", "from -2 to 2"), ("frequency_penalty", "-3", "from -2 to 2")):
        page.set(f"p-{field}", value)
        box = page.one(f"#p-{field}")
        assert box.get_attribute("aria-invalid") == "true", field
        assert words in page.text(f"#{box.get_attribute('aria-describedby')}"), field
        assert words in page.text("#params-chip") and page.all(".chip.bad"), field
        page.one("#composer-text").clear()
        page.one("#composer-text").send_keys("hi", Keys.ENTER)
        page.until(lambda: page.driver.switch_to.active_element.get_attribute("id") == f"p-{field}")
        page.until(lambda: words in page.text("#announce"))
        assert page.front.bodies == [] and page.one("#composer-text").get_attribute("value") == "hi" and not page.all(".turn")
        page.keys(Keys.ESCAPE)
        page.set(f"p-{field}", "")
        assert not page.all("[aria-invalid], .chip.bad")
    page.one("#composer-text").send_keys(Keys.ENTER)
    page.until(lambda: page.text(".answer-text") == "Yes.")


def test_the_server_refuses_a_parameter(page):  # noqa: F811
    """For a reason that the page does not know: a button leads to the field."""
    error = {"message": "'stop' may have at most 16 strings.", "type": "invalid_request_error", "param": "stop", "code": None}
    page.front.refusals = [(400, {}, json.dumps({"error": error}))]
    ask(page)
    button = page.one(".fault button:nth-child(2)")
    assert button.text == "Change stop strings"
    button.click()
    page.until(lambda: page.driver.switch_to.active_element.get_attribute("id") == "p-stop")


test_the_server_refuses_a_parameter.allowed = ("400",)


def test_parameters_are_sent(page):  # noqa: F811
    page.front.answer = "Yes."
    values = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": 3, "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1,
              "frequency_penalty": -0.5, "presence_penalty": 1.5}
    for field, value in values.items():
        page.set(f"p-{field}", str(value))
    ask(page)
    assert {k: page.front.bodies[-1].get(k) for k in values} == values
    assert "top k 40" in page.text("#params-chip")
    page.driver.refresh()
    page.until(lambda: page.text("#model"))
    page.alt("p")
    page.until(lambda: page.one("#p-top_k").is_displayed())  # what is set is not hidden


def test_defaults_are_shown(driver):  # noqa: F811
    """Those of the model, as the server has read them."""
    expected = json.loads((ROOT / "models/demo/generation_config.json").read_text())
    with Server(model=None) as server:
        entry = server.request("GET", "/v1/models")[2]
        said = json.loads(entry)["data"][0]["default_sampling_params"]
        assert {k: said[k] for k in ("temperature", "top_p")} == {k: expected[k] for k in ("temperature", "top_p")}
        page = Page(driver, Direct(server))  # noqa: F811
        hint = lambda name: page.one(f"#p-{name}").get_attribute("placeholder")  # noqa: E731
        page.until(lambda: hint("temperature") == f"default: {expected['temperature']}")
        assert hint("top_p") == f"default: {expected['top_p']}" and hint("top_k") == "default: off"
        assert hint("max_tokens") == "default: all that fits" and hint("repetition_penalty") == "default: 1"
        page.driver.execute_script("document.getElementById('p-plain').click()")
        assert hint("max_tokens") == "default: 256"
        page.alt("p")
        page.until(lambda: page.one("#params").is_displayed())
        page.one("#p-temperature").send_keys(Keys.ARROW_UP)
        assert page.one("#p-temperature").get_attribute("value") == "0.4"  # from the default on
        page.shot("defaults")
        page.keys(Keys.ESCAPE)
        page.leave()


# --- the first look -----------------------------------------------------------------------------------------

def test_starts_with_the_chat(page):  # noqa: F811
    """And with the view that was chosen in this tab, from then on."""
    assert page.one("#chat").is_displayed() and not page.one("#live").is_displayed()
    assert "Parameters" in page.one("#open-params").text and "System prompt" in page.one("#params-chip").text
    page.one(".welcome button").click()
    page.until(lambda: page.driver.switch_to.active_element.get_attribute("id") == "p-system")
    page.keys("Be brief.", Keys.ESCAPE)
    page.until(lambda: page.text("#params-chip") == "system prompt")
    page.view("split")
    page.driver.refresh()
    page.until(lambda: page.text("#model"))
    assert page.one("#chat").is_displayed() and page.one("#live").is_displayed()


def test_nothing_in_the_console(driver, stories):  # noqa: F811
    """A policy with a feature that the browser does not know is complained of with every load."""
    driver.get_log("browser")
    page = Page(driver, Direct(stories))  # noqa: F811
    page.until(lambda: page.text("#state-text") == "ready")
    assert driver.get_log("browser") == []
    page.leave()


def test_long_emphasis_as_it_streams(page):  # noqa: F811
    """What stands there when the answer is complete is what stands there after a reload."""
    bold, code, far = "bold " * 300 + "end", "x" * 900, "far " * 1100 + "end"
    page.front.answer = f"Some **{bold}** and `{code}`, an ** alone and **{far}** at last *slanted*."
    ask(page)
    html = "return document.querySelector('.answer-text').innerHTML"
    streamed = page.driver.execute_script(html)
    assert [e.text for e in page.all(".answer-text strong")] == [bold] and page.text(".answer-text code") == code
    assert page.text(".answer-text em") == "slanted" and f"**{far}**" in page.text(".answer-text")
    page.driver.refresh()
    page.until(lambda: page.text("#model"))
    assert page.driver.execute_script(html) == streamed


# --- the live view --------------------------------------------------------------------------------------------

def marks(page):  # noqa: F811
    return [e.text for e in page.all("#axis-out span")]


def test_whole_tokens_on_the_axis(page):  # noqa: F811
    page.view("live")
    page.until(lambda: page.text("#t-running") == "0")
    assert not page.one("#axis").is_displayed()
    for most in (1, 2, 5, 7, 30, 100):
        busy = state(1)
        busy["running"][0].update(max=most, output=0, prompt=3, computed=3)
        page.front.say("state", {**busy, "n_waiting": most})  # told apart from the state before
        page.until(lambda: page.text("#t-waiting") == str(most))
        assert page.one("#axis").is_displayed() and int(marks(page)[-1]) >= min(most, 32)
        assert all(mark.isdigit() for mark in marks(page)) and len(set(marks(page))) == 5, marks(page)
        page.front.say("state", state(0))
        page.until(lambda: not page.one("#axis").is_displayed())


def test_first_token_is_of_now(page):  # noqa: F811
    page.view("live")
    page.until(lambda: page.text("#t-running") == "0")
    assert page.text("#t-ttft") == "–" and page.text("#t-ttft99") == "none in 10 s"  # the latest of hello() is older
    now = time.time()
    page.front.say("state", {**state(1), "time": now})
    page.front.say("point", {**hello()["history"][-1], "t": int(now) - 6, "ttft_ms": [20, 60]})
    page.until(lambda: page.text("#t-ttft") == "20 ms")
    assert page.text("#t-ttft99") == "median, p99 60 ms"
    # Nothing comes any more: the page sees by itself that the figure has become old.
    page.front.say("state", {**state(0), "time": now})
    page.until(lambda: page.text("#t-running") == "0")
    page.until(lambda: page.text("#t-ttft") == "–")


def test_help_explains_the_live_view(page):  # noqa: F811
    """Every word of the tiles and of the two legends that is no plain one."""
    page.one("#open-help").click()
    page.until(lambda: page.one("#help").is_displayed())
    words = page.one("#term-list").text.lower()
    for term in page.all(".tile-name"):
        assert term.get_attribute("textContent").lower() in words
    for word in ("p99", "median", "preemption", "still to be read", "may still write", "in use by several", "cached", "free"):
        assert word in words, word
    page.keys(Keys.ESCAPE)


def test_400_pixels_have_the_model(page):  # noqa: F811
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                {"width": 400, "height": 760, "deviceScaleFactor": 1, "mobile": False})
    try:
        page.until(lambda: page.driver.execute_script("return innerWidth") == 400)
        assert page.one("#model").is_displayed() and page.one("#model").size["width"] > 200
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# --- keys alone -------------------------------------------------------------------------------------------

FOCUSED = """
const e = document.activeElement, f = e.closest('.field') ?? e, box = e.getBoundingClientRect(), s = getComputedStyle(e), t = getComputedStyle(f);
let opacity = 1;
for (let n = e; n instanceof Element; n = n.parentElement) opacity *= getComputedStyle(n).opacity;
return {name: e.id || e.getAttribute('aria-label') || e.dataset.view || e.textContent.trim(),
  label: e.getAttribute('aria-label') || e.textContent.trim() || e.title || (e.labels?.length > 0),
  body: e === document.body,
  seen: box.width > 0 && box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight && opacity > 0.9,
  ring: (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2) || (f !== e && t.boxShadow !== 'none')}"""


def tab_to(page, name, back=False, most=30):  # noqa: F811
    """Presses Tab until the element has the focus; each one on the way shows that it has it."""
    passed = []
    for _ in range(most):
        if back:
            webdriver.ActionChains(page.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
        else:
            page.keys(Keys.TAB)
        # Transitions of a tenth of a second end first.
        at = page.until(lambda: (f := page.driver.execute_script(FOCUSED)) and (f["body"] or f["seen"]) and f)
        if at["body"]:  # from the end of the document to its beginning
            continue
        assert at["ring"] and at["label"], at
        passed.append(at["name"])
        if at["name"] == name:
            return passed
    raise AssertionError(f"{name} is not reached: {passed}")


def test_keys_alone(page):  # noqa: F811
    front = page.front
    front.answer = "A first answer, long enough to be stopped in its middle."
    front.gate.clear()
    page.keys("hello", Keys.ENTER)  # the message field has the focus from the start
    page.until(lambda: page.all(".writing") and len(page.text(".answer-text")) > 10)
    tab_to(page, "send")
    assert page.one("#send").get_attribute("aria-label") == "Stop"
    page.keys(Keys.ENTER)
    page.until(lambda: "stopped" in page.text(".turn-note"))
    assert front.answer.startswith(page.text(".answer-text")) and len(page.text(".answer-text")) < len(front.answer)
    front.gate.set()
    # Backwards from the button: the field, then the answer's buttons, then the message's.
    assert tab_to(page, "Retry", back=True) == ["params-chip", "composer-text", "Retry"]
    page.keys(Keys.ENTER)
    page.until(lambda: not page.all(".writing") and page.text(".answer-text") == front.answer)
    assert page.driver.switch_to.active_element.get_attribute("id") == "composer-text"
    tab_to(page, "Edit", back=True)
    page.keys(Keys.ENTER)
    page.until(lambda: page.all(".edit-text"))
    page.keys(" again", Keys.ENTER)
    page.until(lambda: page.text(".own-text") == "hello again" and not page.all(".writing"))
    assert page.driver.switch_to.active_element.get_attribute("id") == "composer-text"
    assert [m["content"] for m in front.bodies[-1]["messages"]] == ["hello again"]
    # Once around: the order of the document, and nothing is a trap.
    assert tab_to(page, "Skip to the message field")
    order = tab_to(page, "send")
    expected = ["chat", "split", "live", "new-chat", "open-chats", "open-params", "theme", "open-help",
                "log", "Copy the message", "Edit", "Copy the answer", "Retry", "composer-text", "params-chip", "send"]
    assert order == expected
    # What opens is reached, and Escape gives the focus back.
    tab_to(page, "params-chip", back=True)
    page.keys(Keys.ENTER)
    page.until(lambda: page.one("#params").is_displayed())
    tab_to(page, "p-temperature")
    page.keys(Keys.ESCAPE)
    page.until(lambda: not page.one("#params").is_displayed())
    assert page.driver.execute_script(FOCUSED)["name"] == "params-chip"


# --- colours and width ------------------------------------------------------------------------------------

CONTRAST = """
const c = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
const rgba = (colour) => { c.clearRect(0, 0, 1, 1); c.fillStyle = colour; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data].map((v) => v / 255); };
const over = (top, a, under) => under.map((u, i) => top[i] * a + u * (1 - a));
const light = (rgb) => rgb.map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
/** The colour of a text and what lies behind it, as they are mixed on the screen. */
function pair(node, colour) {
  const chain = [];
  for (let n = node; n instanceof Element; n = n.parentElement) chain.unshift(n);
  let back = rgba(getComputedStyle(document.body).backgroundColor).slice(0, 3), all = 1, group = back;
  for (const n of chain) {
    const s = getComputedStyle(n), [r, g, b, a] = rgba(s.backgroundColor);
    if (+s.opacity < 1) { group = back; all *= +s.opacity; }
    back = over([r, g, b], a * all, back);
  }
  const [r, g, b, a] = rgba(colour);
  return [over([r, g, b], a * all, back), back, all];
}
const bad = [], seen = new Set();
let n = 0;
function judge(node, colour, text) {
  const [front, back, opacity] = pair(node, colour);
  if (opacity === 0) return;
  const [hi, lo] = [light(front), light(back)].sort((x, y) => y - x), ratio = (hi + 0.05) / (lo + 0.05);
  n++;
  if (ratio >= 4.5) return;
  const key = `${node.tagName}.${node.className}#${node.id}`;
  if (!seen.has(key)) bad.push([key, +ratio.toFixed(2), text.slice(0, 30)]);
  seen.add(key);
}
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let t; (t = walk.nextNode());) {
  const e = t.parentElement;
  if (!t.data.trim() || e.closest('.hidden-text, script, noscript, .skip') || !e.checkVisibility({visibilityProperty: true})) continue;
  judge(e, getComputedStyle(e).color, t.data);
}
for (const e of document.querySelectorAll('input, textarea')) {
  if (!e.checkVisibility({visibilityProperty: true})) continue;
  judge(e, getComputedStyle(e).color, e.value);
  if (e.placeholder) judge(e, getComputedStyle(e, '::placeholder').color, e.placeholder);
}
return [n, bad]"""


def fill(page):  # noqa: F811
    """All there is to see: an answer of every kind of text, an error, requests of one's own and of others."""
    page.view("split")
    page.front.answer = ANSWER
    page.front.tail = [{"error": {"message": "The engine failed.", "code": None}}]
    page.set("p-system", "Be brief.")
    ask(page, "A question " + "and more of it " * 12)
    busy = state(16, 3)
    for r in busy["running"][8:]:
        r["own"] = False
    page.front.say("state", {**busy, "state": "draining"})
    page.until(lambda: len(page.all("li.request")) == 19 and page.one("#banner").is_displayed())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(page, theme):  # noqa: F811
    page.driver.execute_script("localStorage.setItem('inferd.theme', arguments[0])", theme)
    page.driver.refresh()
    page.until(lambda: page.text("#model") and page.text("#state-text") == "ready")
    assert page.driver.execute_script("return getComputedStyle(document.documentElement).colorScheme") == theme
    fill(page)
    results = {"page": page.driver.execute_script(CONTRAST)}
    page.alt("p")
    page.until(lambda: page.one("#params").is_displayed())
    page.one("#params summary").click()
    page.set("p-top_k", "-5")
    page.until(lambda: page.one("#p-top_k").is_displayed() and page.all("#params [aria-invalid]") and page.all(".chip.bad"))
    results["parameters"] = page.driver.execute_script(CONTRAST)
    page.keys(Keys.ESCAPE)
    for opened in ("help", "key-dialog"):
        page.driver.execute_script("document.getElementById(arguments[0]).showModal()", opened)
        results[opened] = page.driver.execute_script(CONTRAST)
        page.driver.execute_script("document.getElementById(arguments[0]).close()", opened)
    assert min(n for n, _ in results.values()) > 100  # pieces of text
    assert not any(bad for _, bad in results.values()), results


OVER = """
const wide = [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility({visibilityProperty: true}) && !e.closest('.skip, .hidden-text, pre, .sprite'))
  .filter((e) => { const b = e.getBoundingClientRect(); return b.width > 0 && (b.right > innerWidth + 0.5 || b.left < -0.5); });
const scrolls = [...document.querySelectorAll('html, body, main, #log, #live, .pop, dialog')].filter((e) => e.scrollWidth > e.clientWidth && e.clientWidth > 0);
return [innerWidth, ...wide, ...scrolls].map((e) => e.tagName ? `${e.tagName}.${e.className?.baseVal ?? e.className}#${e.id}` : e)"""


def test_320_pixels(page):  # noqa: F811
    fill(page)
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": False})
    try:
        for view in ("chat", "live"):
            page.one(f".views [data-view={view}]").click()
            page.until(lambda: page.one(f"#{view}").is_displayed())
            assert page.driver.execute_script(OVER) == [320], view
        for opened in ("params", "chats"):
            page.one(f"#open-{opened}").click()
            page.until(lambda: page.one(f"#{opened}").is_displayed())
            if opened == "params":
                page.one("#params summary").click()
                page.until(lambda: page.one("#p-top_k").is_displayed())
            assert page.driver.execute_script(OVER) == [320], opened
            page.keys(Keys.ESCAPE)
        for opened in ("help", "key-dialog"):
            page.driver.execute_script("document.getElementById(arguments[0]).showModal()", opened)
            assert page.driver.execute_script(OVER) == [320], opened
            page.keys(Keys.ESCAPE)
        page.one(".views [data-view=chat]").click()
        page.one(".own [aria-label=Edit]").click()
        assert page.driver.execute_script(OVER) == [320]
        page.shot("narrow-320")
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
