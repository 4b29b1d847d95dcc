"""Writes the suite "rag": passages of invented facts, with requests whose answers are known exactly.

    python tools/write_rag.py          writes python/aspd_local/eval/suites/rag.jsonl.gz

Each passage tells six facts or more of one invented place, firm, person, machine, event or animal, among
sentences that ask for nothing. A third of the requests want fields, a third ask several questions, a third
want a summary by aspect. All names are made of syllables, so no model can know the answers without the
passage. No answer is a number that a list mark could be.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "python/aspd_local/eval/suites/rag.jsonl.gz"
N_PASSAGES = 180
SEED = 20261126

_SYLLABLES = [
    "ba",
    "be",
    "bo",
    "da",
    "del",
    "dor",
    "fa",
    "fen",
    "gal",
    "har",
    "il",
    "jo",
    "ka",
    "lor",
    "mar",
    "mi",
    "nel",
    "no",
    "or",
    "pa",
    "quin",
    "ra",
    "sel",
    "ta",
    "tor",
    "ul",
    "va",
    "ven",
    "wil",
    "za",
]
_GIVEN = [
    "Anna",
    "Bela",
    "Carlo",
    "Dina",
    "Edgar",
    "Fiona",
    "Goran",
    "Hedda",
    "Igor",
    "Jana",
    "Karim",
    "Lena",
    "Marek",
    "Nadia",
    "Otto",
    "Petra",
    "Ravi",
    "Sanna",
    "Tomas",
    "Ursula",
]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_COLOURS = ["red", "blue", "green", "yellow", "black", "white", "grey", "orange", "purple", "brown"]
_MATERIALS = ["granite", "oak", "copper", "glass", "brick", "steel", "marble", "cork", "slate", "bamboo"]
_CROPS = ["barley", "apples", "hops", "walnuts", "lavender", "flax", "plums", "rye", "mustard", "chestnuts"]


@dataclass(frozen=True)
class Fact:
    """field: its name. question: that asks for it. aspect: under which it belongs. sentence: that tells
    it.
    """

    field: str
    question: str
    aspect: str
    sentence: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Passage:
    """What is told of one invented thing."""

    kind: str
    name: str
    opening: str
    facts: tuple[Fact, ...]
    asides: tuple[str, ...]


Dice = random.Random


def name(dice: Dice, n: int = 2) -> str:
    """An invented name."""
    return "".join(dice.choice(_SYLLABLES) for _ in range(n)).capitalize()


def person(dice: Dice) -> str:
    """An invented person."""
    return f"{dice.choice(_GIVEN)} {name(dice)}"


def number(n: int) -> tuple[str, ...]:
    """A number as texts write it."""
    return (f"{n:,}", str(n)) if n >= 1000 else (str(n),)


def town(dice: Dice) -> Passage:
    it, founder, river = name(dice, 3), person(dice), name(dice)
    year, people, height = dice.randint(1100, 1890), dice.randint(1200, 98000), dice.randint(60, 1900)
    crop, month, stone = dice.choice(_CROPS), dice.choice(_MONTHS), dice.choice(_MATERIALS)
    return Passage(
        "town",
        it,
        f"{it} is a town on the river {river}.",
        (
            Fact("founder", f"Who founded {it}?", "history", f"It was founded by {founder}.", (founder,)),
            Fact(
                "year of foundation",
                f"In which year was {it} founded?",
                "history",
                f"Its charter was signed in {year}, the year of its foundation.",
                (str(year),),
            ),
            Fact(
                "population",
                f"How many people live in {it}?",
                "people",
                f"At the last count {people:,} people lived there.",
                number(people),
            ),
            Fact(
                "height above the sea",
                f"How high above the sea does {it} lie?",
                "place",
                f"The market square lies {height} metres above the sea.",
                (str(height),),
            ),
            Fact(
                "main crop",
                f"What is the main crop around {it}?",
                "economy",
                f"The fields around it grow mostly {crop}.",
                (crop,),
            ),
            Fact(
                "month of the fair",
                f"In which month is the fair of {it} held?",
                "customs",
                f"A fair is held there every {month}.",
                (month,),
            ),
            Fact(
                "stone of the bridge",
                f"What is the old bridge of {it} made of?",
                "buildings",
                f"The old bridge is made of {stone}.",
                (stone,),
            ),
        ),
        (
            "Visitors often praise its quiet lanes.",
            "Trains stop there twice a day.",
            "Its archive burnt down once.",
        ),
    )


def firm(dice: Dice) -> Passage:
    it, chief, city = (
        f"{name(dice)} {dice.choice(['Works', 'Brothers', 'Industries', 'Workshops'])}",
        person(dice),
        name(dice, 3),
    )
    year, staff, sales = dice.randint(1890, 2019), dice.randint(40, 9800), dice.randint(13, 870)
    product, material = (
        dice.choice(["bicycles", "kettles", "pianos", "tents", "lamps", "pumps", "clocks", "boats"]),
        dice.choice(_MATERIALS),
    )
    return Passage(
        "firm",
        it,
        f"{it} is a firm that makes {product}.",
        (
            Fact(
                "product",
                f"What does {it} make?",
                "products",
                f"Its catalogue lists {product} only.",
                (product,),
            ),
            Fact("head", f"Who leads {it}?", "people", f"It is led by {chief}.", (chief,)),
            Fact(
                "seat",
                f"In which city is the seat of {it}?",
                "place",
                f"Its seat is in the city of {city}.",
                (city,),
            ),
            Fact(
                "year of foundation",
                f"When was {it} founded?",
                "history",
                f"It was founded in {year}.",
                (str(year),),
            ),
            Fact(
                "number of employees",
                f"How many people work for {it}?",
                "people",
                f"It has {staff:,} employees.",
                number(staff),
            ),
            Fact(
                "sales",
                f"How large were the sales of {it} last year?",
                "money",
                f"Sales came to {sales} million last year.",
                (str(sales),),
            ),
            Fact(
                "favourite material",
                f"Which material does {it} use most?",
                "products",
                f"No material is used there more than {material}.",
                (material,),
            ),
        ),
        (
            "The canteen is known for its soup.",
            "A strike was averted in spring.",
            "Its logo has changed twice.",
        ),
    )


def scholar(dice: Dice) -> Passage:
    it, teacher, birthplace = person(dice), person(dice), name(dice, 3)
    born, books = dice.randint(1820, 1975), dice.randint(13, 61)
    field, instrument = (
        dice.choice(["botany", "geology", "optics", "grammar", "algebra", "acoustics", "history"]),
        dice.choice(["violin", "flute", "cello", "organ", "harp"]),
    )
    prize, island = f"{name(dice)} Prize", name(dice)
    return Passage(
        "scholar",
        it,
        f"{it} was known far beyond the university.",
        (
            Fact(
                "field",
                f"In which field did {it} work?",
                "work",
                f"The field of this work was {field}.",
                (field,),
            ),
            Fact(
                "year of birth",
                f"In which year was {it} born?",
                "life",
                f"The year of birth is given as {born}.",
                (str(born),),
            ),
            Fact(
                "birthplace",
                f"Where was {it} born?",
                "life",
                f"The birthplace was {birthplace}.",
                (birthplace,),
            ),
            Fact("teacher", f"Who taught {it}?", "life", f"The first teacher was {teacher}.", (teacher,)),
            Fact(
                "number of books",
                f"How many books did {it} write?",
                "work",
                f"In all {books} books were written.",
                (str(books),),
            ),
            Fact(
                "prize",
                f"Which prize did {it} receive?",
                "honours",
                f"The {prize} was the highest honour received.",
                (prize,),
            ),
            Fact(
                "instrument",
                f"Which instrument did {it} play?",
                "leisure",
                f"Evenings were spent with the {instrument}.",
                (instrument,),
            ),
            Fact(
                "island of the summers",
                f"On which island did {it} spend the summers?",
                "leisure",
                f"Summers were spent on the island of {island}.",
                (island,),
            ),
        ),
        (
            "Letters to friends are full of jokes.",
            "A portrait hangs in the library.",
            "Lectures began before dawn.",
        ),
    )


def machine(dice: Dice) -> Passage:
    it, maker = f"{name(dice)} {dice.randint(2, 90)}0", person(dice)
    weight, power, price = dice.randint(14, 890), dice.randint(15, 3200), dice.randint(40, 8900)
    colour, warranty, use = (
        dice.choice(_COLOURS),
        dice.randint(11, 30),
        dice.choice(
            [
                "milling flour",
                "cutting hedges",
                "drying fruit",
                "weaving cloth",
                "sorting seeds",
                "pressing cider",
            ]
        ),
    )
    return Passage(
        "machine",
        it,
        f"The {it} is a machine that farms and small workshops like.",
        (
            Fact("purpose", f"What is the {it} for?", "use", f"It is built for {use}.", (use,)),
            Fact("designer", f"Who designed the {it}?", "origin", f"Its designer is {maker}.", (maker,)),
            Fact(
                "weight",
                f"How much does the {it} weigh?",
                "technology",
                f"It weighs {weight} kilograms.",
                (str(weight),),
            ),
            Fact(
                "power",
                f"How much power does the {it} need?",
                "technology",
                f"It needs {power:,} watts.",
                number(power),
            ),
            Fact(
                "price", f"What does the {it} cost?", "buying", f"It costs {price:,} crowns.", number(price)
            ),
            Fact(
                "warranty",
                f"How long is the warranty of the {it}?",
                "buying",
                f"The warranty lasts {warranty} years.",
                (str(warranty),),
            ),
            Fact("colour", f"Which colour is the {it}?", "look", f"It is sold in {colour} only.", (colour,)),
        ),
        ("A manual comes with it.", "Reviewers call it sturdy.", "Spare parts are easy to find."),
    )


def festival(dice: Dice) -> Passage:
    it, head, place = f"{name(dice)} Days", person(dice), name(dice, 3)
    year, guests, days = dice.randint(1905, 2016), dice.randint(900, 89000), dice.randint(11, 30)
    month, fee, prize = (
        dice.choice(_MONTHS),
        dice.randint(13, 95),
        dice.choice(
            ["a silver spoon", "a wooden horse", "a wreath of ivy", "a copper bell", "a woollen cap"]
        ),
    )
    return Passage(
        "festival",
        it,
        f"The {it} are a festival of music and crafts.",
        (
            Fact("place", f"Where are the {it} held?", "place", f"They are held in {place}.", (place,)),
            Fact("month", f"In which month are the {it}?", "time", f"They begin in {month}.", (month,)),
            Fact(
                "length in days",
                f"How many days do the {it} last?",
                "time",
                f"They last {days} days.",
                (str(days),),
            ),
            Fact(
                "first year",
                f"In which year were the first {it}?",
                "history",
                f"They were held for the first time in {year}.",
                (str(year),),
            ),
            Fact(
                "number of guests",
                f"How many guests came to the {it} last time?",
                "guests",
                f"Last time {guests:,} guests came.",
                number(guests),
            ),
            Fact("director", f"Who directs the {it}?", "people", f"The director is {head}.", (head,)),
            Fact(
                "price of a ticket",
                f"What does a ticket for the {it} cost?",
                "money",
                f"A ticket costs {fee} crowns.",
                (str(fee),),
            ),
            Fact(
                "prize",
                f"What does the winner at the {it} get?",
                "customs",
                f"The winner gets {prize}.",
                (prize.split(" ", 1)[1],),
            ),
        ),
        ("Rain has never stopped them.", "The last evening ends with a dance.", "Many come on foot."),
    )


def animal(dice: Dice) -> Passage:
    it, finder, region = (
        f"{name(dice).lower()} {dice.choice(['heron', 'marten', 'newt', 'lark', 'beetle'])}",
        person(dice),
        name(dice, 3),
    )
    year, length, eggs = dice.randint(1790, 1999), dice.randint(14, 96), dice.randint(12, 60)
    food, colour, years = (
        dice.choice(["snails", "berries", "moss", "ants", "seeds", "tadpoles"]),
        dice.choice(_COLOURS),
        dice.randint(13, 48),
    )
    return Passage(
        "animal",
        it,
        f"The {it} is a shy animal of the marshes.",
        (
            Fact(
                "region",
                f"In which region does the {it} live?",
                "home",
                f"It lives in {region} and nowhere else.",
                (region,),
            ),
            Fact(
                "discoverer",
                f"Who first described the {it}?",
                "discovery",
                f"{finder} described it first.",
                (finder,),
            ),
            Fact(
                "year of its discovery",
                f"In which year was the {it} described?",
                "discovery",
                f"That was in {year}.",
                (str(year),),
            ),
            Fact(
                "length",
                f"How long does the {it} become?",
                "body",
                f"It becomes {length} centimetres long.",
                (str(length),),
            ),
            Fact(
                "colour",
                f"Which colour is the back of the {it}?",
                "body",
                f"Its back is {colour}.",
                (colour,),
            ),
            Fact("food", f"What does the {it} eat?", "habits", f"It eats {food}.", (food,)),
            Fact(
                "number of eggs",
                f"How many eggs does the {it} lay?",
                "habits",
                f"It lays {eggs} eggs at a time.",
                (str(eggs),),
            ),
            Fact(
                "age",
                f"How old does the {it} become?",
                "life",
                f"It becomes {years} years old.",
                (str(years),),
            ),
        ),
        ("It is active at dusk.", "Farmers leave it alone.", "Its call is rarely heard."),
    )


def told(dice: Dice, passage: Passage, facts: Sequence[Fact]) -> str:
    """The passage as prose. The sentence of a discovery's year follows who made it."""
    sentences = [fact.sentence for fact in facts]
    for aside in dice.sample(passage.asides, 2):
        at = dice.randrange(len(sentences) + 1)
        if at < len(sentences) and sentences[at].startswith("That was"):
            at += 1
        sentences.insert(at, aside)
    return " ".join([passage.opening, *sentences])


