"""One tokenizer, inferd's and the reference's, over texts and ids."""
import array
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

from . import texts
from .reference import ReferenceFailed, guarded

EXIT_REFUSED = 3


class Mismatch(Exception):
    """Ours and theirs differ."""


class Refused(Exception):
    """inferd does not load this tokenizer; the message is its own."""


class Tokcat:
    """A run of tokcat: requests are collected, sent by start(), answers come from finish()."""

    def __init__(self, program, path):
        self.program, self.path = program, path
        self.requests = tempfile.TemporaryFile()
        self.answers = tempfile.TemporaryFile()
        self.errors = tempfile.TemporaryFile()
        self.n = 0

    def ask(self, op, payload):
        self.requests.write(op + struct.pack("<I", len(payload)) + payload)
        self.n += 1

    def start(self):
        self.requests.seek(0)
        self.process = subprocess.Popen(
            [self.program, str(self.path)], stdin=self.requests, stdout=self.answers, stderr=self.errors
        )

    def finish(self):
        """[(done, payload)], one for each request."""
        code = self.process.wait()
        self.errors.seek(0)
        message = self.errors.read().decode("utf-8", "replace").strip()
        if code == EXIT_REFUSED:
            raise Refused(message)
        if code:
            raise Mismatch(f"tokcat ended with {code}: {message[-2000:]}")
        self.answers.seek(0)
        data = memoryview(self.answers.read())
        out, at = [], 0
        while at < len(data):
            refused, size = data[at], int.from_bytes(data[at + 1 : at + 5], "little")
            out.append((not refused, data[at + 5 : at + 5 + size]))
            at += 5 + size
        if len(out) != self.n:
            raise Mismatch(f"tokcat gave {len(out)} answers to {self.n} requests")
        for file in (self.requests, self.answers, self.errors):
            file.close()
        return out


def ids_payload(ids):
    data = array.array("i", ids)
    if sys.byteorder != "little":
        data.byteswap()
    return data.tobytes()


def answer_ids(answer):
    done, payload = answer
    return memoryview(payload).cast("i").tolist() if done else f"refused: {bytes(payload).decode()}"


def answer_text(answer):
    done, payload = answer
    return bytes(payload).decode("utf-8", "backslashreplace") if done else "refused"


def shortest_difference(inputs, ours, theirs):
    """(how many differ, the shortest input that does), None when all are equal."""
    wrong = [i for i in range(len(theirs)) if ours[i] != theirs[i]]
    return (len(wrong), min(wrong, key=lambda k: len(inputs[k]))) if wrong else None


def reference_ids(reference, inputs, special=False):
    """[ids], None where the reference gives up on a text."""

    def one(text):
        try:
            return guarded(reference.encode, text, add_special_tokens=special).ids
        except ReferenceFailed:
            return None

    try:
        return [e.ids for e in guarded(reference.encode_batch_fast, inputs, add_special_tokens=special)]
    except ReferenceFailed:
        return [one(text) for text in inputs]


def long_byte_run(reference, ids):
    """A run of over 64 byte tokens: the only place where decoding is allowed to differ."""
    length = 0
    for i in ids:
        token = reference.id_to_token(i) or ""
        length = length + 1 if len(token) == 6 and token.startswith("<0x") else 0
        if length >= 64:
            return True
    return False


def random_ids(reference, rng, n):
    size = max(reference.get_vocab(with_added_tokens=True).values(), default=0) + 1
    # repr, e.g. <0xE2>: what byte decoders join.
    bytes_ids = [i for i in range(size) if (reference.id_to_token(i) or "").startswith("<0x")]
    out = []
    for _ in range(n):
        out.append([rng.randrange(size + 2) for _ in range(rng.randrange(12))])
        if rng.random() < 0.1 and out[-1]:
            out[-1] *= rng.randrange(2, 5)  # repetitions, which CTC folds
            out[-1].sort()
        if bytes_ids and rng.random() < 0.6:
            mostly = rng.choice((0.5, 0.8, 0.95))
            out.append([rng.choice(bytes_ids) if rng.random() < mostly else rng.randrange(size) for _ in range(9)])
    return out


