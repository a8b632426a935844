"""What sentencepiece_diff.py and tiktoken_diff.py share: one directory, many questions, the answers
of a library beside ours."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tokdiff import compare, texts  # noqa: E402,F401

READERS = {**dict.fromkeys("eEp", compare.answer_ids), **dict.fromkeys("dsDS", compare.answer_text)}


def require_equal(tokcat, path, questions):
    """questions: [(what, op, inputs, what the library says)].  Raises compare.Mismatch."""
    cat = compare.Tokcat(tokcat, path)
    for _, op, inputs, _ in questions:
        for item in inputs:
            cat.ask(op.encode(), item.encode() if op in "eEp" else compare.ids_payload(item))
    cat.start()
    answers, at, problems = cat.finish(), 0, []
    for what, op, inputs, theirs in questions:
        ours = [READERS[op](a) for a in answers[at : at + len(inputs)]]
        at += len(inputs)
        wrong = [i for i in range(len(inputs)) if ours[i] != theirs[i]]
        if wrong:
            i = min(wrong, key=lambda k: len(inputs[k]))
            problems.append(
                f"{what}: {len(wrong)} of {len(inputs)} differ, the shortest:\n    input  {ascii(inputs[i])}\n"
                f"    ours   {ascii(ours[i])}\n    theirs {ascii(theirs[i])}"
            )
    if problems:
        raise compare.Mismatch("\n  ".join(problems))
