"""Facts and words that the corpus is made of."""

GIRLS = """Ada Amy Anna Bella Clara Daisy Ella Emma Eva Fiona Grace Hana Ida Ivy Jane Julia Kate Lena Lily Lisa Lucy
Maria Mary Mia Mila Nina Nora Olga Paula Rosa Ruth Sara Sofia Tara Tina Vera Wanda Yara Zoe""".split()
BOYS = """Adam Alan Anton Ben Carl Dan David Emil Felix Finn Fred George Hugo Ian Jack Jim Joe John Karl Leo Luca Mark
Max Milo Nick Noah Oscar Otto Paul Peter Ravi Sam Simon Theo Tim Tom Victor Will Yusuf""".split()
NAMES = GIRLS + BOYS

# country: (capital, continent, language)
COUNTRIES = {
    "France": ("Paris", "Europe", "French"), "Germany": ("Berlin", "Europe", "German"),
    "Italy": ("Rome", "Europe", "Italian"), "Spain": ("Madrid", "Europe", "Spanish"),
    "Portugal": ("Lisbon", "Europe", "Portuguese"), "England": ("London", "Europe", "English"),
    "Ireland": ("Dublin", "Europe", "English"), "Norway": ("Oslo", "Europe", "Norwegian"),
    "Sweden": ("Stockholm", "Europe", "Swedish"), "Finland": ("Helsinki", "Europe", "Finnish"),
    "Denmark": ("Copenhagen", "Europe", "Danish"), "Poland": ("Warsaw", "Europe", "Polish"),
    "Austria": ("Vienna", "Europe", "German"), "Hungary": ("Budapest", "Europe", "Hungarian"),
    "Greece": ("Athens", "Europe", "Greek"), "Romania": ("Bucharest", "Europe", "Romanian"),
    "Bulgaria": ("Sofia", "Europe", "Bulgarian"), "Ukraine": ("Kyiv", "Europe", "Ukrainian"),
    "Iceland": ("Reykjavik", "Europe", "Icelandic"), "Croatia": ("Zagreb", "Europe", "Croatian"),
    "Estonia": ("Tallinn", "Europe", "Estonian"), "Latvia": ("Riga", "Europe", "Latvian"),
    "Japan": ("Tokyo", "Asia", "Japanese"), "China": ("Beijing", "Asia", "Chinese"),
    "South Korea": ("Seoul", "Asia", "Korean"), "Vietnam": ("Hanoi", "Asia", "Vietnamese"),
    "Thailand": ("Bangkok", "Asia", "Thai"), "Nepal": ("Kathmandu", "Asia", "Nepali"),
    "Mongolia": ("Ulaanbaatar", "Asia", "Mongolian"), "Iran": ("Tehran", "Asia", "Persian"),
    "Iraq": ("Baghdad", "Asia", "Arabic"), "Turkey": ("Ankara", "Asia", "Turkish"),
    "Egypt": ("Cairo", "Africa", "Arabic"), "Morocco": ("Rabat", "Africa", "Arabic"),
    "Kenya": ("Nairobi", "Africa", "Swahili"), "Ghana": ("Accra", "Africa", "English"),
    "Ethiopia": ("Addis Ababa", "Africa", "Amharic"), "Senegal": ("Dakar", "Africa", "French"),
    "Tunisia": ("Tunis", "Africa", "Arabic"), "Angola": ("Luanda", "Africa", "Portuguese"),
    "Canada": ("Ottawa", "North America", "English"), "Mexico": ("Mexico City", "North America", "Spanish"),
    "Cuba": ("Havana", "North America", "Spanish"), "Jamaica": ("Kingston", "North America", "English"),
    "Panama": ("Panama City", "North America", "Spanish"), "Brazil": ("Brasilia", "South America", "Portuguese"),
    "Argentina": ("Buenos Aires", "South America", "Spanish"), "Chile": ("Santiago", "South America", "Spanish"),
    "Peru": ("Lima", "South America", "Spanish"), "Colombia": ("Bogota", "South America", "Spanish"),
    "Ecuador": ("Quito", "South America", "Spanish"), "Uruguay": ("Montevideo", "South America", "Spanish"),
    "Australia": ("Canberra", "Oceania", "English"), "New Zealand": ("Wellington", "Oceania", "English"),
    "Fiji": ("Suva", "Oceania", "English"),
}
CITIES = [c[0] for c in COUNTRIES.values()] + """Boston Bristol Chicago Cologne Dallas Geneva Hamburg Istanbul Kobe Lagos
Leeds Lyon Milan Mumbai Munich Naples Osaka Oxford Porto Prague Sydney Toronto Turin Venice Zurich""".split()
# Places and people that nobody knows: the right answer is that one does not know.
INVENTED = """Arvonia Belloria Cromania Dastria Elbonia Fandor Galdovia Harmonia Istria-Nord Jandor Kelvaria Lorvania Mordalia
Norlund Ostavia Pelluria Quandor Ravonia Sylvaria Tarnovia Ulvania Vandria Westoria Xandria Yldora Zembia""".split()

