"""Arithmetic with numbers to 999, counting, sorting, comparing."""
from .sample import Sample, pick

ADD = ["What is {a} + {b}?", "{a} + {b} =", "{a}+{b}", "Add {a} and {b}.", "Calculate {a} + {b}.", "How much is {a} plus {b}?",
       "What is the sum of {a} and {b}?", "Please compute {a} + {b}.", "What do you get if you add {b} to {a}?", "{a} plus {b}"]
SUB = ["What is {a} - {b}?", "{a} - {b} =", "{a}-{b}", "Subtract {b} from {a}.", "Calculate {a} - {b}.", "How much is {a} minus {b}?",
       "What is the difference of {a} and {b}?", "Please compute {a} - {b}.", "Take {b} away from {a}.", "{a} minus {b}"]
MUL = ["What is {a} * {b}?", "{a} * {b} =", "Multiply {a} by {b}.", "How much is {a} times {b}?", "What is {a} times {b}?"]
DIV = ["What is {a} / {b}?", "Divide {a} by {b}.", "How much is {a} divided by {b}?"]


def operand(rng, digits):
    return rng.randrange((0, 10, 100)[digits - 1], (10, 100, 1000)[digits - 1])


def pair(rng):
    """Three-digit pairs are the hardest and the most: half of all."""
    shape = rng.random()
    if shape < 0.5:
        return operand(rng, 3), operand(rng, 3)
    if shape < 0.7:
        return operand(rng, 2), operand(rng, 2)
    if shape < 0.78:
        return operand(rng, 1), operand(rng, 1)
    a, b = operand(rng, rng.choice((2, 3))), operand(rng, rng.choice((1, 2)))
    return (a, b) if rng.random() < 0.5 else (b, a)


def column_steps(a, b, sign):
    """The sum or difference digit by digit from the right, as on paper."""
    out, carry = [], 0
    for i in range(max(len(str(a)), len(str(b)))):
        x, y = a // 10**i % 10, b // 10**i % 10
        if sign == "+":
            line, value = f"{x} + {y}", x + y + carry
            out.append(f"{line}{' + 1' if carry else ''} = {value}")
            carry = value // 10
        else:
            value, shown = x - y - carry, f"{x} - {y}{' - 1' if carry else ''}"
            if value < 0:
                out.append(f"{shown} is below zero, so 1{x}{shown[1:]} = {value + 10}")
            else:
                out.append(f"{shown} = {value}")
            carry = int(value < 0)
    return out


def addition(rng):
    a, b = pair(rng)
    key = f"add {min(a, b)} {max(a, b)}"
    if rng.random() < 0.12:
        q = pick(rng, ["Add {a} and {b} step by step.", "What is {a} + {b}? Show your work."]).format(a=a, b=b)
        return Sample("steps", key, q, f"{'; '.join(column_steps(a, b, '+'))}. So {a} + {b} = {a + b}.")
    return Sample("addition", key, pick(rng, ADD).format(a=a, b=b), f"{a} + {b} = {a + b}")


def subtraction(rng):
    a, b = pair(rng)
    if a < b and rng.random() < 0.85:
        a, b = b, a
    key = f"sub {a} {b}"
    if a >= b and rng.random() < 0.12:
        q = pick(rng, ["Subtract {b} from {a} step by step.", "What is {a} - {b}? Show your work."]).format(a=a, b=b)
        return Sample("steps", key, q, f"{'; '.join(column_steps(a, b, '-'))}. So {a} - {b} = {a - b}.")
    return Sample("subtraction", key, pick(rng, SUB).format(a=a, b=b), f"{a} - {b} = {a - b}")


def table(rng):
    a, b = rng.randrange(0, 13), rng.randrange(1, 13)
    if rng.random() < 0.6:
        q = pick(rng, MUL).format(a=a, b=b)
        return Sample("table", q, q, f"{a} * {b} = {a * b}")
    q = pick(rng, DIV).format(a=a * b, b=b)
    return Sample("table", q, q, f"{a * b} / {b} = {a}")


