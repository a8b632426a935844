"""`inferd chat`: a person at a pseudo-terminal, and pipes; against a real server, the one that it
starts for itself, and one that misbehaves."""

import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

from harness import BINARY, CHATML, CONTEXT, IS_STORIES, SLOW, STORIES, Server
from ops import bare_model
from terminal import DONE, USAGE, WAIT_S, Fake, Terminal, event

OWN = [STORIES, "--chat-template", CHATML, "--max-num-seqs", "4", "--temperature", "0"]
CLEAN = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}


def chat(*args, data=b"", env=None, **kw):
    return subprocess.run([BINARY, "chat", *map(str, args)], input=data, capture_output=True, timeout=WAIT_S,
                          env={**CLEAN, **(env or {})}, **kw)


def answer(*args, data=b"", **kw):
    done = chat(*args, data=data, **kw)
    assert done.returncode == 0 and done.stderr == b"", done
    return done.stdout.decode()


def failure(code, *args, data=b"Hi", **kw):
    done = chat(*args, data=data, **kw)
    assert done.returncode == code and b"Sanitizer" not in done.stderr, done
    return done.stderr.decode()


def children(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(p) for p in text.split()]


def wait_gone(pid):
    """Until it is no process, or one that nobody has waited for."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        assert time.monotonic() < end, f"process {pid} is still there"
        time.sleep(0.02)


# --- with a person, and a real server -----------------------------------------------------------------

def test_a_conversation_with_a_server_of_its_own(endless, tmp_path):
    with Terminal(STORIES if IS_STORIES else endless, *OWN[1:], "--max-tokens", 24, home=tmp_path) as t:
        t.prompt()
        child = children(t.process.pid)
        assert len(child) == 1
        command = pathlib.Path(f"/proc/{child[0]}/cmdline").read_bytes()
        key = re.search(rb"INFERD_API_KEY=(\w{64})", pathlib.Path(f"/proc/{child[0]}/environ").read_bytes())
        assert key and key.group(1) not in command and b"127.0.0.1" in command
        first = t.say("Once upon a time")
        stats = r"\[24 tokens(, [\d.]+ tokens/s)?, first token \d+ ms, cut at max_tokens\]"  # too soon over for a speed, or not
        assert re.search(stats, first), first
        assert re.search(stats, t.say("And then?"))
        saved = tmp_path / "talk.json"
        t.say(f"/save {saved}")
        roles = [m["role"] for m in json.loads(saved.read_text())["messages"]]
        assert roles == ["user", "assistant", "user", "assistant"]
        t.type("\x04")
        assert t.wait() == 0
    wait_gone(child[0])


@pytest.fixture
def endless(tmp_path):
    """The model with a context that takes minutes to fill, and an end that it never says."""
    folder = tmp_path / "endless"
    folder.mkdir()
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).symlink_to(STORIES / name)
    config = json.loads((STORIES / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 100000, "eos_token_id": 0}))
    return folder


def test_ctrl_c_stops_the_answer_and_the_work_for_it(endless, tmp_path):
    with Server("--chat-template", CHATML, "--max-num-seqs", "2", model=endless) as s:
        with Terminal("--url", s.url, "--temperature", "0", home=tmp_path) as t:
            t.prompt()
            for text in ("Once upon a time", "And then?"):  # the program goes on, and the server too
                t.type(text + "\r")
                t.expect(re.escape(text.encode()) + rb"\s+\S+")
                s.wait_metric("vllm:num_requests_running", 1)
                t.type("\x03")
                t.expect(rb"tokens?[^\]]*, stopped\]")
                t.prompt()
                s.wait_idle()
            t.say("/save talk.json")
            t.type("/quit\r")
            assert t.wait() == 0
        messages = json.loads((tmp_path / "talk.json").read_text())["messages"]
        assert [m["role"] for m in messages] == ["user", "assistant"] * 2 and all(m["content"] for m in messages)


def test_ctrl_c_does_not_reach_the_server_of_its_own(endless, tmp_path):
    with Terminal(endless, "--chat-template", CHATML, "--max-num-seqs", 2, "--temperature", 0, home=tmp_path) as t:
        t.prompt()
        child, = children(t.process.pid)
        for text in ("Once upon a time", "And then?"):
            t.type(text + "\r")
            t.expect(re.escape(text.encode()) + rb"\s+\S+")
            t.type("\x03")
            t.expect(rb"stopped\]")
            t.prompt()
        assert children(t.process.pid) == [child]
        t.type("\x04")
        assert t.wait() == 0
    wait_gone(child)


def test_a_conversation_that_is_too_long(stories, tmp_path):
    with Terminal("--url", stories.url, "--max-tokens", 5, home=tmp_path) as t:
        t.prompt()
        shown = t.say("very " * (CONTEXT + 88))
        assert "context" in shown and "/reset" in shown
        t.say("Hello")
        t.say("/save talk.json")
        roles = [m["role"] for m in json.loads((tmp_path / "talk.json").read_text())["messages"]]
        assert roles == ["user", "assistant"]


def test_what_was_saved_can_be_posted(stories, tmp_path):
    with Terminal("--url", stories.url + "/v1", "--max-tokens", 5, "--system", "Be kind.", home=tmp_path) as t:
        t.prompt()
        t.say("Hello")
        t.say("/params temperature=0 seed=7")
        t.say("/save talk.json")
        t.type("\x04")
        assert t.wait() == 0
    body = json.loads((tmp_path / "talk.json").read_text())
    assert body["temperature"] == 0 and body["seed"] == 7 and body["max_tokens"] == 5
    assert body["messages"][0] == {"role": "system", "content": "Be kind."}
    status, _ = stories.post("/v1/chat/completions", body)
    assert status == 200


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_its_server_ends_with_it(tmp_path, sig):
    with Terminal(*OWN, home=tmp_path) as t:
        t.prompt()
        child, = children(t.process.pid)
        t.process.send_signal(sig)
        t.process.wait(WAIT_S)
        wait_gone(child)


def test_its_server_is_killed(tmp_path):
    with Terminal(*OWN, home=tmp_path) as t:
        t.prompt()
        os.kill(children(t.process.pid)[0], signal.SIGKILL)
        assert "ended by signal 9" in t.say("Hi")


# --- with a person, and a scripted server ----------------------------------------------------------------

def test_editing_and_history(tmp_path):
    state = tmp_path / "state/inferd/chat_history"
    with Fake() as f:
        with Terminal("--url", f.url, home=tmp_path) as t:
            t.prompt()
            t.say("helo\x1b[Dl")  # the left arrow
            assert f.texts() == [("user", "hello")]
            t.say("größe 東京\x7f\x7f北")
            assert f.texts()[-1] == ("user", "größe 北")
            t.say("\x1b[A\x1b[A\x1b[B")  # up, up, down
            assert f.texts()[-1] == ("user", "größe 北")
            t.type("dropped")
            t.expect(rb"dropped")
            t.type("\x03")
            assert t.expect(rb".*?> ").group() == b"^C\r\n> "  # the line stays as it was
            t.type("one\\\rtwo\r")
            t.expect(rb"answer \d+.*?\n> ")
            assert f.texts()[-1] == ("user", "one\ntwo")
            t.type("\x04")
            assert t.wait() == 0
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
        lines = [json.loads(line) for line in state.read_text().splitlines()]
        assert lines == ["hello", "größe 北", "größe 北", "one\ntwo"]
        with Terminal("--url", f.url, home=tmp_path) as t:  # the next chat knows it
            t.prompt()
            t.say("\x1b[A\x1b[A\x1b[A")
            assert f.texts() == [("user", "hello")]
        before = state.read_bytes()
        with Terminal("--url", f.url, "--no-history", home=tmp_path) as t:
            t.prompt()
            t.say("secret")
            t.type("\x04")
            assert t.wait() == 0
        assert state.read_bytes() == before


def test_a_paste_is_one_message(tmp_path):
    with Fake() as f, Terminal("--url", f.url, home=tmp_path, env={"NO_COLOR": None}) as t:
        t.expect(rb"> |>\x1b\[0m ")
        t.type("\x1b[200~a\r\tb\x1b[201~\r")
        t.expect(rb"answer 1")
        assert f.texts() == [("user", "a\n\tb")]
        t.expect(rb"\x1b\[2m\[2 tokens")  # dim


def test_commands(tmp_path):
    with Fake() as f, Terminal("--url", f.url, home=tmp_path) as t:
        t.prompt()
        assert "/system" in t.say("/help")
        assert 'did you mean /system?' in t.say("/sytem x")
        t.say("/system Be brief.")
        t.say("/params temperature=0.5 max_tokens=10 stop=\"a b\"")
        t.say("Hi")
        assert f.texts() == [("system", "Be brief."), ("user", "Hi")]
        asked = f.asked[-1]
        assert (asked["temperature"], asked["max_tokens"], asked["stop"]) == (0.5, 10, "a b")
        assert asked["stream"] and asked["stream_options"] == {"include_usage": True}
        assert asked["model"] == "fake/model"
        assert 'did you mean "temperature"?' in t.say("/params temprature=1")
        assert "from 0 to 2" in t.say("/params temperature=3")
        t.say("/params temperature=")
        t.say("More")
        assert "temperature" not in f.asked[-1]
        assert f.texts()[1:] == [("user", "Hi"), ("assistant", "answer 1"), ("user", "More")]
        t.say("/retry")
        assert f.texts() == f.texts(-2)
        t.say("/undo")
        t.say("Other")
        assert f.texts()[1:] == [("user", "Hi"), ("assistant", "answer 1"), ("user", "Other")]
        t.say("/reset")
        t.say("New")
        assert f.texts() == [("system", "Be brief."), ("user", "New")]
        t.say(" /reset")  # a message: there is a blank in front
        assert f.texts()[-1] == ("user", " /reset")
        t.type("/quit\r")
        assert t.wait() == 0


def test_save_and_load(tmp_path):
    file = tmp_path / "talk.json"
    with Fake() as f, Terminal("--url", f.url, home=tmp_path) as t:
        t.prompt()
        t.say("Hi")
        t.say("/save ~/talk.json")
        first = file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        t.say("More")
        assert "is there already" in t.say(f"/save {file}") and file.read_bytes() == first
        t.say(f"/save! {file}")
        assert len(json.loads(file.read_text())["messages"]) == 4
        assert sorted(p.name for p in tmp_path.iterdir()) == ["state", "talk.json"]  # nothing left beside it
        assert "cannot write" in t.say(f"/save {tmp_path}/no/such/folder")
        t.say("/reset")
        t.say(f"/load {file}")
        t.say("Again")
        assert len(f.texts()) == 5
        file.write_text('{"messages": [{"role": "wizard", "content": "x"}]}')
        assert "wizard" in t.say(f"/load {file}")
        t.say("Still")
        assert len(f.texts()) == 7  # what was there is there


def test_the_models_text_cannot_steer_the_terminal(tmp_path):
    hostile = "a\x1b]0;title\x07b\x9b31mc\x7fd\u202ee\r\nf\rg"
    split = "x東y".encode()
    raw = b'data: {"choices":[{"index":0,"delta":{"content":"' + split + b'"}}]}\n\n'
    cut = raw.index("東".encode()) + 1

    def answer_raw(h):
        h.stream(raw[:cut], raw[cut:], event(hostile, "stop"), DONE)

    with Fake(answer_raw) as f:
        with Terminal("--url", f.url, home=tmp_path, env={"TERM": "dumb"}) as t:
            t.prompt()
            shown = t.say("Hi")
            assert "x東ya\\x1b]0;title\\x07b\\x9b31mc\\x7fd\\u202ee\r\nf\\x0dg" in shown
            t.say("/save talk.json")
        # What is kept, and what a pipe gets, is the text itself.
        assert json.loads((tmp_path / "talk.json").read_text())["messages"][-1]["content"] == "x東y" + hostile
        f.script.append(answer_raw)
        assert answer("--url", f.url, data=b"Hi") == "x東y" + hostile + "\n"


def test_ctrl_c_keeps_what_was_answered(tmp_path):
    def hang(h):
        h.stream(event("partial"))
        h.until_left()

    def silent(h):
        h.begin()
        h.until_left()

    with Fake(hang, silent) as f, Terminal("--url", f.url, home=tmp_path) as t:
        t.prompt()
        t.type("Hi\r")
        t.expect(rb"partial")
        t.type("\x03")
        t.expect(rb"stopped\]")
        t.prompt()
        assert f.left.wait(WAIT_S)
        f.left.clear()
        t.type("Next\r")  # stopped before the first word: as if never asked
        end = time.monotonic() + WAIT_S
        while len(f.asked) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        t.type("\x03")
        t.expect(rb"before the first word")
        t.prompt()
        assert f.left.wait(WAIT_S)
        t.say("Last")
        assert f.texts() == [("user", "Hi"), ("assistant", "partial"), ("user", "Last")]


def refusal(status, message, code=None):
    return lambda h: h.reply(status, {"error": {"message": message, "type": "x", "param": None, "code": code}})


def test_what_a_server_refuses(tmp_path):
    full = refusal(400, "This model's maximum context length is 8 tokens", "context_length_exceeded")

    def cut(h):
        h.stream(event("half of"))

    with Fake(full, refusal(401, "bad key"), refusal(404, "no such model"), refusal(400, "no chat template"),
              cut) as f, Terminal("--url", f.url, home=tmp_path) as t:
        t.prompt()
        shown = t.say("Long")
        assert "maximum context length" in shown and "/reset" in shown
        assert "INFERD_API_KEY" in t.say("Hi")
        assert "no such model" in t.say("Hi")
        assert "no chat template" in t.say("Hi")
        assert "middle of the answer" in t.say("Hi")
        t.say("Good")
        assert f.texts() == [("user", "Good")]  # failed turns are taken out again
        f.stop()
        assert "cannot reach" in t.say("Hi")
        t.type("\x04")
        assert t.wait() == 0


def test_a_narrow_window_and_a_long_line(tmp_path):
    text = "word " * 40 + "end"
    with Fake() as f, Terminal("--url", f.url, home=tmp_path, columns=20) as t:
        t.prompt()
        t.type(text + "\x01first \x05\r")  # to the beginning, and back
        t.expect(rb"answer 1")
        assert f.texts() == [("user", "first " + text)]


def test_words_are_not_cut_by_the_window(tmp_path):
    words = "an answer of words that have no place in one line of a window as narrow as this".split()

    def tell(h):
        h.stream(*[event(piece) for piece in re.findall("..?.?", " ".join(words))], event(finish="stop"), DONE)

    with Fake(tell) as f, Terminal("--url", f.url, home=tmp_path, columns=30) as t:
        t.prompt()
        shown = t.say("Hi")
        # As the terminal has it: a word's begin is taken back, and written again in the next line.
        while found := re.search(r"\x1b\[(\d+)D\x1b\[K", shown):
            shown = shown[:found.start() - int(found.group(1))] + shown[found.end():]
        lines = [line.strip() for line in shown.replace("\r", "").split("\n")]
        told = lines[lines.index("Hi") + 1:next(i for i, line in enumerate(lines) if line.startswith("["))]
        assert " ".join(told).split() == words and len(told) == 3 and max(map(len, told)) < 30, told
    with Fake(tell) as f:  # what a pipe gets is the text itself
        assert answer("--url", f.url, data=b"Hi") == " ".join(words) + "\n"


def test_speed_is_told_where_it_can_be_measured(tmp_path):
    def at_once(h):
        h.begin()
        h.wfile.write(event("a") + event("b") + event("c", "stop") + DONE)

    def in_time(h):
        h.begin()
        for i in range(5):
            h.wfile.write(event(f"{i} "))
            time.sleep(0.1)  # what is measured
        h.wfile.write(event(finish="stop") + DONE)

    with Fake(at_once, in_time) as f, Terminal("--url", f.url, home=tmp_path) as t:
        t.prompt()
        assert re.search(r"\[about 3 tokens, first token \d+ ms\]", t.say("Hi"))
        speed = re.search(r"\[about 5 tokens, ([\d.]+) tokens/s", t.say("Hi"))
        assert 1 < float(speed.group(1)) < 12, speed


def test_why_an_answer_was_cut(tmp_path):
    def cut(prompt, completion):
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        return lambda h: h.stream(event("x", "length"), b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n", DONE)

    with Fake(cut(90, 10), cut(96, 4), cut(50, 7)) as f:
        f.models["data"][0]["max_model_len"] = 100
        with Terminal("--url", f.url, home=tmp_path) as t:
            t.prompt()
            t.say("/params max_tokens=10")
            assert "cut at max_tokens]" in t.say("Hi")
            assert re.search("the context is full.*/reset", t.say("Hi"))
            t.say("/params max_tokens=")
            assert "cut at the server's limit]" in t.say("Hi")


def test_whose_key_was_refused(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("file-key\n")
    needed = refusal(401, 'An API key is needed: send "Authorization: Bearer KEY".')
    with Fake(*[refusal(401, "bad key")] * 4, needed) as f:
        for args, env, source in (([], {"OPENAI_API_KEY": "k"}, "OPENAI_API_KEY"), ([], {"INFERD_API_KEY": "k"}, "INFERD_API_KEY"),
                                  (["--api-key", "k"], {}, "--api-key"), (["--api-key-file", keys], {}, str(keys))):
            said = failure(1, "--url", f.url, *args, env=env)
            assert f"bad key (HTTP 401) (the key comes from {source})" in said, said
        said = failure(1, "--url", f.url)
        assert "wants an API key" in said and "--api-key-file FILE" in said and "Bearer" not in said, said


def test_names_of_commands(tmp_path):
    with Fake() as f, Terminal("--url", f.url, home=tmp_path) as t:
        t.prompt()
        shown = t.say("/help")
        assert "/exit" in shown and "/bye" in shown and "Tab" in shown
        t.say("/par\ttempe\t0.5")
        t.say("Hi")
        assert f.asked[-1]["temperature"] == 0.5
        t.type("/re\t")
        t.expect(rb"reset  retry")
        t.say("set")
        t.say("Hi")
        assert f.texts() == [("user", "Hi")]
        t.type("/bye\r")
        assert t.wait() == 0


def test_the_system_s_message_is_none_of_a_turn(tmp_path):
    with Fake() as f, Terminal("--url", f.url, "--system", "Be kind.", home=tmp_path) as t:
        t.prompt()
        t.say("Hi")
        t.say("More")
        assert "4 messages and the system's written to" in t.say("/save talk.json")
        assert "2 messages are left]" in t.say("/undo")
        assert "0 messages are left]" in t.say("/undo")
        assert "4 messages and the system's read from" in t.say("/load talk.json")


def test_params_says_what_counts(tmp_path):
    with Fake() as f:
        with Terminal("--url", f.url, home=tmp_path) as t:
            t.prompt()
            shown = t.say("/params")
            assert re.search("max_completion_tokens.*of both, inferd takes this", shown) and "(" not in shown
            assert re.search(r"temperature +- ", shown) and "-: the server's choice" in shown
        f.models["data"][0]["default_sampling_params"] = {"temperature": 0.3, "top_p": 9, "top_k": "\x1b[2J", "max_tokens": None, "new": 1}
        with Terminal("--url", f.url, home=tmp_path) as t:
            t.prompt()
            t.say("/params seed=5")
            shown = t.say("/params")
            assert re.search(r"temperature +\(0\.3\) ", shown) and re.search(r"seed +5 ", shown), shown
            assert re.search(r"top_p +- ", shown) and re.search(r"top_k +- ", shown)  # what can be none is not believed
            assert "(...): the server's choice" in shown
            t.say("Hi")
            assert "temperature" not in f.asked[-1]


def test_what_is_typed_during_an_answer_stays(tmp_path):
    def hang(h):
        h.stream(event("partial"))
        h.until_left()

    with Fake(hang) as f, Terminal("--url", f.url, home=tmp_path) as t:
        t.prompt()
        t.type("Hi\r")
        t.expect(rb"partial")
        t.type("typed ahead")
        t.type("\x03")
        t.expect(rb"stopped\]")
        t.expect(rb"typed ahead")
        t.say(" and on")
        assert f.texts()[-1] == ("user", "typed ahead and on")


def test_ctrl_c_while_the_model_loads(tmp_path):
    """The tokenizer is a pipe that nobody writes: loading waits there for ever."""
    model = tmp_path / "slow"
    model.mkdir()
    for file in STORIES.iterdir():
        if file.name != "tokenizer.json":
            (model / file.name).symlink_to(file)
    os.mkfifo(model / "tokenizer.json")
    with Terminal(model, home=tmp_path) as t:
        end = time.monotonic() + WAIT_S
        while not children(t.process.pid):
            assert time.monotonic() < end
            time.sleep(0.01)
        t.type("\x03")
        assert t.wait() == 130
        assert re.search(rb"\r\x1b\[Kinferd chat: interrupted\r\n$", t.seen), t.seen


# --- pipes -------------------------------------------------------------------------------------------------

def test_a_pipe_gets_the_answer_alone(stories):
    args = ["--url", stories.url, "--temperature", 0, "--max-tokens", 12]
    body = {"messages": [{"role": "user", "content": "Once\nupon"}], "temperature": 0, "max_tokens": 12}
    status, expected = stories.post("/v1/chat/completions", body)
    assert status == 200
    text, n = expected["choices"][0]["message"]["content"], expected["usage"]["completion_tokens"]
    assert n == 12 or not IS_STORIES
    assert answer(*args, data=b"Once\nupon\n").rstrip("\n") == text.rstrip("\n")
    assert answer(*args, "-p", "Once\nupon") == answer(*args, data=b"Once\nupon")
    done = chat(*args, "--stats", data=b"Once\nupon")
    assert done.returncode == 0 and re.fullmatch(rb"\[%d tokens, .*first token \d+ ms.*\]\n" % n, done.stderr), done


def test_a_pipe_with_a_server_of_its_own():
    assert answer(*OWN, "--max-tokens", 8, data=b"Once upon a time\n").strip()


def test_lines_are_turns():
    with Fake() as f:
        assert answer("--url", f.url, "--lines", data=b"one\n\ntwo") == "answer 1\nanswer 2\n"
        assert f.texts() == [("user", "one"), ("assistant", "answer 1"), ("user", "two")]


def test_addresses_and_keys(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# a comment\n file-key \n")
    with Fake() as f:
        for url in (f.url, f.url + "/", f.url + "/v1", f.url + "/v1/"):
            assert answer("--url", url, "-p", "x").startswith("answer")
        assert "Authorization" not in f.headers[-1]
        for args, env, key in (([], {"INFERD_API_KEY": "a,b"}, "a"), ([], {"OPENAI_API_KEY": "o"}, "o"),
                               (["--api-key-file", keys], {"INFERD_API_KEY": "a"}, "file-key")):
            answer("--url", f.url, "-p", "x", *args, env=env)
            assert f.headers[-1]["Authorization"] == f"Bearer {key}"
        answer("--url", f.url, "-p", "x", "--model", "other")
        assert f.asked[-1]["model"] == "other"


def test_a_reader_that_leaves_is_no_error():
    def long(h):
        try:
            h.stream(*[event("text " * 1000)] * 5000)
        except OSError:
            pass

    with Fake(long) as f:
        p = subprocess.Popen([BINARY, "chat", "--url", f.url, "-p", "x"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=CLEAN)
        assert p.stdout.read(10)
        p.stdout.close()
        assert (p.stderr.read(), p.wait(WAIT_S)) == (b"", 0)
        p.stderr.close()


HOSTILE = {
    "not json": (lambda h: h.stream(b"data: {nope\n\n"), "not JSON"),
    "no event": (lambda h: h.stream(b"data: 17\n\n"), "none of a chat's"),
    "error": (lambda h: h.stream(event("a"), b'data: {"error":{"message":"on fire\\u001b[2J"}}\n\n'), "on fire"),
    "cut": (lambda h: h.stream(event("a")), "middle of the answer"),
    "empty": (lambda h: h.begin(), "middle of the answer"),
    "html": (lambda h: h.reply(200, b"<html>", "text/html"), "OpenAI-compatible"),
    "redirect": (lambda h: h.reply(302, b""), "redirect"),
    "500": (lambda h: h.reply(500, b"oops"), "HTTP 500"),
    "endless line": (lambda h: h.stream(b"data: " + b"x" * (3 << 20)), "no end"),
    "endless refusal": (lambda h: h.reply(500, b"x" * (1 << 20)), ""),
    "deep": (lambda h: h.stream(b"data: " + b"[" * 5000 + b"\n\n"), "not JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_server_that_misbehaves(name):
    def act(h):
        try:
            HOSTILE[name][0](h)
        except OSError:
            h.close_connection = True  # the client has seen enough

    with Fake(act) as f:
        said = failure(1, "--url", f.url)
        assert HOSTILE[name][1] in said and said.startswith("inferd chat: ") and said.count("\n") == 1
        assert "\x1b" not in said


def test_wrong_usage_and_what_cannot_start(tmp_path):
    assert 'did you mean --temperature?' in failure(2, "--temprature", "1")
    assert "from 0 to 2" in failure(2, "--temperature", "9")
    assert "beside --url" in failure(2, STORIES, "--url", "http://127.0.0.1:1")
    assert "--url" in failure(2, "--url", "ftp://x")
    assert "write --url in front of it" in failure(2, "http://127.0.0.1:8011")
    assert "cannot reach http://127.0.0.1:1" in failure(1, "--url", "127.0.0.1:1")
    assert "cannot be set here" in failure(2, STORIES, "--port", "80")
    assert "cannot reach" in failure(1, "--url", "http://127.0.0.1:1")
    assert "empty" in failure(1, STORIES, data=b"")
    assert "UTF-8" in failure(1, *OWN, data=b"\xff")
    no_model = failure(1, tmp_path)
    assert str(tmp_path) in no_model and "ended with exit status" in no_model
    assert "--url" in chat("--help").stdout.decode()


def test_a_server_without_a_chat_template(tmp_path):
    assert "template" in failure(1, bare_model(tmp_path), "--max-num-seqs", "4")


# --- serve --ready-fd -----------------------------------------------------------------------------------------

def test_ready_fd():
    read, write = os.pipe()
    p = subprocess.Popen([BINARY, "serve", STORIES, "--port", "0", "--ready-fd", str(write)], pass_fds=[write],
                         stderr=subprocess.PIPE)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", pipe.read())
    p.send_signal(signal.SIGTERM)
    assert b"inferd ready" not in p.stderr.read() and p.wait(WAIT_S) == 0
    p.stderr.close()
    for fd in ("77", "2"):  # not open; the log's
        done = subprocess.run([BINARY, "serve", STORIES, "--ready-fd", fd], capture_output=True, timeout=60 * SLOW)
        assert done.returncode == 2 and b"--ready-fd" in done.stderr


def test_ready_fd_that_is_standard_output():
    """Its number is nobody else's afterwards."""
    p = subprocess.Popen([BINARY, "serve", STORIES, "--port", "0", "--ready-fd", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        port = int(re.fullmatch(rb"http://127\.0\.0\.1:(\d+)\n", p.stdout.read())[1])
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as s:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200")
            assert os.readlink(f"/proc/{p.pid}/fd/1") == "/dev/null"
    finally:
        p.terminate()
        p.stdout.close()
    assert p.wait(WAIT_S) == 0
