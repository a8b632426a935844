"""Short coherent stories: a hero, a place, a want, a trouble, help, and an end that follows from them."""
from .sample import Sample, pick
from .tables import ADJECTIVES, ANIMALS, BOYS, COLORS, GIRLS, GROUPS, MORE_ANIMALS

PLACES = [("park", "in the park"), ("garden", "in the garden"), ("forest", "in the forest"), ("village", "in the village"),
          ("beach", "on the beach"), ("farm", "on the farm"), ("house", "in the old house"), ("river", "by the river"),
          ("school", "at school"), ("market", "at the market"), ("hill", "on the hill"), ("lake", "at the lake")]
THINGS = "ball kite boat hat key map lamp drum book bell basket scarf coin doll train bicycle flute shell".split()
FOODS = "apple cake pear cookie pie sandwich carrot plum bun".split()
HIDDEN = [("under a bush", "bush"), ("behind a big stone", "stone"), ("in a tall tree", "tree"), ("under the bridge", "bridge"),
          ("in the long grass", "grass"), ("next to the well", "well"), ("behind the gate", "gate")]
WEATHER = ["It was a sunny day.", "The sky was blue.", "It was a cold morning.", "The wind was blowing.", "It was a warm afternoon.", "It had rained all night."]
MORALS = ["From that day on, they were good friends.", "They were friends ever after.", "And they played together every day."]


class Cast:
    """Who is in the story, with the words that go with them."""

    def __init__(self, rng, name=None, animal=None, thing=None):
        self.name = name or pick(rng, GIRLS + BOYS)
        girl = self.name in GIRLS
        self.he, self.him, self.his, self.child = ("she", "her", "her", "girl") if girl else ("he", "him", "his", "boy")
        self.He = self.he.capitalize()
        self.friend = pick(rng, [n for n in GIRLS + BOYS if n != self.name])
        self.animal = animal or pick(rng, sorted(ANIMALS) + MORE_ANIMALS)
        self.thing = thing or pick(rng, THINGS)
        self.color, self.adj, self.adj2 = pick(rng, COLORS), pick(rng, ADJECTIVES), pick(rng, ADJECTIVES)
        self.place, self.at = pick(rng, PLACES)
        self.spot, self.spot_word = pick(rng, HIDDEN)
        self.food = pick(rng, FOODS)
        self.parent = pick(rng, ["mother", "father", "grandmother", "grandfather"])
        self.a_adj = ("an " if self.adj[0] in "aeiou" else "a ") + self.adj
        self.an_animal = ("an " if self.animal[0] in "aeiou" else "a ") + self.animal
        self.a_adj2_animal = ("an " if self.adj2[0] in "aeiou" else "a ") + self.adj2 + " " + self.animal
        self.a_food = ("an " if self.food[0] in "aeiou" else "a ") + self.food
        self.a_color_thing = ("an " if self.color[0] in "aeiou" else "a ") + self.color + " " + self.thing


def opening(rng, c):
    return pick(rng, [f"Once upon a time, there was {c.a_adj} {c.child} named {c.name}.", f"Once there was {c.a_adj} {c.child} called {c.name}.",
                      f"{c.name} was {c.a_adj} {c.child}.", f"Once upon a time there lived {c.a_adj} {c.child}. {c.his.capitalize()} name was {c.name}."])


def lost_thing(rng, c):
    return [f"{c.name} had {c.a_color_thing} and loved it very much.", pick(rng, WEATHER), f"{c.He} went out to play {c.at}.",
            pick(rng, [f"But soon the {c.thing} was gone!", f"Suddenly {c.he} could not find the {c.thing}."]),
            pick(rng, [f"{c.name} looked everywhere and began to cry.", f"{c.name} was very sad."]),
            f"Then {c.he} met {c.a_adj2_animal}.", f'"Why are you sad?" asked the {c.animal}.', f'"I lost my {c.thing}," said {c.name}.',
            pick(rng, [f'"I will help you," said the {c.animal}.', f'"Let us look together," said the {c.animal}.']),
            f"They looked and looked. The {c.thing} was {c.spot}!", f"{c.name} was so happy that {c.he} hugged the {c.animal}.", pick(rng, MORALS)]


def helped_animal(rng, c):
    return [f"One day {c.he} walked {c.at}.", f"There {c.he} heard a small voice. It was {c.an_animal} {c.spot}.",
            pick(rng, [f'"Please help me," said the {c.animal}. "My foot is stuck."', f'"Help!" cried the {c.animal}. "I cannot get out."']),
            pick(rng, [f"{c.name} was afraid at first, but {c.he} went closer.", f"{c.name} did not wait a moment."]),
            f"{c.He} pulled very hard, and the {c.animal} was free.", f'"Thank you, {c.name}!" said the {c.animal}.',
            f"The next day the {c.animal} came back and brought {c.him} {c.a_color_thing}.",
            f'"This is for you," it said, "because you are {pick(rng, ["kind", "brave", "good"])}."', pick(rng, MORALS)]