def word_problem(rng):
    from .tables import GROUPS, NAMES
    name, other = rng.sample(NAMES, 2)
    thing = pick(rng, GROUPS["fruits"][:6] + ["book", "coin", "card", "pencil", "stone"])
    many = {"cherry": "cherries", "peach": "peaches"}.get(thing, thing + "s")
    a, b = rng.randrange(2, 60), rng.randrange(2, 40)
    if rng.random() < 0.5:
        q = pick(rng, ["{n} has {a} {m} and finds {b} more. How many {m} does {n} have now?",
                       "{n} has {a} {m}. {o} gives {n} {b} more. How many {m} does {n} have?"])
        text, key = f"{a} + {b} = {a + b}. {name} has {a + b} {many}.", f"wadd {a} {b} {thing}"
    else:
        a, b = max(a, b) + 1, min(a, b)
        q = pick(rng, ["{n} has {a} {m} and gives {b} to {o}. How many {m} does {n} have now?",
                       "{n} has {a} {m} and loses {b} of them. How many {m} are left?"])
        text, key = f"{a} - {b} = {a - b}. {name} has {a - b} {many}.", f"wsub {a} {b} {thing}"
    return Sample("word problem", key, q.format(n=name, o=other, a=a, b=b, m=many), text)


def compare(rng):
    a, b = pair(rng)
    if a == b:
        b += 1
    big = rng.random() < 0.5
    q = pick(rng, ["Which number is {w}, {a} or {b}?", "Which is {w}: {a} or {b}?", "Is {a} or {b} {w}?"])
    answer = max(a, b) if big else min(a, b)
    q = q.format(w="larger" if big else "smaller", a=a, b=b)
    return Sample("compare", f"cmp {a} {b} {big}", q, f"{answer} is {'larger' if big else 'smaller'} than {a + b - answer}.")


def counting(rng):
    form = rng.random()
    n = rng.randrange(3, 16)
    if form < 0.5:
        a = rng.choice((0, 1, 1, rng.randrange(0, 100), rng.randrange(100, 980)))
        q = pick(rng, ["Count from {a} to {b}.", "Please count from {a} up to {b}.", "Count up from {a} to {b}."])
        seq = range(a, a + n)
    elif form < 0.75:
        a = rng.randrange(n, 200)
        q = pick(rng, ["Count down from {a} to {b}.", "Count backwards from {a} to {b}."])
        seq = range(a, a - n, -1)
    else:
        s = rng.choice((2, 2, 3, 5, 10))
        a = rng.randrange(0, 60)
        q = pick(rng, ["Count from {a} to {b} in steps of {s}.", "Count by {s} from {a} to {b}."]).replace("{s}", str(s))
        seq = range(a, a + n * s, s)
    q = q.format(a=seq[0], b=seq[-1])
    return Sample("counting", f"count {seq[0]} {seq[-1]} {seq[1]}", q, ", ".join(map(str, seq)))


def sorting(rng):
    from .tables import WORDS
    n = pick(rng, (3, 3, 4, 4, 5))
    down = rng.random() < 0.25
    if rng.random() < 0.6:
        top = rng.choice((10, 100, 1000))
        items = rng.sample(range(top), n)
        q = pick(rng, ["Sort these numbers: {x}", "Sort from smallest to largest: {x}", "Put these numbers in order: {x}"])
        if down:
            q = pick(rng, ["Sort from largest to smallest: {x}", "Sort these numbers in descending order: {x}"])
    else:
        items, down = rng.sample(WORDS, n), False
        q = pick(rng, ["Sort these words: {x}", "Sort alphabetically: {x}", "Put these words in alphabetical order: {x}"])
    key = "sort " + " ".join(map(str, sorted(items)))
    return Sample("sorting", key, q.format(x=", ".join(map(str, items))), ", ".join(map(str, sorted(items, reverse=down))))


def how_many(rng):
    from .tables import GROUPS
    group = pick(rng, sorted(GROUPS))
    items = rng.sample(GROUPS[group], rng.randrange(2, 8))
    q = pick(rng, ["How many {g} are in this list: {x}?", "Count the {g}: {x}"]).format(g=group, x=", ".join(items))
    return Sample("how many", q, q, f"There are {len(items)} {group}.")
