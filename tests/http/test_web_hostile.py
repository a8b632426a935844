"""Text that wants to be more than text: from the model, from errors, from other tenants, and from the person.
Nothing of it runs, nothing is fetched, and the policy that would stop it is never even asked."""

import json

import pytest

from harness import SLOW
from web_front import Front, hello, state

pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.keys import Keys  # noqa: E402
from test_web import Page, driver, pytestmark  # noqa: E402, F401 - the fixture and the marks are this file's too

RLO, FSI = "\u202e", "\u2068"  # neither is ever closed
EVIL = ('<img src=x onerror="window.ran=1"><img src="http://elsewhere.invalid/a"></script><script>window.ran=2</script>'
        '</title></textarea><svg onload="window.ran=3"><iframe srcdoc="<script>parent.ran=4</script>"></iframe>'
        '<a href="javascript:window.ran=5">a</a> [b](javascript:window.ran=6) ![c](http://elsewhere.invalid/c.png) '
        '<javascript:window.ran=7> <style>@import "http://elsewhere.invalid/d"</style><base href="http://elsewhere.invalid/">'
        f'"\' onfocus=window.ran=8 autofocus x=" {RLO}gnp.exe{FSI}')
SHORT_EVIL = f'<img src=x onerror="window.ran=9">{RLO}x'
WATCH = ("window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective));"
         "for (const name of ['alert', 'open', 'eval']) window[name] = () => { window.ran = name; };")
"""Tags and attributes that no text may bring; those of the page have other addresses."""
STRANGE = ("main :is(img, iframe, script, style, base, object, embed, form form), .pop :is(img, iframe, script), dialog :is(img, script), "
           "[onerror], [onload], [onfocus], a[href]:not(.skip), head base, header img")


class Watched(Page):
    def assert_untouched(self):
        found = self.driver.execute_script("return [window.ran ?? null, violations, document.querySelectorAll(arguments[0]).length,"
                                           "document.links.length, location.href]", STRANGE)
        assert found == [None, [], 0, 1, self.front.url + ("#composer-text" if "#" in found[4] else "")], found

    def ask(self, text="hi"):
        self.one("#composer-text").send_keys(text, Keys.ENTER)
        self.until(lambda: self.all(".answer") and not self.all(".writing"))


@pytest.fixture
def page(request, driver, stories):  # noqa: F811
    script = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    front = Front(stories)
    front.say("hello", hello())
    front.say("state", state(0))
    page = Watched(driver, front, getattr(request.function, "allowed", ()))
    yield page
    page.leave()
    driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_what_watches_sees(page):
    """The other tests would fail: markup that reaches the page is noticed, and the policy stops it."""
    page.driver.execute_script("document.querySelector('main').insertAdjacentHTML('beforeend', arguments[0])",
                               '<img src="http://elsewhere.invalid/a"><p onclick="window.ran = 1">')
    page.until(lambda: page.driver.execute_script("return violations.includes('img-src')"))
    with pytest.raises(AssertionError):
        page.assert_untouched()
    # The request that was stopped is in the log that every page's end looks through.
    assert any("elsewhere.invalid" in entry["message"] for entry in page.driver.get_log("performance"))


test_what_watches_sees.allowed = ("Content Security Policy",)


