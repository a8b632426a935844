"""Answers in JSON for a given schema, and calls of described tools."""
import json

from .sample import Sample, pick
from .tables import ADJECTIVES, ANIMALS, CITIES, COLORS, DAYS, GROUPS, MONTHS, NAMES, WORDS


def article(word):
    return ("an " if word[0] in "aeiou" else "a ") + word


# A record: its fields as (name, JSON type, value), and sentences that say them.
def person(rng):
    n, a, c = pick(rng, NAMES), rng.randrange(3, 99), pick(rng, CITIES)
    return [("name", "string", n), ("age", "integer", a), ("city", "string", c)], [
        f"{n} is {a} years old and lives in {c}.", f"My friend {n} from {c} is {a}.", f"In {c} lives {n}, who is {a} years old."]


def pet(rng):
    n, k, c = pick(rng, NAMES), pick(rng, sorted(ANIMALS)), pick(rng, COLORS)
    return [("name", "string", n), ("animal", "string", k), ("color", "string", c)], [
        f"{n} is a {c} {k}.", f"I have a {c} {k} called {n}.", f"The {k} {n} is {c}."]


def purchase(rng):
    n, k, p = rng.randrange(1, 30), pick(rng, GROUPS["fruits"] + GROUPS["tools"]), rng.randrange(1, 500)
    return [("item", "string", k), ("quantity", "integer", n), ("price", "integer", p)], [
        f"I want to buy {n} of the item {k} for {p} dollars.", f"Order: {n} x {k}, {p} dollars.", f"Please send me {n} {k} for {p} dollars."]


def meeting(rng):
    d, h, w = pick(rng, DAYS), rng.randrange(8, 20), pick(rng, NAMES)
    return [("day", "string", d), ("hour", "integer", h), ("person", "string", w)], [
        f"Meet {w} on {d} at {h} o'clock.", f"On {d} at {h} I see {w}.", f"{w} comes on {d} at {h} o'clock."]


def thing(rng):
    k, c, new = pick(rng, WORDS), pick(rng, COLORS), rng.random() < 0.5
    state = pick(rng, ["new", "brand new"] if new else ["old", "not new"])
    return [("object", "string", k), ("color", "string", c), ("new", "boolean", new)], [
        f"The {k} is {c} and {state}.", f"It is a {c} {k}, {state}.", f"I saw a {c} {k} that is {state}."]


def shopping(rng):
    items, s = rng.sample(GROUPS["fruits"] + GROUPS["drinks"], rng.randrange(2, 5)), pick(rng, NAMES)
    return [("customer", "string", s), ("items", "array", items)], [
        f"{s} buys {', '.join(items[:-1])} and {items[-1]}.", f"{s} needs {', '.join(items[:-1])} and {items[-1]}."]


def birthday(rng):
    n, d, m = pick(rng, NAMES), rng.randrange(1, 29), pick(rng, MONTHS)
    return [("name", "string", n), ("day", "integer", d), ("month", "string", m)], [
        f"{n} was born on {m} {d}.", f"The birthday of {n} is on {m} {d}.", f"{n} has birthday on {m} {d}."]


def unheard_of(rng):
    """Keys of no meaning."""
    keys = rng.sample(WORDS, 3)
    types = [pick(rng, ["integer", "string"]) for _ in keys]
    values = [rng.randrange(100) if t == "integer" else pick(rng, COLORS + NAMES + CITIES) for t in types]
    say = pick(rng, ["{k} is {v}", "{k}: {v}", "the {k} is {v}"])
    text = pick(rng, [", ", "; "]).join(say.format(k=k, v=v) for k, v in zip(keys, values))
    return list(zip(keys, types, values)), [text[0].upper() + text[1:] + "."]


RECORDS = [person, pet, purchase, meeting, thing, shopping, birthday, unheard_of]


def schema_of(fields):
    props = {n: {"type": "array", "items": {"type": "string"}} if t == "array" else {"type": t} for n, t, _ in fields}
    return {"type": "object", "properties": props, "required": [n for n, _, _ in fields]}


def json_answer(rng):
    fields, sentences = pick(rng, RECORDS)(rng)
    if rng.random() < 0.4:
        rng.shuffle(fields)
    if len(fields) > 2 and rng.random() < 0.3:
        fields = fields[:2]
    sentence, schema = pick(rng, sentences), schema_of(fields)
    form = rng.random()
    system, ask = None, pick(rng, ["Answer in JSON for this schema: {s}\n{t}", "{t}\nGive me this as JSON. Schema: {s}", "Extract JSON with the schema {s} from: {t}"])
    if form < 0.3:
        system, ask = pick(rng, ["Answer only in JSON that matches this schema: {s}", "Reply with JSON for this schema: {s}"]), "{t}"
    elif form < 0.5:
        ask = pick(rng, ["Give me {f} as JSON: {t}", "Write as JSON with the keys {f}: {t}", "Extract {f} as JSON from: {t}"])
    names = ", ".join(n for n, _, _ in fields[:-1]) + " and " + fields[-1][0]
    fill = lambda text: text.replace("{s}", json.dumps(schema)).replace("{t}", sentence).replace("{f}", names)
    answer = json.dumps({n: v for n, _, v in fields})
    key = " ".join(str(v) for _, _, v in sorted(fields))
    return Sample("json", key, fill(ask), answer, system=fill(system) if system else None, schema=schema)


