"""Planted lists whose items stand alone, many of them about the same kinds of things as the dependent ones.
Written for this project.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from planted_dependent import Case
from planted_topics import TOPICS
from planted_words import CODENAMES, FOODS, PEOPLE, PLACES, PRODUCTS, THINGS, WORDS, given, money, several


def topic(draw: random.Random) -> Case:
    question, lead, items = draw.choice(TOPICS)
    return question, lead, draw.sample(list(items), draw.randint(4, min(6, len(items))))


def catalogue(draw: random.Random) -> Case:
    thing = draw.choice(THINGS)
    shapes = (
        "weighs {n} grams, costs {p}, and comes with a carrying case made of felt.",
        "is sold for {p} and carries a guarantee of {m} months on all of its parts.",
        "has a frame of recycled metal, a price of {p}, and {n} good reviews so far.",
        "was tested for {n} hours without a fault and can be bought for {p} online.",
        "is the quietest of its class at {m} decibels, though a price of {p} is high.",
    )
    items = []
    for name, shape in zip(several(draw, PRODUCTS, 4), draw.sample(shapes, 4), strict=True):
        text = shape.format(n=money(draw, 210, 980), p=money(draw, 21, 390), m=draw.randint(13, 47))
        items.append((name, f"The {name} {text}"))
    return f"Which {thing}s could I buy?", "Some that you could look at:", items


def towns(draw: random.Random) -> Case:
    shapes = (
        "Visitors come for the old lighthouse, which has {n} steps and a view over the bay.",
        "A market with {m} stalls fills the main square every Saturday from early spring on.",
        "Its museum shows {n} clocks, the oldest of them built by a monk in the hills.",
        "The town is known for a bakery that sells {n} almond rolls on a good morning.",
        "A cable car takes {m} minutes to the ridge, where goats graze beside the path.",
        "Nearly every house has a blue door, a custom that {p} started after a flood.",
    )
    items = []
    for place, shape in zip(several(draw, PLACES, 5), draw.sample(shapes, 5), strict=True):
        items.append(
            (place, shape.format(n=money(draw, 130, 640), m=draw.randint(12, 48), p=draw.choice(PEOPLE)))
        )
    return "Invent some small towns for a travel game.", "Here are some towns:", items


def sums(draw: random.Random) -> Case:
    items = []
    for name, thing in zip(several(draw, PEOPLE, 4), several(draw, THINGS, 4), strict=True):
        price, n = money(draw, 12, 97), draw.randint(3, 9)
        text = f"{given(name)} buys {n} of the {thing}s at {price} each and pays {n * price} altogether."
        items.append((f"Problem with a {thing}", text))
    return "Make up some unrelated multiplication problems with answers.", "Some problems:", items


def vignettes(draw: random.Random) -> Case:
    shapes = (
        "{a} finds a {t} on the beach at {p} and decides to return it to its owner.",
        "Nobody believes {a} until the old {t} in the attic of {p} begins to sing.",
        "On a night train to {p}, {a} trades a {t} for the secret of a stranger.",
        "{a} wakes up in {p} without a {t}, but with a key that fits every door.",
        "The people of {p} elect {a} mayor because of a speech about a broken {t}.",
    )
    people, places, things = several(draw, PEOPLE, 4), several(draw, PLACES, 4), several(draw, THINGS, 4)
    items = [
        (f"The {thing}", shape.format(a=person, p=place, t=thing))
        for person, place, thing, shape in zip(people, places, things, draw.sample(shapes, 4), strict=True)
    ]
    return "Give me ideas for short stories, each on its own.", "Some ideas:", items


def services(draw: random.Random) -> Case:
    shapes = (
        "The service {c} listens on port {n} and only ever reads from the archive of images.",
        "Messages to customers are sent by {c}, which retries {m} times before it gives up.",
        "Reports are built every night by {c} and kept for {n} days on a cheap disk.",
        "The team uses {c} to resize pictures; it needs about {n} megabytes of memory to run.",
        "Passwords are checked by {c}, which locks an account for {m} minutes after abuse.",
    )
    items = []
    for name, shape in zip(several(draw, CODENAMES, 4), draw.sample(shapes, 4), strict=True):
        items.append((name, shape.format(c=name.lower(), n=draw.randint(1021, 9899), m=draw.randint(11, 49))))
    return "Make up services of an imaginary company for a course.", "The services:", items


def codes(draw: random.Random) -> Case:
    items = []
    for word in several(draw, WORDS, 4):
        back = word[::-1]
        items.append(
            (word.title(), f"Written from the end to the beginning, the word '{word}' turns into '{back}'.")
        )
    return "Reverse some words of your choice for me.", "Some words:", items


def soups(draw: random.Random) -> Case:
    shapes = (
        "Roast the vegetable for {m} minutes, blend it with stock, and finish with a spoon of cream.",
        "Fry an onion, add broth and a bay leaf, and cook everything gently for {m} minutes.",
        "Keep some pieces whole for bite, blend the rest, and season with cumin and lime.",
        "Serve it cold with yoghurt and mint; it needs only {m} minutes on a hot day.",
        "Add smoked paprika and a potato for body, and let it simmer {m} minutes with the lid on.",
    )
    items = [
        (f"{food.title()} soup", shape.format(m=draw.choice((18, 22, 27, 33, 36))))
        for food, shape in zip(several(draw, FOODS, 4), draw.sample(shapes, 4), strict=True)
    ]
    return "What soups can I make from vegetables?", "Here are some soups:", items


def shop_questions(draw: random.Random) -> Case:
    pool = (
        (
            "Opening hours",
            f"The shop opens at {draw.randint(7, 10)}:30 and closes in the evening, except on public holidays.",
        ),
        (
            "Returns",
            f"Goods can be sent back within {draw.randint(16, 44)} days as long as the label is still on them.",
        ),
        (
            "Shipping",
            f"Parcels weigh up to {draw.randint(11, 29)} kilos and travel with a carrier that tracks each of them.",
        ),
        (
            "Gift cards",
            f"Cards hold between 10 and {money(draw, 210, 480)} and can be spent in the branch or online.",
        ),
        (
            "Repairs",
            f"A workshop in {draw.choice(PLACES)} repairs broken zips and seams for customers free of charge.",
        ),
        (
            "Contact",
            f"{draw.choice(PEOPLE)} answers letters and calls on weekdays, usually before the end of the day.",
        ),
        ("Sizes", "Jackets run small, so most people order one size larger than they would wear elsewhere."),
    )
    return "Write help texts for an imaginary outdoor shop.", "Help texts:", draw.sample(list(pool), 5)


def puzzles(draw: random.Random) -> Case:
    items = []
    for i, place in enumerate(several(draw, PLACES, 4)):
        width, length = draw.randint(3, 9), draw.randint(11, 19)
        what = ("garden", "courtyard", "car park", "playground")[i]
        text = f"A {what} of {width} by {length} metres in {place} covers an area of {width * length} square metres."
        items.append((f"The {what}", text))
    return "Give examples of computing areas.", "Some examples:", items


def biographies(draw: random.Random) -> Case:
    shapes = (
        "{a} grew up in {p}, studied fish for {m} years, and wrote a song about the tide.",
        "Trained as a baker, {a} left {p} at {m} and opened a school for clockmakers.",
        "{a} mapped the caves near {p} alone and named {m} of them after cheeses.",
        "As a judge in {p}, {a} was famous for sentences of {m} words and no more.",
        "{a} built {m} kites in a shed in {p}, and one of them crossed the border.",
    )
    people, places = several(draw, PEOPLE, 4), several(draw, PLACES, 4)
    items = [
        (person, shape.format(a=person, p=place, m=draw.randint(21, 79)))
        for person, place, shape in zip(people, places, draw.sample(shapes, 4), strict=True)
    ]
    return "Invent short biographies of people who never met.", "Some people:", items


def tasks(draw: random.Random) -> Case:
    pool = (
        ("Kitchen", f"{given(draw.choice(PEOPLE))} wipes the shelves and throws out whatever is older than {draw.randint(11, 28)} days."),
        ("Garden", f"The hedge along the road needs cutting, about {draw.randint(13, 38)} metres of it, with the large shears."),
        ("Garage", f"Somebody has to sort {draw.randint(41, 96)} boxes of screws and bring the worn tyres to the dealer."),
        ("Office", f"Old letters go into the shredder, and the printer gets a new drum for {money(draw, 61, 140)}."),
        ("Cellar", f"Check the walls for damp spots and let the dryer run for {draw.randint(13, 22)} hours with the door shut."),
        ("Attic", "Look for signs of mice between the beams and close the gap beside the small round window."),
        ("Bathroom", f"Replace the washer of the tap, which loses {draw.randint(11, 29)} litres a day according to the meter."),
    )  # fmt: skip
    return "What is there to do in the house this month?", "Some chores:", draw.sample(list(pool), 5)


# the first family is drawn as often as six others: it is closest to what people ask
FAMILIES: tuple[Callable[[random.Random], Case], ...] = (
    topic, topic, topic, topic, topic, topic, catalogue, towns, sums, vignettes, services, codes, soups, shop_questions,
    puzzles, biographies, tasks,
)  # fmt: skip