def sample(items, n):
    return items[:: max(1, len(items) // n)]


class Comparison:
    """What one tokenizer is asked, by both; the sizes come from the job."""

    def __init__(self, tokcat, path, inputs, seed, n_decodes=2000, n_random_ids=600):
        self.path, self.inputs = path, inputs
        self.rng = random.Random(seed)
        self.reference = guarded(Tokenizer.from_file, str(path))
        self.reference.no_truncation()
        self.reference.no_padding()
        self.cat = Tokcat(tokcat, path)
        self.n_decodes, self.n_random_ids = n_decodes, n_random_ids
        self.checks = []  # (what, request, inputs, theirs, how to read our answer)
        self.n_tokens = self.n_gave_up = 0

    def ask(self, what, op, inputs, theirs, payload, read):
        keep = [i for i, x in enumerate(theirs) if x is not None]
        self.n_gave_up += len(theirs) - len(keep)
        for i in keep:
            self.cat.ask(op, payload(inputs[i]))
        self.checks.append((what, op, [inputs[i] for i in keep], [theirs[i] for i in keep], read))

    def ask_encodes(self):
        encode = lambda text: text.encode()
        few = sample(self.inputs, 800)
        theirs = reference_ids(self.reference, self.inputs)
        self.n_tokens = sum(len(x) for x in theirs if x is not None)
        self.ask("encode", b"e", self.inputs, theirs, encode, answer_ids)
        special = reference_ids(self.reference, few, special=True)
        self.ask("encode with special tokens", b"E", few, special, encode, answer_ids)
        self.reference.encode_special_tokens = True
        plain = reference_ids(self.reference, few)
        self.reference.encode_special_tokens = False
        self.ask("encode, special tokens as text", b"p", few, plain, encode, answer_ids)
        return [x for x in sample(theirs, self.n_decodes) if x is not None] + [x for x in sample(special, 60) if x is not None]

    def ask_refusals(self):
        bad = [texts.bad_bytes(self.rng) for _ in range(40)]
        self.ask("bytes that are not UTF-8", b"e", bad, [False] * len(bad), lambda x: x, lambda a: a[0])

    def ask_decodes(self, ids):
        ids = ids + random_ids(self.reference, self.rng, self.n_random_ids)
        ids = [x for x in ids if not long_byte_run(self.reference, x)]
        for skip in (False, True):
            try:
                want = guarded(self.reference.decode_batch, ids, skip_special_tokens=skip)
            except ReferenceFailed:
                want = [self.decode_one(x, skip) for x in ids]
            for what, op in (("decode", "d"), ("incremental decode", "s"), ("incremental decode, state moved", "c")):
                chosen = sample(list(range(len(ids))), 500) if op == "c" else range(len(ids))
                self.ask(
                    f"{what}{', special tokens skipped' if skip else ''}",
                    (op.upper() if skip else op).encode(),
                    [ids[i] for i in chosen],
                    [want[i] for i in chosen],
                    ids_payload,
                    answer_text,
                )
        return len(ids)

    def decode_one(self, ids, skip):
        try:
            return guarded(self.reference.decode, ids, skip_special_tokens=skip)
        except ReferenceFailed:
            return None

    def shrunk(self, op, text):
        """A shorter text that the two still encode differently, by leaving parts out."""
        size = max(1, len(text) // 2)
        for _ in range(60):
            tries = [text[:at] + text[at + size :] for at in range(0, len(text), size)]
            tries = [t for t in tries if t]
            theirs = reference_ids(self.reference, tries, special=op == b"E")
            cat = Tokcat(self.cat.program, self.path)
            for t in tries:
                cat.ask(op, t.encode())
            cat.start()
            ours = [answer_ids(a) for a in cat.finish()]
            good = [t for t, a, b in zip(tries, ours, theirs) if b is not None and a != b]
            if good:
                text = good[0]
                size = max(1, min(size, len(text) // 2))
            elif size == 1:
                break
            else:
                size = (size + 1) // 2
        return text

    def describe(self, what, op, inputs, ours, theirs):
        n, i = shortest_difference(inputs, ours, theirs)
        shown, our, their = inputs[i], ours[i], theirs[i]
        if op in (b"e", b"E") and isinstance(shown, str):
            shown = self.shrunk(op, shown)
            their = reference_ids(self.reference, [shown], special=op == b"E")[0]
            cat = Tokcat(self.cat.program, self.path)
            cat.ask(op, shown.encode())
            cat.start()
            our = answer_ids(cat.finish()[0])
        return (
            f"{what}: {n} of {len(theirs)} differ, the shortest:\n"
            f"    input  {ascii(shown)}\n    ours   {ascii(our)}\n    theirs {ascii(their)}"
        )

    def run(self):
        """Raises Mismatch, Refused or ReferenceFailed; returns a line of what was compared."""
        n_ids = self.ask_decodes(self.ask_encodes())
        self.ask_refusals()
        self.cat.start()
        answers, at, problems = self.cat.finish(), 0, []
        for what, op, inputs, theirs, read in self.checks:
            ours = [read(a) for a in answers[at : at + len(theirs)]]
            at += len(theirs)
            if shortest_difference(inputs, ours, theirs):
                problems.append(self.describe(what, op, inputs, ours, theirs))
        if problems:
            raise Mismatch("\n  ".join(problems))
        gave_up = f", the reference gave up on {self.n_gave_up}" if self.n_gave_up else ""
        return f"{len(self.inputs)} texts, {self.n_tokens} tokens, {n_ids} decodes{gave_up}"


def keep_failed(path, name):
    """The tokenizer of a failure stays in the build folder."""
    folder = texts.BUILD / "tokdiff-failed"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / (name.replace("/", "_").replace(" ", "_") + ".json")
    kept.write_bytes(pathlib.Path(path).read_bytes())
    return kept