# --- tools -----------------------------------------------------------------------------------
# name: (description, {parameter: type}, maker); a maker gives arguments, questions, a result and what to say of it.
def city_tool(rng):
    c, t = pick(rng, CITIES), rng.randrange(-10, 38)
    sky = pick(rng, ["sunny", "cloudy", "rainy", "windy", "foggy", "snowy"])
    return {"city": c}, [f"What is the weather in {c}?", f"How is the weather in {c}?", f"Is it cold in {c}?", f"Weather in {c}, please."], \
        {"temperature": t, "sky": sky}, f"In {c} it is {sky} and {t} degrees."


def time_tool(rng):
    c, h, m = pick(rng, CITIES), rng.randrange(24), rng.randrange(60)
    return {"city": c}, [f"What time is it in {c}?", f"Tell me the time in {c}.", f"How late is it in {c}?"], {"time": f"{h:02}:{m:02}"}, f"In {c} it is {h:02}:{m:02}."


def add_tool(rng):
    a, b = rng.randrange(10, 9999), rng.randrange(10, 9999)
    return {"a": a, "b": b}, [f"What is {a} + {b}?", f"Add {a} and {b}.", f"Use the tool to add {a} and {b}."], {"result": a + b}, f"The result is {a + b}."


def multiply_tool(rng):
    a, b = rng.randrange(13, 999), rng.randrange(13, 999)
    return {"a": a, "b": b}, [f"What is {a} * {b}?", f"Multiply {a} by {b}.", f"How much is {a} times {b}?"], {"result": a * b}, f"The result is {a * b}."


def timer_tool(rng):
    m = rng.randrange(1, 120)
    return {"minutes": m}, [f"Set a timer for {m} minutes.", f"Start a timer of {m} minutes.", f"Wake me in {m} minutes."], {"ok": True}, f"The timer is set to {m} minutes."


def message_tool(rng):
    n, w = pick(rng, NAMES), pick(rng, ["I am late", "see you soon", "call me", "happy birthday", "good luck", "dinner is ready", "the train is late"])
    return {"to": n, "text": w}, [f'Send "{w}" to {n}.', f'Tell {n}: "{w}"', f'Write {n} a message: "{w}"'], {"sent": True}, f"The message to {n} is sent."


def search_tool(rng):
    w = " ".join(rng.sample(WORDS, rng.randrange(1, 3)))
    n = rng.randrange(0, 90)
    return {"query": w}, [f"Search for {w}.", f"Find {w}.", f"Look for {w}."], {"hits": n}, f"I found {n} results for {w}."


def light_tool(rng):
    r, on = pick(rng, GROUPS["rooms"]), rng.random() < 0.5
    s = "on" if on else "off"
    return {"room": r, "on": on}, [f"Turn {s} the light in the {r}.", f"Switch the light in the {r} {s}.", f"Light {s} in the {r}."], {"ok": True}, f"The light in the {r} is {s}."


def price_tool(rng):
    i, p = pick(rng, GROUPS["fruits"] + GROUPS["tools"] + GROUPS["clothes"]), rng.randrange(1, 300)
    return {"item": i}, [f"How much does {article(i)} cost?", f"What is the price of {article(i)}?", f"Price of {article(i)}?"], {"price": p}, f"{article(i).capitalize()} costs {p} dollars."


def calendar_tool(rng):
    d, w = pick(rng, DAYS), pick(rng, NAMES)
    h = rng.randrange(8, 20)
    return {"day": d, "hour": h, "person": w}, [f"Plan a meeting with {w} on {d} at {h}.", f"Meet {w} on {d} at {h} o'clock."], {"ok": True}, f"The meeting with {w} is on {d} at {h}."


def song_tool(rng):
    k = f"{pick(rng, ADJECTIVES)} {pick(rng, WORDS)}"
    return {"title": k}, [f'Play the song "{k}".', f'I want to hear "{k}".'], {"playing": True}, f'I am playing "{k}".'


