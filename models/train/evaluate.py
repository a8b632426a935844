"""The demo model's accuracy on questions that it was not trained on, through the HTTP API: `make demo-eval`.

Starts `inferd serve` once for each precision, asks every kind of question at temperature 0, and prints one table.  What is held
out is decided by the question's contents (corpus/sample.py); facts are held out by their wording; small talk is asked as trained.  Tools are given to
/v1/chat/completions/render and its ids to /v1/completions.
"""
import argparse
import concurrent.futures
import http.client
import json
import pathlib
import random
import re
import subprocess
import sys
import zlib

import jsonschema

from corpus import arithmetic, language, stories, structured
from corpus.sample import ALWAYS_TRAINED
from corpus.tables import GROUPS

OVERLAP = pathlib.Path(__file__).parent / "overlap.json"  # what the training says in some form: overlap.py
PRECISIONS = {"bf16": [], "int8": ["--quantization", "int8"], "int8, int8 KV": ["--quantization", "int8", "--kv-cache-dtype", "int8"],
              "int4": ["--quantization", "int4"]}


def digits(n, make):
    """Two operands of n digits each."""
    def one(rng):
        while True:
            s = make(rng)
            if s.kind != "steps" and all(len(x) == n for x in s.key.split()[1:]) and int(s.answer.split("=")[1]) >= 0:
                return s
    return one


def of_kind(kind, make):
    def one(rng):
        while True:
            s = make(rng)
            if s.kind == kind:
                return s
    return one


def steps(rng):
    return of_kind("steps", lambda r: (arithmetic.addition if r.random() < 0.5 else arithmetic.subtraction)(r))(rng)


# --- what is right -------------------------------------------------------------------------------
def exact(s, answer):
    return answer == s.answer


def last_number(s, answer):
    """The result, however it is worded."""
    found = re.findall(r"-?\d+", answer)
    return bool(found) and found[-1] == re.findall(r"-?\d+", s.answer)[-1]


def valid_json(s, answer):
    try:
        jsonschema.validate(json.loads(answer), {**s.schema, "additionalProperties": False})
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


def same_json(s, answer):
    return valid_json(s, answer) and json.loads(answer) == json.loads(s.answer)


def same_call(s, answer):
    found = re.fullmatch(r"<tool_call>(.*)</tool_call>", answer)
    try:
        return bool(found) and json.loads(found.group(1)) == s.call
    except ValueError:
        return False


def same_form(s, answer):
    """As many members of the group as asked for, each once, in the form of the expected answer."""
    group = GROUPS[s.key.split()[2]]
    expected, got = re.findall(r"[A-Za-z]+", s.answer), re.findall(r"[A-Za-z]+", answer)
    shape = lambda text: re.sub(r"[a-z]+|[A-Z]+", lambda m: "W" if m.group().isupper() else "w", text)
    return len(expected) == len(got) == len(set(got)) and all(w.lower() in group for w in got) and shape(answer) == shape(s.answer)


def admits(s, answer):
    return answer.startswith("I do not know")


def one_of_answers(s, answer):
    return any(answer in a for q, a in language.TALK if any(x.rstrip(".!?").lower() == s.user.rstrip(".!?").lower() for x in q))


def tells(s, answer):
    """A story of several sentences, with the one whose name was asked for, that comes to an end."""
    name = re.search(r"(?:about|and) ([A-Z][a-z]+)", s.user)
    return answer.count(".") >= 6 and answer.rstrip('"')[-1:] in ".!" and (not name or name.group(1) in answer)


KINDS = [
    ("addition, 2 digits", digits(2, arithmetic.addition), last_number), ("addition, 3 digits", digits(3, arithmetic.addition), last_number),
    ("subtraction, 2 digits", digits(2, arithmetic.subtraction), last_number),
    ("subtraction, 3 digits", digits(3, arithmetic.subtraction), last_number), ("sum or difference with its steps", steps, exact),
    ("word problem", arithmetic.word_problem, exact), ("multiplication table", arithmetic.table, exact),
    ("comparison", arithmetic.compare, exact), ("counting", arithmetic.counting, exact), ("sorting", arithmetic.sorting, exact),
    ("spelling", of_kind("spelling", language.spelling), exact), ("capitals", of_kind("capital", language.capital), exact),
    ("other facts", lambda r: random.Random(r.random()).choice([language.animal_fact, language.order_fact, language.word_fact])(r), exact),
    ("format asked for", language.formatted, same_form), ("text rewritten", language.rewritten, exact),
    ("JSON: valid for the schema", structured.json_answer, valid_json), ("JSON: right values", structured.json_answer, same_json),
    ("tool: right name and arguments", structured.tool_call, same_call),
    ("tool: the same, of a name without meaning", structured.opaque_call, same_call), ("says that it does not know", language.unknown, admits),
    ("recalls an earlier turn", of_kind("memory", language.introduction), exact), ("follows the system prompt", language.persona, exact),
    ("small talk (trained on)", language.small_talk, one_of_answers), ("story", stories.story, tells),
]


