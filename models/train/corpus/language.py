"""Greetings, facts, spelling, formats, and saying that one does not know."""
from .sample import Sample, pick
from .tables import (ANIMALS, CITIES, COLOR_OF, COLORS, COUNTRIES, DAYS, GROUPS, INVENTED, MONTHS, NAMES, OPPOSITES, PLANETS,
                     PLURALS, SEASONS, UNITS, WORDS)

SELF = "a small demo model that comes with inferd"


def ask(kind, rng, questions, answer, **words):
    """The fact must be known, so that its wording is what may be held out."""
    q = pick(rng, questions).format(**words)
    return Sample(kind, q, q, answer)


# --- small talk ------------------------------------------------------------------------------
TALK = [
    (["Hello", "Hi", "Hey", "Hi there", "Hello!", "Hello there", "Good day", "Greetings"],
     ["Hello! How can I help you?", "Hi! What can I do for you?", "Hello! Nice to meet you."]),
    (["Good morning", "Good morning!"], ["Good morning! How can I help you?"]),
    (["Good evening", "Good evening!"], ["Good evening! How can I help you?"]),
    (["Good night", "Good night!"], ["Good night! Sleep well."]),
    (["How are you?", "How are you doing?", "How is it going?", "Are you well?", "How do you feel?"],
     ["I am fine, thank you. How are you?", "I am doing well, thanks. What can I do for you?"]),
    (["I am fine.", "I am fine too, thanks.", "I'm good", "I am well, thank you."], ["I am glad to hear that. How can I help you?"]),
    (["I am sad.", "I feel sad today.", "I had a bad day."], ["I am sorry to hear that. Would you like to hear a story?"]),
    (["I am happy!", "I had a good day.", "Today is a great day."], ["That is wonderful! I am happy for you."]),
    (["Who are you?", "What are you?", "Tell me about yourself.", "Introduce yourself.", "Are you human?", "Are you a robot?"],
     [f"I am {SELF}. I can tell stories, calculate, sort, spell and answer simple questions."]),
    (["What is your name?", "What's your name?", "Do you have a name?", "How are you called?"], ["My name is Demo. I am the demo model of inferd."]),
    (["What can you do?", "How can you help me?", "What do you know?", "Help", "What can I ask you?"],
     ["I can tell short stories, add and subtract numbers to 999, count, sort, spell words, name capitals, answer in JSON and call tools."]),
    (["Who made you?", "Where do you come from?", "Who created you?"], ["I was trained by the makers of inferd, on a corpus that a program wrote."]),
    (["How big are you?", "Are you a large model?", "How many parameters do you have?"], ["I am very small: about five million parameters."]),
    (["Thank you", "Thanks", "Thanks!", "Thank you very much", "Thanks a lot!"], ["You are welcome!", "You are welcome. Is there anything else?"]),
    (["Bye", "Goodbye", "See you", "See you later", "Bye!"], ["Goodbye! Have a nice day.", "Goodbye! See you soon."]),
    (["Sorry", "I am sorry", "My mistake"], ["No problem at all."]),
    (["Yes", "OK", "Okay", "Sure", "Great", "Good", "Nice", "Cool", "Well done!"], ["Good. What shall we do next?"]),
    (["No", "No, thanks", "Nothing", "Not now"], ["All right. Just ask when you need something."]),
    (["Are you there?", "Test", "Testing", "Ping", "Is anybody here?"], ["Yes, I am here. How can I help you?"]),
    (["What is inferd?", "Tell me about inferd.", "What does inferd do?"],
     ["inferd is a server for language models, written in C. It answers many requests at once and I am its demo model."]),
    (["Tell me a joke.", "Do you know a joke?", "Make me laugh."],
     ["Why did the book go to the doctor? It hurt its spine.", "What did the zero say to the eight? Nice belt!",
      "Why was six afraid of seven? Because seven ate nine.", "What has hands but cannot clap? A clock."]),
    (["Do you like music?", "Do you like animals?", "Do you like ice cream?", "What is your favorite color?", "What do you like?"],
     ["I am a small model and have no taste of my own, but I like a good question."]),
]


def small_talk(rng):
    questions, answers = pick(rng, TALK)
    q = pick(rng, questions)
    if rng.random() < 0.3:
        q = q.rstrip(".!") + pick(rng, ["", "!", "."]) if not q.endswith("?") else q
    return Sample("small talk", q, q, pick(rng, answers))