# kind: (names that a tool may have, descriptions, types, maker)
TOOLS = [
    (["get_weather", "weather", "current_weather"], ["Get the weather of a city", "Current weather"], {"city": "string"}, city_tool),
    (["get_time", "local_time", "clock"], ["Get the time in a city", "Local time of a city"], {"city": "string"}, time_tool),
    (["add", "add_numbers", "sum"], ["Add two numbers"], {"a": "integer", "b": "integer"}, add_tool),
    (["multiply", "product", "times"], ["Multiply two numbers"], {"a": "integer", "b": "integer"}, multiply_tool),
    (["set_timer", "start_timer", "timer"], ["Set a timer", "Start a timer"], {"minutes": "integer"}, timer_tool),
    (["send_message", "message", "send_text"], ["Send a message to a person"], {"to": "string", "text": "string"}, message_tool),
    (["search", "find", "web_search"], ["Search the web", "Find documents"], {"query": "string"}, search_tool),
    (["set_light", "switch_light", "light"], ["Switch the light in a room"], {"room": "string", "on": "boolean"}, light_tool),
    (["get_price", "price", "lookup_price"], ["Get the price of an item"], {"item": "string"}, price_tool),
    (["add_meeting", "plan_meeting", "calendar"], ["Plan a meeting"], {"day": "string", "hour": "integer", "person": "string"}, calendar_tool),
    (["play_song", "play_music", "music"], ["Play a song"], {"title": "string"}, song_tool),
]


# Tools of any name: what they are for must be read from their description.
VERBS = "open close check order rent clean count paint deliver book repair move sell buy pack wash hide lift".split()
PLACED = {"place": (" in {}", lambda rng: pick(rng, CITIES)), "person": (" for {}", lambda rng: pick(rng, NAMES)),
          "day": (" on {}", lambda rng: pick(rng, DAYS)), "times": (" {} times", lambda rng: rng.randrange(2, 60)),
          "color": (" in {}", lambda rng: pick(rng, COLORS))}


SYLLABLES = "ba bi bo da de du fa fi go gu ha ka ki ko la le lu ma mi mo na ne nu pa pi po ra ri ro sa so su ta ti to va vi wa zo zu".split()


def opaque(rng):
    """A name that nothing but itself tells: it has to be copied."""
    word = "".join(pick(rng, SYLLABLES) for _ in range(pick(rng, (1, 2, 2, 3))))
    return pick(rng, [f"{word}_{rng.randrange(100)}", f"{word}_{pick(rng, SYLLABLES)}{pick(rng, SYLLABLES)}", f"{pick(rng, WORDS)}_{word}",
                      f"{pick(rng, VERBS)}_{pick(rng, WORDS)}", word + pick(rng, SYLLABLES)])


def made_up(rng):
    verb, noun = pick(rng, VERBS), pick(rng, WORDS)
    names = rng.sample([p for p in PLACED if p != "color"] if rng.random() < 0.7 else ["color", "day", "person"], pick(rng, (1, 1, 2)))
    types = {p: "integer" if p == "times" else "string" for p in names}
    done = f"I will {verb} the {noun}"

    def maker(rng):
        arguments = {p: PLACED[p][1](rng) for p in names}
        tail = "".join(PLACED[p][0].format(v) for p, v in arguments.items())
        return arguments, [f"{verb.capitalize()} the {noun}{tail}.", f"Please {verb} the {noun}{tail}.", f"Can you {verb} the {noun}{tail}?"], \
            {"ok": True}, f"{done}{tail}."

    name = opaque(rng) if rng.random() < 0.5 else pick(rng, [f"{verb}_{noun}", f"{noun}_{verb}", f"{verb}_the_{noun}"])
    return [name], [f"{verb.capitalize()} the {noun}"], types, maker


def described(rng, tool):
    names, texts, types, _ = tool
    return {"type": "function", "function": {
        "name": pick(rng, names), "description": pick(rng, texts),
        "parameters": {"type": "object", "properties": {p: {"type": t} for p, t in types.items()}, "required": list(types)}}}


def tool_call(rng):
    chosen = [made_up(rng) if rng.random() < 0.35 else t for t in rng.sample(TOOLS, pick(rng, (1, 2, 2, 3)))]
    tools = [described(rng, t) for t in chosen]
    k = int(rng.random() * len(chosen))
    arguments, questions, result, said = chosen[k][3](rng)
    call = {"name": tools[k]["function"]["name"], "arguments": arguments}
    key = f"{chosen[k][0][0]} {json.dumps(arguments)}"
    full = rng.random() < 0.5
    opaque = chosen[k] not in TOOLS and chosen[k][1][0].split()[0].lower() not in call["name"]
    return Sample("tool", key, pick(rng, questions), said if full else "", tools=tools, call=call, result=result if full else None, opaque=opaque)


def opaque_call(rng):
    """A call of a tool whose name has to be copied."""
    while True:
        s = tool_call(rng)
        if s.opaque:
            return s


def tool_unused(rng, inner):
    """A question that none of the tools is for: answered as without them."""
    inner.tools = [described(rng, t) for t in rng.sample(TOOLS[4:], pick(rng, (1, 2)))]
    inner.kind = "tool not needed"
    return inner