def fields(_passage: Passage, chosen: Sequence[Fact]) -> str:
    listed = "\n".join(f"{i}. {fact.field}" for i, fact in enumerate(chosen, 1))
    wanted = "Extract these fields from the passage. Write a numbered list with one line for each field."
    return f"{wanted}\n{listed}"


def questions(_passage: Passage, chosen: Sequence[Fact]) -> str:
    listed = "\n".join(f"{i}. {fact.question}" for i, fact in enumerate(chosen, 1))
    return (
        f"Answer each of these questions from the passage in one full sentence, as a numbered list.\n{listed}"
    )


def aspects(passage: Passage, chosen: Sequence[Fact]) -> str:
    named = list(dict.fromkeys(fact.aspect for fact in chosen))
    return (
        f"Summarise what the passage says of the {passage.kind} {passage.name} by aspect: "
        f"{', '.join(named)}. Write one or two sentences for each aspect, each under its name, and leave out "
        "no name and no number."
    )


def main() -> None:
    """Writes the file."""
    dice = Dice(SEED)
    kinds: list[Callable[[Dice], Passage]] = [town, firm, scholar, machine, festival, animal]
    styles = {"fields": fields, "questions": questions, "aspects": aspects}
    lines = []
    for i in range(N_PASSAGES):
        passage = kinds[i % len(kinds)](dice)
        style = list(styles)[i // len(kinds) % len(styles)]
        text = told(dice, passage, passage.facts)
        chosen = [
            passage.facts[j] for j in sorted(dice.sample(range(len(passage.facts)), dice.randint(4, 6)))
        ]
        row = {
            "id": f"{passage.kind}-{i + 1:03d}",
            "category": style,
            "prompt": f"{text}\n\n{styles[style](passage, chosen)}",
            "facts": [list(fact.answers) for fact in chosen],
        }
        lines.append(json.dumps(row, ensure_ascii=False))
    OUT.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))
    print(f"{OUT}: {len(lines)} passages")


if __name__ == "__main__":
    main()