@pytest.mark.parametrize("plain", [False, True])
def test_answers_and_questions(page, plain):
    """As text, in a list, a quote, code and a table; from the person too; and once more from what the tab has kept."""
    page.front.answer = "\n".join((EVIL, "", f"- {EVIL}", "", f"> {EVIL}", "", f"# {EVIL}", "", "```" + SHORT_EVIL, EVIL, "```",
                                   f"`{EVIL}` **{EVIL}**", "", f"| {EVIL} |"))
    page.front.tail = [{"choices": [{"index": 0, "delta": {"tool_calls": [
        {"index": 0, "id": EVIL, "type": "function", "function": {"name": EVIL, "arguments": EVIL}}]}}]}]
    if plain:
        page.driver.execute_script("document.getElementById('p-plain').click()")
    page.set("p-system", EVIL)
    page.set("p-stop", SHORT_EVIL)
    page.ask(EVIL)
    body = page.front.bodies[-1]
    assert (body["prompt"] if plain else body["messages"][1]["content"]) == EVIL and body["stop"] == [SHORT_EVIL]
    assert plain or body["messages"][0] == {"role": "system", "content": EVIL}
    text = page.text(".answer-text")
    assert text.count("window.ran=7") >= 7 and "elsewhere.invalid/c.png" in text and RLO in text
    assert not plain or text == page.front.answer
    assert page.text(".own-text") == EVIL
    page.assert_untouched()
    page.driver.refresh()
    page.until(lambda: page.text("#model") and page.text(".answer-text") == text)
    page.one("#open-chats").click()
    page.until(lambda: page.one(".chat-item").is_displayed())
    assert page.text(".chat-item").startswith("<img src=x onerror")
    page.keys(Keys.ESCAPE)
    page.one("#composer-text").click()
    page.keys(Keys.ARROW_UP)
    page.until(lambda: page.all(".edit-text"))
    assert page.one(".edit-text").get_attribute("value") == EVIL
    page.keys(Keys.ESCAPE)
    page.assert_untouched()


def test_errors(page):
    error = {"message": EVIL, "type": EVIL, "param": EVIL, "code": EVIL}
    page.front.answer = "x"
    for refusal in ((400, {}, json.dumps({"error": error})), (503, {"Retry-After": SHORT_EVIL.replace(RLO, "")}, json.dumps({"error": error})),
                    (502, {}, f"<html>{EVIL}")):
        page.front.refusals = [refusal]
        page.ask()
        assert page.text(".fault").startswith("The server answered with status 502." if refusal[0] == 502 else EVIL)
        page.alt("n")
    page.front.tail = [{"error": error}]
    page.ask()
    assert EVIL in page.text(".fault") and page.text(".answer-text") == "x"
    page.assert_untouched()


test_errors.allowed = ("400", "502", "503")


def test_model_and_live(driver, page):  # noqa: F811
    """Of other tenants the page gets numbers; were they anything else, they would be text as well."""
    front = page.front
    front.model = EVIL
    page.view("split")
    page.until(lambda: front.connections)
    front.cut_live()
    front.say("hello", {**hello(), "model": EVIL, "version": EVIL, "block_size": EVIL})
    evil = state(3, 2)
    evil["running"][0].update(id=EVIL, own=False)
    evil["running"][1].update(state=EVIL, prompt=1)
    evil["waiting"][0].update(id=SHORT_EVIL, own=False)
    front.say("state", {**evil, "state": EVIL})
    page.until(lambda: len(page.all("li.request")) == 5 and page.text("#state-text") == EVIL)
    assert page.text("#model") == EVIL and driver.title.startswith("<img")
    assert any(EVIL in e.get_attribute("title") for e in page.all("li.request"))
    # An override that is never closed ends with the element that it is in.
    order = driver.execute_script("return ['h1', '#model', '#state'].map(q => document.querySelector(q).getBoundingClientRect().left)")
    assert order == sorted(order)
    page.assert_untouched()
    driver.refresh()
    page.until(lambda: page.text("#model") == EVIL)
    page.assert_untouched()


@pytest.mark.parametrize("marks", ["*a ", "**a _b ", "`a ``b "])
def test_a_long_line_of_marks_is_drawn_at_once(page, marks):
    """A chat that is shown again, and a tab that was in the background, draw a whole answer in one go."""
    page.driver.set_script_timeout(20 * SLOW)  # the square of it would be minutes
    text = marks * (150_000 // len(marks)) + "😀"
    shown = page.driver.execute_async_script(
        "const [text, done] = arguments; import(new URL('web/render.js', location.href)).then(({ Markdown }) => {"
        "const box = document.createElement('div'), m = new Markdown(box); m.write(text); m.end(); done(box.textContent); })", text)
    assert shown.replace("*", "").replace("_", "").replace("`", "").split() == text.replace("*", "").replace("_", "").replace("`", "").split()
    page.assert_untouched()