def shared_food(rng, c):
    return [f"{c.his.capitalize()} {c.parent} gave {c.him} {c.a_food}.", f"{c.name} took the {c.food} and went to eat it {c.at}.",
            f"There sat {c.friend}, who looked hungry.", f'"I have nothing to eat," said {c.friend}.',
            pick(rng, [f"{c.name} thought for a moment.", f"{c.name} looked at the {c.food}. It was not very big."]),
            f'"We can share," said {c.name}, and broke the {c.food} in two.', f"{c.friend} smiled. It was the best {c.food} of all.",
            f"Later {c.friend} showed {c.name} {c.a_color_thing}, and they played with it until the sun went down.", pick(rng, MORALS)]


def built(rng, c):
    part = pick(rng, ["wood", "paper", "stones", "old boxes"])
    return [f"{c.name} wanted to have {c.a_color_thing}.", f'"I will make one," {c.he} said.', f"{c.He} took {part} and worked all day {c.at}.",
            pick(rng, ["But it broke at once.", "But it did not look right.", "But the wind blew it away."]), f"{c.friend} came by and laughed.",
            f'"Do not laugh," said {c.name}. "Help me!"', f"So they tried again together, and {c.friend} painted it {c.color}.",
            f"In the evening the {c.thing} was ready. It was beautiful.", f"{c.his.capitalize()} {c.parent} was very proud of them.",
            pick(rng, ["Together it is easier, they thought.", "They had learned not to give up."])]


def night(rng, c):
    return [f"One night {c.he} could not sleep.", f"Outside {c.he} heard a sound. It came from the {c.place}.",
            f'"Who is there?" asked {c.name}.', f'"It is only me," said {c.a_adj2_animal}. "I am looking for the {c.spot_word}."',
            f"{c.name} took a lamp and went along.", f"The {c.spot_word} was not far, and there lay {c.a_color_thing}.",
            f'"I had left it here," said the {c.animal}. "Now I can sleep."', f"{c.name} went home and fell asleep at once.",
            pick(rng, [f"In the morning {c.he} thought it was a dream, but the lamp was still warm.", f"And in {c.his} dream {c.he} saw the {c.animal} again."])]


PLOTS = [lost_thing, helped_animal, shared_food, built, night]


def story_text(rng, c):
    return " ".join([opening(rng, c)] + pick(rng, PLOTS)(rng, c))


def story(rng):
    c = Cast(rng)
    form = rng.random()
    if form < 0.3:
        q = pick(rng, ["Tell me a story.", "Tell me a short story.", "Write a story.", "Can you tell me a story?", "I want to hear a story."])
    elif form < 0.6:
        q = pick(rng, ["Tell me a story about {n}.", "Write a short story about {n}.", "A story about {n}, please."]).format(n=c.name)
    elif form < 0.8:
        q = pick(rng, ["Tell me a story about {n} and {a}.", "Write a story about {a} and {n}."]).format(n=c.name, a=c.an_animal)
        return Sample("story", f"{q} {c.thing}", q, " ".join([opening(rng, c)] + pick(rng, [lost_thing, helped_animal, night])(rng, c)))
    else:
        q = pick(rng, ["Tell me a story about {n} and {t}.", "Write a story about {n} with {t}."]).format(n=c.name, t=c.a_color_thing)
        return Sample("story", f"{q} {c.animal}", q, " ".join([opening(rng, c)] + pick(rng, PLOTS)(rng, c)))
    return Sample("story", f"{q} {c.animal} {c.thing}", q, story_text(rng, c))


def story_question(rng):
    """A question on a story that was told before."""
    c = Cast(rng)
    text = " ".join([opening(rng, c)] + lost_thing(rng, c))
    q, a = pick(rng, [("What did {n} lose?", f"{c.name} lost the {c.color} {c.thing}."), ("Who helped {n}?", f"The {c.adj2} {c.animal} helped {c.name}."),
                      ("Where was the {t}?", f"The {c.thing} was {c.spot}."), ("What color was the {t}?", f"The {c.thing} was {c.color}.")])
    before = [{"role": "user", "content": f"Tell me a story about {c.name}."}, {"role": "assistant", "content": text}]
    return Sample("memory", f"{q} {text}", q.format(n=c.name, t=c.thing), a, before=before)
