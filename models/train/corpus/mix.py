"""Which kinds in which share, and how single questions become conversations."""
from . import arithmetic, language, stories, structured
from .sample import loosely

# (share early, share late, generator): of single questions in a conversation without tools.  Late, while the rate falls, what
# has to be exact to the last digit or bracket gets more.
PLAIN = [
    (16.0, 20.0, arithmetic.addition), (19.0, 26.0, arithmetic.subtraction), (2.0, 3.0, arithmetic.table),
    (2.0, 2.5, arithmetic.word_problem), (3.0, 4.0, arithmetic.compare), (4.0, 6.0, arithmetic.counting),
    (6.0, 8.0, arithmetic.sorting), (1.5, 1.5, arithmetic.how_many), (1.5, 1.0, stories.story), (0.7, 0.5, stories.story_question),
    (4.0, 3.5, language.small_talk), (2.0, 1.5, language.introduction), (3.0, 2.0, language.capital), (2.0, 1.5, language.animal_fact),
    (2.0, 1.5, language.order_fact), (2.5, 2.0, language.word_fact), (1.5, 1.5, language.group_fact), (5.0, 4.0, language.spelling),
    (3.0, 5.0, language.formatted), (5.0, 6.0, language.rewritten), (3.0, 2.0, language.unknown), (5.0, 10.0, structured.json_answer),
]
EARLY, LATE = 0, 1
STANDALONE = 0.015  # documents that are a story and nothing else
WITH_TOOLS, TOOL_UNUSED = (0.14, 0.20), 0.015
PERSONA, STYLED = 0.03, 0.05
MORE_TURNS = 0.62  # chance of one more turn in a plain conversation
totals = [sum(row[phase] for row in PLAIN) for phase in (EARLY, LATE)]


def plain(rng, phase):
    r = rng.random() * totals[phase]
    for row in PLAIN:
        r -= row[phase]
        if r < 0:
            break
    return row[2](rng)


def kept(rng, make, held_out):
    """One sample on the wanted side of the border between training and evaluation."""
    while True:
        s = make(rng)
        if s.held_out == held_out:
            return s


def loose(rng, s):
    if s.kind not in ("rewrite", "tool") and not s.schema:
        s.user = loosely(rng, s.user)
    return s


def conversation(rng, phase=EARLY):
    """A training document: (text, None) or (messages, tools)."""
    one, more = lambda g: plain(g, phase), lambda g: plain_without_system(g, phase)
    train = lambda make: loose(rng, kept(rng, make, False))
    r = rng.random()
    if r < STANDALONE:
        return stories.story_text(rng, stories.Cast(rng)), None
    r -= STANDALONE
    if r < WITH_TOOLS[phase]:
        s = train(structured.tool_call)
        messages = s.messages()
        if s.result is not None and rng.random() < 0.3:
            messages += train(language.small_talk).messages()
        return messages, s.tools
    r -= WITH_TOOLS[phase]
    if r < TOOL_UNUSED:
        s = structured.tool_unused(rng, train(rng.choice([language.small_talk, language.capital, language.spelling])))
        return s.messages(), s.tools
    r -= TOOL_UNUSED
    if r < PERSONA:
        s = train(language.persona)
        return s.messages() + (train(more).messages() if rng.random() < 0.5 else []), None
    r -= PERSONA
    if r < STYLED:
        s = kept(rng, lambda g: language.styled(g, plain_text(g, phase)), False)
        return s.messages(), None
    messages = train(one).messages()
    system = messages[0]["role"] == "system"
    while not system and rng.random() < MORE_TURNS and len(messages) < 24:
        messages += train(more).messages()
    return messages, None


def plain_without_system(rng, phase):
    while True:
        s = plain(rng, phase)
        if not s.system:
            return s


def plain_text(rng, phase):
    """A question whose answer may be put in another style."""
    while True:
        s = plain(rng, phase)
        if not s.system and not s.schema and s.kind not in ("rewrite", "format"):
            return s