# animal: (sound verb, legs, group, home)
ANIMALS = {
    "dog": ("barks", 4, "mammal", "a house"), "cat": ("meows", 4, "mammal", "a house"),
    "cow": ("moos", 4, "mammal", "a farm"), "horse": ("neighs", 4, "mammal", "a farm"),
    "sheep": ("bleats", 4, "mammal", "a farm"), "pig": ("grunts", 4, "mammal", "a farm"),
    "duck": ("quacks", 2, "bird", "a pond"), "hen": ("clucks", 2, "bird", "a farm"),
    "owl": ("hoots", 2, "bird", "a forest"), "crow": ("caws", 2, "bird", "a field"),
    "lion": ("roars", 4, "mammal", "the savanna"), "wolf": ("howls", 4, "mammal", "a forest"),
    "bear": ("growls", 4, "mammal", "a forest"), "mouse": ("squeaks", 4, "mammal", "a field"),
    "frog": ("croaks", 4, "amphibian", "a pond"), "snake": ("hisses", 0, "reptile", "the grass"),
    "bee": ("buzzes", 6, "insect", "a hive"), "cricket": ("chirps", 6, "insect", "the grass"),
    "elephant": ("trumpets", 4, "mammal", "the savanna"), "goose": ("honks", 2, "bird", "a pond"),
}
MORE_ANIMALS = "fox rabbit turtle squirrel hedgehog pony parrot otter penguin goat donkey beaver".split()
ADJECTIVES = "small big little old young happy shy brave clever kind quiet funny gentle hungry tired curious".split()
COLORS = "red blue green yellow white black brown orange purple pink gray silver golden".split()
COLOR_OF = {"grass": "green", "the sky": "blue", "snow": "white", "a banana": "yellow", "coal": "black",
            "a lemon": "yellow", "blood": "red", "the sun": "yellow", "milk": "white", "chocolate": "brown",
            "a carrot": "orange", "a strawberry": "red", "a frog": "green", "the sea": "blue", "a raven": "black"}
OPPOSITES = [("big", "small"), ("hot", "cold"), ("up", "down"), ("fast", "slow"), ("old", "new"), ("day", "night"),
             ("open", "closed"), ("light", "dark"), ("happy", "sad"), ("high", "low"), ("long", "short"),
             ("left", "right"), ("full", "empty"), ("hard", "soft"), ("wet", "dry"), ("early", "late"),
             ("young", "old"), ("rich", "poor"), ("strong", "weak"), ("loud", "quiet"), ("near", "far"),
             ("first", "last"), ("true", "false"), ("clean", "dirty"), ("inside", "outside"), ("win", "lose")]
PLURALS = {"child": "children", "mouse": "mice", "foot": "feet", "tooth": "teeth", "goose": "geese", "man": "men",
           "woman": "women", "leaf": "leaves", "knife": "knives", "wolf": "wolves", "city": "cities", "baby": "babies",
           "box": "boxes", "bus": "buses", "fox": "foxes", "sheep": "sheep", "fish": "fish", "cat": "cats",
           "dog": "dogs", "tree": "trees", "house": "houses", "apple": "apples", "berry": "berries", "shelf": "shelves"}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
SEASONS = {"spring": "March, April and May", "summer": "June, July and August",
           "autumn": "September, October and November", "winter": "December, January and February"}
PLANETS = "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split()
UNITS = [("minutes", "an hour", 60), ("seconds", "a minute", 60), ("hours", "a day", 24), ("days", "a week", 7),
         ("months", "a year", 12), ("days", "a year", 365), ("centimeters", "a meter", 100),
         ("meters", "a kilometer", 1000), ("grams", "a kilogram", 1000), ("sides", "a triangle", 3),
         ("sides", "a square", 4), ("sides", "a hexagon", 6), ("legs", "a spider", 8), ("wheels", "a bicycle", 2),
         ("wheels", "a car", 4), ("letters", "the English alphabet", 26), ("players", "a football team", 11),
         ("strings", "a violin", 4), ("planets", "the solar system", 8), ("continents", "the world", 7)]

GROUPS = {
    "fruits": "apple banana cherry grape lemon mango melon orange peach pear plum kiwi apricot fig".split(),
    "vegetables": "carrot potato tomato onion cabbage pea bean pepper spinach leek radish pumpkin".split(),
    "animals": list(ANIMALS) + MORE_ANIMALS,
    "colors": COLORS[:11],
    "tools": "hammer saw drill wrench axe shovel rake pliers ladder brush".split(),
    "drinks": "water milk tea coffee juice lemonade cocoa soda".split(),
    "instruments": "piano violin guitar drum flute trumpet harp cello".split(),
    "clothes": "shirt coat hat sock shoe scarf glove dress jacket belt".split(),
    "sports": "football tennis hockey swimming running rowing boxing skating".split(),
    "trees": "oak pine birch maple willow elm cedar ash".split(),
    "jobs": "doctor teacher baker farmer pilot nurse cook painter driver singer".split(),
    "rooms": "kitchen bedroom bathroom hall attic cellar garage office".split(),
}
WORDS = sorted(set(w for g in GROUPS.values() for w in g) | set(PLURALS) | set(
    """bread bridge bottle window garden school paper river mountain island candle mirror pocket letter basket button
    castle pencil summer winter flower forest friend market morning number orange planet rabbit silver street table
    ticket travel valley village wagon water yellow cloud dream earth field glass heart light money night ocean piano
    queen smile spoon stone storm sugar train truck voice wheel world chair clock plate sleep snow star wind rain hand
    book door fire king lamp moon road rock room ship song tail wall""".split()))
