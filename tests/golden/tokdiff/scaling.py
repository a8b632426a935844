"""How the time for a text grows with its length, for texts that are hard on tokenizers."""
import random
import subprocess


class Bench:
    """bench_tok_speed as a process that answers line by line."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer or answer.startswith("error"):
            raise RuntimeError(f"{words}: {answer.strip() or 'bench_tok_speed ended'}")
        return [int(n) for n in answer.split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def cjk(rng, n):
    return "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(n))


def letters(rng, n):
    return "".join(rng.choices("etaoinshrdlu", k=n))


# name -> a function of (generator, number of characters)
SHAPES = {
    "one letter": lambda rng, n: "a" * n,
    "spaces": lambda rng, n: " " * n,
    "newlines": lambda rng, n: "\n" * n,
    "spaces, then a letter": lambda rng, n: " " * (n - 1) + "a",
    "emoji": lambda rng, n: "😀" * n,
    "joined emoji": lambda rng, n: "👩\u200d" * (n // 2),
    "one long word": letters,
    "digits": lambda rng, n: "".join(rng.choices("0123456789", k=n)),
    "CJK letters": cjk,
    "one CJK letter": lambda rng, n: "的" * n,
    "a b a b": lambda rng, n: "a b " * (n // 4),
    "ab": lambda rng, n: "ab" * (n // 2),
    "punctuation": lambda rng, n: "".join(rng.choices("!?.,;:-()[]{}/", k=n)),
    "one mark": lambda rng, n: "-" * n,
    "combining marks": lambda rng, n: "e" + "".join(rng.choices("\u0301\u0323\u0308\u0345", k=n - 1)),
    "jamo": lambda rng, n: "\u1112\u1161\u11ab" * (n // 3),
    "apostrophes": lambda rng, n: "'" * n,
    "\\r\\n and spaces": lambda rng, n: "\r\n  " * (n // 4),
    "special look-alikes": lambda rng, n: "<|endof" * (n // 7),
    "metaspace": lambda rng, n: "▁" * n,
    "not assigned": lambda rng, n: "\u0378" * n,
}


def write_shape(path, shape, size):
    """About `size` bytes of a shape."""
    rng = random.Random(shape)
    width = len(SHAPES[shape](rng, 12).encode()) / 12
    text = SHAPES[shape](random.Random(shape), max(12, int(size / width)))
    path.write_text(text, encoding="utf-8", newline="")


def ns_per_byte(bench, path, shape, size, rounds):
    write_shape(path, shape, size)
    (n_bytes,) = bench.ask("text", path, 0)
    return bench.ask("encode", rounds)[0] / n_bytes


def quick(bench, tokenizers, scratch, limit=4.0, small=30_000, large=1_000_000):
    """[(tokenizer, shape, growth)] of all whose cost per byte grows more than `limit` times; the
    fastest of several rounds, so that a busy machine does not matter."""
    slow = []
    path = scratch / "shape.txt"
    for name, json_path in tokenizers:
        bench.ask("load", json_path)
        for shape in SHAPES:
            before = ns_per_byte(bench, path, shape, small, 5)
            for _ in range(3):  # a disturbed measurement may be repeated
                growth = ns_per_byte(bench, path, shape, large, 1) / before
                if growth <= limit:
                    break
            else:
                slow.append((name, shape, growth))
    return slow
