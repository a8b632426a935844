"""One question with its answer, and what is held out of training."""
import dataclasses
import json
import zlib

HELD_OUT = 40  # one key in so many is kept for evaluation and never trained on
ALWAYS_TRAINED = ("small talk",)  # there is no other way to ask "How are you?"


@dataclasses.dataclass
class Sample:
    kind: str
    key: str  # what is asked, whatever the wording: held-out is decided on it
    user: str
    answer: str
    system: str | None = None
    tools: list | None = None
    call: dict | None = None  # the tool call that is the right answer, in place of `answer`
    before: list | None = None  # messages of earlier turns that the question depends on
    result: object = None  # what the tool gives back; `answer` is then what is said of it
    schema: dict | None = None  # the schema that the answer must match
    opaque: bool = False  # the called tool's name tells nothing of what it does: it has to be copied

    @property
    def held_out(self):
        return self.kind not in ALWAYS_TRAINED and zlib.crc32(f"{self.kind}|{self.key}".encode()) % HELD_OUT == 0

    def messages(self):
        out = [{"role": "system", "content": self.system}] if self.system else []
        out += self.before or []
        out.append({"role": "user", "content": self.user})
        if self.call:
            out.append({"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": self.call}]})
            if self.result is None:
                return out
            out.append({"role": "tool", "content": json.dumps(self.result)})
        out.append({"role": "assistant", "content": self.answer})
        return out


def pick(rng, items):
    return items[int(rng.random() * len(items))]


def loosely(rng, text):
    """A question as people type it: in lower case, without the last mark, with a courtesy."""
    r = rng.random()
    if r < 0.08:
        text = text.lower()
    elif r < 0.12 and not text[:2].isupper():
        text = text[0].lower() + text[1:]
    if rng.random() < 0.10 and text[-1] in ".?!":
        text = text[:-1]
    if rng.random() < 0.05:
        text = pick(rng, ["Hey, ", "Please: ", "Hi! ", "A question: ", "Quick one: ", "Can you help? "]) + text
    elif rng.random() < 0.03:
        text += pick(rng, [" Thanks!", " Please.", " Thank you."])
    return text