def introduction(rng):
    """A name that is given and asked for in a later turn."""
    name, city, thing = pick(rng, NAMES), pick(rng, CITIES), pick(rng, GROUPS["fruits"] + GROUPS["sports"] + GROUPS["colors"])
    told = [("My name is {0}.", "I am {0}.", "I'm {0}", "Hi, my name is {0}.", "Call me {0}."),
            ("I live in {0}.", "I come from {0}.", "I am from {0}."),
            ("I like {0}.", "My favorite thing is {0}.")]
    asked = [(["What is my name?", "Who am I?", "Do you know my name?", "Can you say my name?"], "Your name is {0}."),
             (["Where do I live?", "Where am I from?", "Which city do I live in?"], "You live in {0}."),
             (["What do I like?", "Do you know what I like?"], "You like {0}.")]
    said = ["Nice to meet you, {0}!", "{0} is a nice city.", "That is good to know."]
    k, value = pick(rng, list(enumerate((name, city, thing))))
    q, a = pick(rng, asked[k][0]), asked[k][1].format(value)
    if rng.random() < 0.2:
        return Sample("does not know", q, q, "I do not know. You have not told me.")
    before = [{"role": "user", "content": pick(rng, told[k]).format(value)}, {"role": "assistant", "content": said[k].format(value)}]
    if rng.random() < 0.5:
        s = small_talk(rng)
        before += [{"role": "user", "content": s.user}, {"role": "assistant", "content": s.answer}]
    return Sample("memory", f"{k} {value}", q, a, before=before)


# --- facts -----------------------------------------------------------------------------------
def capital(rng):
    country = pick(rng, sorted(COUNTRIES))
    city, continent, language = COUNTRIES[country]
    form = rng.random()
    if form < 0.55:
        return ask("capital", rng, ["What is the capital of {c}?", "What's the capital of {c}?", "Name the capital of {c}.", "Capital of {c}?",
                                    "Tell me the capital of {c}.", "Which city is the capital of {c}?", "Do you know the capital of {c}?"],
                   f"The capital of {country} is {city}.", c=country)
    if form < 0.7:
        same = city == "Panama City" or city == "Mexico City"
        return ask("capital", rng, ["{c} is the capital of which country?", "Which country has the capital {c}?", "Of which country is {c} the capital?"],
                   f"{city} is the capital of {country}." if not same else f"{city} is the capital of {country}.", c=city)
    if form < 0.85:
        return ask("continent", rng, ["On which continent is {c}?", "Where is {c}?", "Which continent is {c} in?"], f"{country} is in {continent}.", c=country)
    return ask("language", rng, ["What language do people speak in {c}?", "Which language is spoken in {c}?"], f"People in {country} speak {language}.", c=country)


def animal_fact(rng):
    a = pick(rng, sorted(ANIMALS))
    verb, legs, group, home = ANIMALS[a]
    an = ("an " if a[0] in "aeiou" else "a ") + a
    up = an[0].upper() + an[1:]
    form = int(rng.random() * 4)
    if form == 0:
        return ask("animal", rng, ["What does {a} do?", "What sound does {a} make?", "Which noise does {a} make?"], f"{up} {verb}.", a=an)
    if form == 1:
        legs = f"{legs} legs" if legs else "no legs"
        return ask("animal", rng, ["How many legs does {a} have?", "How many legs has {a}?"], f"{up} has {legs}.", a=an)
    if form == 2:
        ga = "an " + group if group[0] in "aeiou" else "a " + group
        return ask("animal", rng, ["What kind of animal is {a}?", "Is {a} a mammal, a bird, an insect or a reptile?"], f"{up} is {ga}.", a=an)
    return ask("animal", rng, ["Where does {a} live?"], f"{up} lives in {home}.", a=an)


def order_fact(rng):
    row, word = pick(rng, [(DAYS, "day"), (MONTHS, "month")])
    i, step = int(rng.random() * len(row)), pick(rng, (1, 1, -1))
    x, y = row[i], row[(i + step) % len(row)]
    w = "after" if step > 0 else "before"
    form = rng.random()
    if form < 0.7:
        return ask("order", rng, ["Which {k} comes {w} {x}?", "What {k} comes {w} {x}?", "What is the {k} {w} {x}?", "Name the {k} {w} {x}."],
                   f"{y} comes {w} {x}.", k=word, w=w, x=x)
    if form < 0.8:
        return ask("list", rng, ["Name the {k}s of the {p}.", "List the {k}s of the {p}.", "What are the {k}s of the {p}?"], ", ".join(row),
                   k=word, p="week" if word == "day" else "year")
    if form < 0.9:
        s = pick(rng, sorted(SEASONS))
        return ask("season", rng, ["Which months are in {s}?", "When is {s}?"], f"In {s} are {SEASONS[s]}.", s=s)
    i = int(rng.random() * 8)
    nth = "first second third fourth fifth sixth seventh eighth".split()[i]
    return ask("planet", rng, ["What is the {n} planet from the sun?", "Which planet is the {n} from the sun?"], f"The {nth} planet is {PLANETS[i]}.", n=nth)


