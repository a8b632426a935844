"""`inferd tokenize` and `inferd render`: what they print, and what they say when they cannot.  Ids
are held against PyPI tokenizers, prompts against the server's own render endpoint."""

import json
import os
import random
import resource
import subprocess

import jinja2
import pytest
import tokenizers

from harness import BINARY, CHATML, CONTEXT, ROOT, SANITIZED, SHARED, SLOW, STORIES
from ops import WORDS, bare_model

FAMILIES = SHARED / "data/tokenizers"
DIRS = [STORIES, *(pytest.param(FAMILIES / name, marks=pytest.mark.shared)
                   for name in ("gpt-2", "llama-1-vicuna", "phi-3-mini"))]
TEXTS = ["Once upon a time", "", " a  b\n\n\tc ", "naïve 東京 👩‍👩‍👧 \u0301\u200d", "nul\0byte", "\x01\x7f\u2028\ufeff", "<s></s>",
         "a\r\nb\rc", '"\\/', "x" * 5000, "<|endoftext|> <unk>", "\U0010ffff\uffff"]
MESSAGES = [{"role": "user", "content": "Tell me a story. 🙂"}]


def inferd(*args, data=b"", **kw):
    if isinstance(data, str):
        data = data.encode()
    return subprocess.run([BINARY, *map(str, args)], input=data, capture_output=True, timeout=120 * SLOW, **kw)


def output(*args, data=b""):
    done = inferd(*args, data=data)
    assert done.returncode == 0 and done.stderr == b"", done
    return done.stdout


def failure(code, *args, data=b"", **kw):
    done = inferd(*args, data=data, **kw)
    assert done.returncode == code, done
    command, _, message = done.stderr.decode().partition(": ")
    assert command == f"inferd {args[0]}" and message.endswith("\n") and message.count("\n") == 1, done.stderr
    return message


def reference(folder):
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


# --- tokenize ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("folder", DIRS, ids=lambda d: d.name)
def test_a_text_becomes_an_array_of_ids(folder):
    ref = reference(folder)
    for text in TEXTS:
        assert json.loads(output("tokenize", folder, data=text)) == ref.encode(text).ids
        without = ref.encode(text, add_special_tokens=False).ids
        assert json.loads(output("tokenize", folder, "--no-special", data=text)) == without


@pytest.mark.parametrize("folder", DIRS, ids=lambda d: d.name)
def test_lines(folder):
    ref = reference(folder)
    for ascii in (True, False):
        data = "".join(json.dumps(t, ensure_ascii=ascii) + "\n" for t in TEXTS)
        answers = output("tokenize", folder, "--lines", data=data).decode().split("\n")[:-1]
        assert [json.loads(a) for a in answers] == [ref.encode(t).ids for t in TEXTS]
    # The last line needs no newline; white space around is none of the text.
    assert output("tokenize", folder, "--lines", data=' "a" \r\n"b"').count(b"\n") == 2
    assert output("tokenize", folder, "--lines") == b""


@pytest.mark.parametrize("folder", DIRS, ids=lambda d: d.name)
def test_detokenize(folder):
    ref, rng = reference(folder), random.Random(7)
    lists = [[], *[ref.encode(t).ids for t in TEXTS]]
    lists += [[rng.randrange(ref.get_vocab_size()) for _ in range(rng.randrange(1, 40))] for _ in range(30)]
    for args, skip in ((["--detokenize"], False), (["--detokenize", "--skip-special"], True)):
        expected = [ref.decode(ids, skip_special_tokens=skip) for ids in lists]
        data = "".join(json.dumps(ids) + "\n" for ids in lists)
        got = output("tokenize", folder, "--lines", *args, data=data).decode().split("\n")[:-1]
        assert [json.loads(line) for line in got] == expected
        for ids, text in list(zip(lists, expected))[:6]:
            assert output("tokenize", folder, *args, data=json.dumps(ids, indent=1)) == text.encode()


