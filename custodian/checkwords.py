"""Check words: four bytes as four words that one person reads aloud and another compares.

The 256 words are short, concrete and easy to say, and no two begin with the same three letters, so that
what was half heard is still told apart.
"""

_WORDS = """
    acid actor admiral agent alarm album amber anchor angle apple april arena armor arrow atlas audio
    autumn axle bacon badge baker banjo barn basket beach bell bench berry bird bishop blanket boat
    bonus bottle brick bronze bucket butter cabin cactus camel candle carpet castle cedar chalk cherry circus
    clock cobra coffee copper cotton crayon cube daisy dance denim desk diamond dinner doctor dolphin domino
    dragon drum duck dust eagle earth easel echo elbow emerald empire engine fabric falcon fancy farm
    feather fence fiddle film finger flag flute fog forest fox frost fudge galaxy garden gate ghost
    giant ginger glove goat gold grape guitar gum hammer harbor hat hawk helmet herb hill honey
    horse hotel husky ice igloo index ink iron island ivory jacket jazz jelly jewel jockey judge
    juice jungle kayak kettle kitten kiwi koala label ladder lake lantern lava lemon letter library lily
    lion lobster lotus lunch magnet maple market medal melon mint mirror moon motor mouse muffin museum
    napkin needle nest nickel noodle north nurse oak oasis ocean olive onion opera orange otter oven
    owl oxygen paddle palace panda parrot peach pencil pepper piano pilot pink pizza planet pocket pony
    potato prince puzzle quartz queen quilt rabbit radio raven ribbon river robot rocket rose ruby saddle
    salmon sand satin scarf school seal shadow silver sister skate snow soap sofa spider spoon stone
    sugar summer swan table tango taxi temple ticket tiger toast tomato torch tower trumpet tulip tunnel
    turtle uncle unicorn valley velvet violin volcano wagon walnut water whale window wolf yacht yellow zebra
"""
WORDS = tuple(_WORDS.split())


def check_words(data: bytes) -> tuple[str, ...]:
    """Return a word for each byte."""
    return tuple(WORDS[byte] for byte in data)