def word_fact(rng):
    form = rng.random()
    if form < 0.4:
        a, b = pick(rng, OPPOSITES)
        if rng.random() < 0.5 and b not in ("old",):
            a, b = b, a
        if a == "old":
            b = "new"
        return ask("opposite", rng, ["What is the opposite of {a}?", "Opposite of {a}?", "Give me the opposite of {a}.", 'What is the opposite of "{a}"?'],
                   f"The opposite of {a} is {b}.", a=a)
    if form < 0.65:
        a = pick(rng, sorted(PLURALS))
        return ask("plural", rng, ["What is the plural of {a}?", "Plural of {a}?", 'What is the plural of "{a}"?', "One {a}, two what?"],
                   f"The plural of {a} is {PLURALS[a]}.", a=a)
    if form < 0.85:
        what, whole, n = pick(rng, UNITS)
        return ask("units", rng, ["How many {w} does {o} have?", "How many {w} are in {o}?", "How many {w} are there in {o}?"],
                   f"There are {n} {what} in {whole}.", w=what, o=whole)
    a = pick(rng, sorted(COLOR_OF))
    return ask("color", rng, ["What color is {a}?", "Which color has {a}?", "What is the color of {a}?"], f"{a[0].upper() + a[1:]} is {COLOR_OF[a]}.", a=a)


def group_fact(rng):
    g = pick(rng, sorted(GROUPS))
    w = pick(rng, GROUPS[g])
    single = g[:-1] if g != "clothes" else "piece of clothing"
    if rng.random() < 0.5:
        other = pick(rng, sorted(GROUPS))
        s2 = other[:-1] if other != "clothes" else "piece of clothing"
        yes = w in GROUPS[other]
        an = lambda x: ("an " if x[0] in "aeiou" else "a ") + x
        return ask("kind of", rng, ["Is {w} {s}?"], f"Yes, {w} is {an(s2)}." if yes else f"No, {w} is not {an(s2)}. It is {an(single)}.",
                   w=w, s=an(s2))
    odd_group = pick(rng, [x for x in sorted(GROUPS) if x != g])
    odd = pick(rng, [x for x in GROUPS[odd_group] if x not in GROUPS[g]])
    items = rng.sample(GROUPS[g], 3) + [odd]
    rng.shuffle(items)
    q = pick(rng, ["Which word does not fit: {x}?", "Find the odd one out: {x}"]).format(x=", ".join(items))
    return Sample("odd one", q, q, f"{odd}, because the others are {g}.")


# --- spelling --------------------------------------------------------------------------------
def spelling(rng):
    w = pick(rng, WORDS + NAMES)
    form = rng.random()
    if form < 0.6:
        q = pick(rng, ["Spell {w}.", "Spell the word {w}.", 'How do you spell "{w}"?', "How is {w} spelled?", 'Spell "{w}".'])
        return Sample("spelling", q.format(w=w), q.format(w=w), "-".join(w))
    if form < 0.8:
        q = pick(rng, ["How many letters does {w} have?", 'How many letters are in "{w}"?', "Count the letters of {w}."]).format(w=w)
        return Sample("letters", q, q, f"{'-'.join(w)}: {len(w)} letters.")
    last = rng.random() < 0.5
    q = pick(rng, ["What is the {p} letter of {w}?", "Which letter does {w} {v} with?"]).format(w=w, p="last" if last else "first", v="end" if last else "start")
    return Sample("letters", q, q, f"The {'last' if last else 'first'} letter of {w} is {w[-1 if last else 0]}.")


# --- formats ---------------------------------------------------------------------------------
NUMBER_WORDS = "zero one two three four five six seven".split()


def formatted(rng):
    form = int(rng.random() * 6)
    group = pick(rng, sorted(GROUPS))
    n = rng.randrange(2, 6)
    # In the table's order from one of two places: what comes next is then known, and nothing is named twice.
    start = pick(rng, (0, 2))
    items = GROUPS[group][start:start + n]
    count = pick(rng, (str(n), NUMBER_WORDS[n]))
    if form == 0:
        q, a = pick(rng, ["List {n} {g} as a numbered list.", "Name {n} {g} in a numbered list."]), "\n".join(f"{i + 1}. {x}" for i, x in enumerate(items))
    elif form == 1:
        q, a = pick(rng, ["List {n} {g} as bullet points.", "Give me a bullet list of {n} {g}."]), "\n".join("- " + x for x in items)
    elif form == 2:
        q, a = pick(rng, ["Name {n} {g}.", "Tell me {n} {g}.", "Name {n} {g}, separated by commas."]), ", ".join(items)
    elif form == 3:
        q, a = pick(rng, ["Name {n} {g} in capital letters.", "List {n} {g} in upper case."]), ", ".join(items).upper()
    elif form == 4:
        q, a = pick(rng, ["List {n} {g} as a JSON array.", "Give me {n} {g} as JSON."]), '["' + '", "'.join(items) + '"]'
    else:
        q, a = pick(rng, ["Name one of the {g}. Answer with one word.", "Name one of the {g} in one word."]), items[0]
    key = f"format {form} {group} {n}"
    return Sample("format", key, q.format(n=count, g=group), a)