def test_there_and_back_through_a_pipe(tmp_path):
    if SHARED.is_dir():
        text = (SHARED / "data/text/tinyshakespeare").rglob("*")
        text = max((f for f in text if f.is_file()), key=lambda f: f.stat().st_size).read_bytes()
    else:
        text = b"".join(f.read_bytes() for f in sorted((ROOT / "server").glob("*.c")))
    text = text[:300_000].decode(errors="ignore").encode()
    (tmp_path / "text").write_bytes(text)
    command = f"'{BINARY}' tokenize {WORDS} --no-special < text | '{BINARY}' tokenize {WORDS} --detokenize"
    assert subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True).stdout == text


def test_answers_come_before_more_is_asked():
    """Usable as a co-process: one line at a time, each answered before the next is sent."""
    process = subprocess.Popen([BINARY, "tokenize", STORIES, "--lines"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ref = reference(STORIES)
    for text in TEXTS * 3:
        process.stdin.write(json.dumps(text).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == ref.encode(text).ids
    # Half a line is waited for; several at once are all answered.
    process.stdin.write(b'"a"\n"b"\n"c')
    process.stdin.flush()
    assert [json.loads(process.stdout.readline()) for _ in "ab"] == [ref.encode(t).ids for t in "ab"]
    process.stdin.write(b'd"\n')
    process.stdin.close()
    assert json.loads(process.stdout.read()) == ref.encode("cd").ids
    assert process.wait(20 * SLOW) == 0


@pytest.mark.parametrize("data,at", [(b"\xff", 0), (b"ab\xc3", 2), (b"caf\xc3\xa9 \xed\xa0\x80", 6), (b"x\xc0\x80", 1),
                                     (b"a" * 70_000 + b"\xf4\x90\x80\x80", 70_000)])
def test_text_that_is_no_utf8_is_refused_where_it_is_wrong(data, at):
    assert f"not valid UTF-8 at byte {at} " in failure(1, "tokenize", STORIES, data=data)


@pytest.mark.parametrize("line,words", [
    ("abc", "no opening quote at byte 0"), ("", "no opening quote"), ('"abc', "no closing quote at byte 4"),
    ('"a" "b"', "more text after the string at byte 3"), ('"\\x"', "unknown escape at byte 1"),
    ('"\\ud800"', "lone surrogate at byte 1"), ('"\\ud800\\u0041"', "lone surrogate"), ('"\\udc00"', "lone surrogate"),
    ('"\\u12g4"', "four hexadecimal digits at byte 1"), ('"\\', "escape"), ('"a\tb"', "control character at byte 2"),
    (b'"\xff"', "invalid UTF-8 at byte 1"), ("[1]", "no opening quote"), ('"\\u12', "four hexadecimal digits"),
])
def test_a_wrong_line_ends_it_and_says_which(line, words):
    line = line if isinstance(line, bytes) else line.encode()
    done = inferd("tokenize", STORIES, "--lines", data=b'"good"\n' + line + b'\n"never"\n')
    assert done.returncode == 1 and done.stdout.count(b"\n") == 1
    message = done.stderr.decode()
    assert message.startswith("inferd tokenize: line 2: not a JSON string: ") and words in message, message


@pytest.mark.parametrize("line", ["", "1", "[1", "[1,]", "[,1]", "[1 2]", "[1.0]", "[1e2]", "[-1]", "[01]", "[2147483648]",
                                  '["1"]', "[[1]]", "[1]]", "[null]", "{}", "[99999999999999999999]"])
def test_wrong_arrays(line):
    assert "byte" in failure(1, "tokenize", STORIES, "--detokenize", data=line)
    assert "line 1: " in failure(1, "tokenize", STORIES, "--detokenize", "--lines", data=line + "\n")


@pytest.mark.parametrize("args,words", [
    ([STORIES, "--nope"], "--help"), ([STORIES, STORIES], "standard input"),
    ([STORIES, "--skip-special"], "--detokenize"), ([STORIES, "--detokenize", "--no-special"], "--skip-special"),
])
def test_wrong_usage(args, words):
    assert words in failure(2, "tokenize", *args)


def test_without_a_model_it_is_the_demo_model(monkeypatch):
    assert output("tokenize", data="Hi") == output("tokenize", ROOT / "models/demo", data="Hi")
    monkeypatch.setenv("INFERD_DEMO_MODEL", "/nowhere")
    message = failure(1, "tokenize", data="Hi")
    assert "inferd tokenize MODEL" in message and "INFERD_DEMO_MODEL is /nowhere" in message


def test_what_cannot_be_read_or_written(tmp_path):
    assert "no such directory" in failure(1, "tokenize", tmp_path / "nope")
    assert "not a directory" in failure(1, "tokenize", STORIES / "config.json")
    assert "tokenizer" in failure(1, "tokenize", tmp_path)
    with open("/dev/full", "wb") as full:
        for args, data in (([], b"abc"), (["--lines"], b'"abc"\n'), (["--detokenize"], b"[403]")):
            done = subprocess.run([BINARY, "tokenize", STORIES, *args], input=data, stdout=full, stderr=subprocess.PIPE)
            assert done.returncode == 1 and b"No space left" in done.stderr
    stdin = os.open(tmp_path, os.O_RDONLY)
    done = subprocess.run([BINARY, "tokenize", STORIES], stdin=stdin, capture_output=True)
    os.close(stdin)
    assert done.returncode == 1 and b"cannot read the standard input" in done.stderr


@pytest.mark.skipif(SANITIZED, reason="sanitizers need more address space than the test allows")
def test_an_input_without_end_is_refused():
    """The bound is a gigabyte; with less memory than that the words are others, and the end as good."""
    limit = (700 << 20,) * 2
    with open("/dev/zero", "rb") as zero:
        done = subprocess.run([BINARY, "tokenize", STORIES], stdin=zero, capture_output=True, timeout=120 * SLOW,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit))
    assert done.returncode == 1 and done.stderr == b"inferd tokenize: no memory for the input\n", done


def test_help():
    for command in ("tokenize", "render"):
        for word in ("--help", "-h"):
            text = output(command, word).decode()
            assert text.startswith(f"usage: inferd {command} [MODEL]") and "Exit status" in text


# --- render ------------------------------------------------------------------------------------------

def render(*args, body, code=None):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    if code is not None:
        return failure(code, "render", *args, data=data)
    return output("render", *args, data=data)


def test_render_prints_the_prompt_and_nothing_else():
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    text = env.from_string(CHATML.read_text()).render(messages=MESSAGES, add_generation_prompt=True)
    args = (STORIES, "--chat-template", CHATML)
    assert render(*args, body={"messages": MESSAGES}) == text.encode()
    ids = reference(STORIES).encode(text, add_special_tokens=False).ids
    assert json.loads(render(*args, "--ids", body={"messages": MESSAGES})) == ids
    assert render("--ids", *args, body={"messages": MESSAGES, "max_tokens": 7}) == render(*args, "--ids", body={
        "messages": MESSAGES})
    for words in (["--log-level", "error", "--ids", STORIES], ["--served-model-name", "a", "--ids", STORIES]):
        assert json.loads(render(*words, "--chat-template", CHATML, body={"messages": MESSAGES})) == ids
    assert "--chat-template needs a value" in failure(2, "render", "--chat-template", "--ids", STORIES)
    assert "--ids" in failure(1, "render", "--", "--ids")  # a directory's name
    # A prompt that does not fit can be looked at; its ids are what the server refuses.
    long = {"messages": [{"role": "user", "content": "word " * 2000}]}
    assert render(*args, body=long).count(b"word") == 2000
    assert f"maximum context length is {CONTEXT} tokens" in render(*args, "--ids", body=long, code=1)


@pytest.mark.shared
def test_render_uses_what_the_directory_has():
    assert render(FAMILIES / "phi-3-mini", body={"messages": [{"role": "user", "content": "Hi"}]}) == \
        b"<|user|>\nHi<|end|>\n<|assistant|>\n"
    ids = render(FAMILIES / "phi-3-mini", "--ids", "--tokenizer", FAMILIES / "llama-1-vicuna", "--chat-template", CHATML,
                 body={"messages": MESSAGES})
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    text = env.from_string(CHATML.read_text()).render(messages=MESSAGES, add_generation_prompt=True)
    assert json.loads(ids) == reference(FAMILIES / "llama-1-vicuna").encode(text, add_special_tokens=False).ids


def test_render_refuses_in_the_server_s_words(stories, tmp_path):
    for body in ({}, {"messages": []}, {"messages": MESSAGES, "nope": 1}, {"messages": MESSAGES, "temperature": 9},
                 "no JSON", "", {"messages": [{"role": "user"}]}):
        expected = stories.post("/v1/chat/completions", body)[1]["error"]["message"]
        assert render(STORIES, "--chat-template", CHATML, body=body, code=1) == expected + "\n"
    assert "Give one by --chat-template FILE" in render(bare_model(tmp_path), body={"messages": MESSAGES}, code=1)
    big = json.dumps({"messages": MESSAGES}) + " " * 5000
    assert "limit of 4096 bytes" in render(STORIES, "--chat-template", CHATML, "--max-body-size", "4K", body=big, code=1)


def test_render_wrong_usage(monkeypatch):
    monkeypatch.setenv("INFERD_DEMO_MODEL", "/nowhere")  # else the demo model's template is used
    assert "no model given" in failure(1, "render")
    assert "max-model-len" in failure(2, "render", STORIES, "--max-model-lem", "5")
    assert "no such directory" in failure(1, "render", "/nope", data="{}")
    assert "inferd render DIR" in failure(1, "render")
    assert "inferd render --help" in failure(2, "render", STORIES, "--qqqqqq")
    assert "inferd render takes one" in failure(2, "render", STORIES, "/other")
    message = failure(1, "render", STORIES / "config.json")
    assert "the tokenizer's files" in message and "safetensors" not in message
    assert "--tokenizer: /nope: no such directory" in failure(1, "render", STORIES, "--tokenizer", "/nope")
    message = failure(1, "render", STORIES, "--tokenizer", STORIES / "tokenizer.json")
    assert "tokenizer.json is not a directory: give the directory that holds" in message


def test_render_takes_what_only_shapes_the_prompt(tmp_path):
    """Whatever the request calls the model, there is one; tools reach the template."""
    body = {"messages": MESSAGES, "model": "gpt-4o", "tool_choice": "required", "tools": [{"type": "function"}]}
    (tmp_path / "t.jinja").write_text("{{ tools|length }}")
    assert render(STORIES, "--chat-template", tmp_path / "t.jinja", body=body) == b"1"
    assert "functions" in render(STORIES, "--chat-template", CHATML, body={**body, "functions": [{}]}, code=1)


def test_render_says_which_way_a_template_failed(tmp_path):
    body, file = {"messages": MESSAGES}, tmp_path / "t.jinja"
    for text, words in (("{{ raise_exception('no way') }}", "The chat template refused the messages: no way"),
                        ("{{ 1 / 0 }}", "The chat template failed: line 1, column "),
                        ("{% for m in messages %}{% endif %}", "expected 'endfor' or 'else'")):
        file.write_text(text)
        assert words in render(STORIES, "--chat-template", file, body=body, code=1)


def test_render_of_a_model_that_is_not_run(tmp_path):
    """No word about it; but lengths that are none are refused."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((STORIES / name).read_bytes())
    config = {"architectures": ["Other"], "model_type": "other", "max_position_embeddings": 77}
    for length, words in ((77, None), ("x", "config.json: max_position_embeddings must be an integer, not a string")):
        (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": length}))
        args = (tmp_path, "--chat-template", CHATML)
        if words:
            assert words in render(*args, body={"messages": MESSAGES}, code=1)
        else:
            assert render(*args, body={"messages": MESSAGES})


def test_help_of_a_command():
    for command in ("serve", "render", "render-server", "tokenize", "bench"):
        assert output("help", command) == output(command, "--help")
    assert output("help", "help") == output("help")
    done = inferd("help", "nope")
    assert done.returncode == 2 and b'no command "nope"' in done.stderr