# --- the API -------------------------------------------------------------------------------------
class Api:
    def __init__(self, port):
        self.port = port

    def post(self, path, body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            r = c.getresponse()
            data = r.read()
            if r.status != 200:
                raise SystemExit(f"{path}: {r.status} {data.decode(errors='replace')[:400]}")
            return json.loads(data)
        finally:
            c.close()

    def answer(self, s):
        messages = s.messages()
        first = next(i for i, m in enumerate(messages) if m["role"] == "user" and m["content"] == s.user)
        asked = {"messages": messages[:first + 1]}
        limits = {"temperature": 0, "max_tokens": 400}
        if not s.tools:
            return self.post("/v1/chat/completions", {**asked, **limits})["choices"][0]["message"]["content"]
        ids = self.post("/v1/chat/completions/render", {**asked, "tools": s.tools})["token_ids"]
        return self.post("/v1/completions", {"prompt": ids, **limits})["choices"][0]["text"]


class Server:
    def __init__(self, binary, model, options):
        self.process = subprocess.Popen([binary, "serve", model, "--port", "0", "--no-log-requests", *options], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            found = re.search(r"inferd ready: http://\S*?:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                break
        else:
            raise SystemExit(f"{binary} serve {model} did not start")

    def __enter__(self):
        return Api(self.port)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.stderr.read()
        self.process.wait()


def identity(s):
    """A number for the question, the same in every run."""
    return zlib.crc32(f"{s.user}|{s.before}|{json.dumps(s.tools)}|{s.system}".encode())


def questions(name, make, n):
    """At most n different ones."""
    rng, out = random.Random(name.split(":")[0]), {}
    for _ in range(40 * n):
        s = make(rng)
        if s.held_out or s.kind in ALWAYS_TRAINED:
            out.setdefault((s.user, str(s.before), str(s.tools), s.system), s)
        if len(out) == n:
            break
    return list(out.values())


def measure(api, n, shown, asked):
    """Share of right answers for each kind; `asked` gets how many questions that was."""
    out, seen = {}, json.loads(OVERLAP.read_text())
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for name, make, right in KINDS:
            samples = [s for s in questions(name, make, n) if identity(s) not in set(seen[name])]
            asked[name] = len(samples)
            answers = list(pool.map(api.answer, samples))
            hits = [right(s, a) for s, a in zip(samples, answers)]
            out[name] = sum(hits) / len(hits)
            print(f"  {name}: {100 * out[name]:.1f} %", file=sys.stderr, flush=True)
            for s, a, _ in [x for x in zip(samples, answers, hits) if not x[2]][:shown]:
                print(f"    {s.user!r} -> {a!r}, not {s.call or s.answer!r}", file=sys.stderr)
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--binary", default="build/inferd")
    p.add_argument("--model", default="models/demo")
    p.add_argument("-n", type=int, default=400, help="questions of each kind (%(default)s)")
    p.add_argument("--show", type=int, default=0, metavar="N", help="print N wrong answers of each kind")
    p.add_argument("--only", choices=list(PRECISIONS), help="one precision instead of all")
    p.add_argument("--json", type=pathlib.Path, help="write the figures there too")
    a = p.parse_args()
    table, asked = {}, {}
    for label, options in PRECISIONS.items():
        if a.only in (None, label):
            print(label, file=sys.stderr)
            with Server(a.binary, a.model, options) as api:
                table[label] = measure(api, a.n, a.show, asked)
    print("| right, % | asked | " + " | ".join(table) + " |")
    print("|---|---|" + "---|" * len(table))
    for name, _, _ in KINDS:
        print(f"| {name} | {asked[name]} | " + " | ".join(f"{100 * t[name]:.1f}" for t in table.values()) + " |")
    if a.json:
        a.json.write_text(json.dumps({"n": a.n, "asked": asked, "right": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