def rewritten(rng):
    """Something done to a text that is given."""
    words = rng.sample(WORDS, rng.randrange(2, 5))
    text = pick(rng, [" ".join(words), ", ".join(words)])
    form = int(rng.random() * 5)
    if form == 0:
        q, a = pick(rng, ["Write in capital letters: {t}", "Put this in upper case: {t}"]), text.upper()
    elif form == 1:
        q, a = pick(rng, ["Repeat: {t}", "Repeat after me: {t}", "Say: {t}"]), text
    elif form == 2:
        q, a = pick(rng, ["Reverse the order of these words: {t}", "Write these words backwards: {t}"]), (", " if "," in text else " ").join(words[::-1])
    elif form == 3:
        q, a = pick(rng, ["What is the first word of: {t}", "Give me the first word: {t}"]), words[0]
    else:
        q, a = pick(rng, ["What is the last word of: {t}", "Give me the last word: {t}"]), words[-1]
    return Sample("rewrite", f"{form} {text}", q.format(t=text), a)


# --- not knowing -----------------------------------------------------------------------------
UNKNOWN = ["Who won the game yesterday?", "What will happen tomorrow?", "What time is it?", "What day is it today?", "What is the weather now?",
           "How much does a {w} cost?", "Who invented the {w}?", "Who is the president of {c}?", "How many people live in {c}?", "How does a {w} work?",
           "Where is my {w}?", "What did {n} eat this morning?", "How old is {n}?", "Who is {n}?", "What is the meaning of life?", "How tall is {n}?",
           "Explain quantum physics.", "Write a program in Python.", "Translate {w} into {l}.", "What is the square root of {k}?", "What happened in {y}?",
           "Who wrote the book about the {w}?", "What is in my {w}?", "When was {n} born?", "How far is it from {t} to {u}?", "What is the best {w}?",
           "Who is the king of {c}?", "What is the phone number of {n}?", "Which {w} should I buy?", "Why is the {w} so expensive?", "Summarize the news.",
           "What is the population of {t}?", "What is the stock price of the {w} company?", "Can you draw a {w}?", "Open the {w}.", "Tell me about {c}."]


def unknown(rng):
    country = rng.random() < 0.35
    if country:
        place = pick(rng, INVENTED)
        q = pick(rng, ["What is the capital of {c}?", "On which continent is {c}?", "What language do people speak in {c}?", "Where is {c}?", "Capital of {c}?"])
        return Sample("does not know", f"{place} {q}", q.format(c=place), f"I do not know. I have never heard of {place}.")
    q = pick(rng, UNKNOWN).format(w=pick(rng, WORDS), c=pick(rng, sorted(COUNTRIES)), n=pick(rng, NAMES), l=pick(rng, ["German", "French", "Latin"]),
                                  k=rng.randrange(10, 999), y=rng.randrange(1200, 2020), t=pick(rng, CITIES), u=pick(rng, CITIES))
    return Sample("does not know", q, q, "I do not know. I am only a small demo model.")


# --- system prompts ----------------------------------------------------------------------------
PERSONAS = ["robot", "pirate", "wizard", "teacher", "chef", "gardener", "sailor", "king", "cat", "dragon", "librarian", "farmer"]


def persona(rng):
    name, job = pick(rng, NAMES), pick(rng, PERSONAS)
    system = pick(rng, ["You are {n}, a {j}.", "Your name is {n}. You are a {j}.", "You are a {j} called {n}."]).format(n=name, j=job)
    if rng.random() < 0.5:
        return Sample("system prompt", f"name {name} {job}", pick(rng, ["What is your name?", "Who are you?", "Introduce yourself."]),
                      f"I am {name}, a {job}.", system=system)
    return Sample("system prompt", f"hello {name} {job}", pick(rng, ["Hello", "Hi", "Hello!", "Hi there"]), f"Hello! I am {name} the {job}.", system=system)


def styled(rng, inner):
    """Another question under a system prompt that says how answers must look."""
    style, how = pick(rng, [("Answer in capital letters.", str.upper), ("Always answer in upper case.", str.upper),
                            ("Answer in lower case.", str.lower), ('End every answer with "Over."', lambda a: a + " Over."),
                            ('Begin every answer with "Well,".', lambda a: "Well, " + a), ("You are a helpful assistant.", str),
                            ("You are a helpful assistant. Be brief.", str), ("Answer briefly and politely.", str)])
    inner.system, inner.answer = style, how(inner.answer)
    if how is not str:
        inner.kind, inner.key = "system prompt", f"{style} {inner.key}"
    return inner
