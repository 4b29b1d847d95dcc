"""Planted lists whose items use what an earlier item found, chose or named. Written for this project."""

from __future__ import annotations

import random
from collections.abc import Callable

from planted_words import CODENAMES, FOODS, PEOPLE, PLACES, PRODUCTS, THINGS, WORDS, given, money, several

Case = tuple[str, str, list[tuple[str, str]]]  # question, lead-in line, (title, text) of each item


def budget(draw: random.Random) -> Case:
    who, thing = given(draw.choice(PEOPLE)), draw.choice(THINGS)
    income, rent = money(draw, 2100, 4900), money(draw, 610, 1490)
    left = income - rent
    food = money(draw, 210, 480)
    after = left - food
    price = money(draw, 120, 390)
    return (
        f"{who} earns {income} a month and pays {rent} in rent. Can {who} afford a {thing} for {price}?",
        "Let us work through the numbers:",
        [
            ("Rent", f"{who} pays the rent first, and what remains of the month's income is {left}."),
            ("Food", f"Groceries for the month come to {food}, so {left} shrinks to {after} after shopping."),
            ("Purchase", f"Out of {after}, buying the {thing} takes {price} and leaves {after - price} in the account."),
            ("Savings", f"Putting half of {after - price} aside means saving about {(after - price) // 2} every month."),
        ],
    )  # fmt: skip


def recipe(draw: random.Random) -> Case:
    a, b, c = several(draw, FOODS, 3)
    name = draw.choice(CODENAMES).lower()
    minutes = draw.choice((17, 23, 26, 35, 38))
    return (
        f"Give me a recipe with {a} and {b}.",
        "Here is how it goes:",
        [
            ("Make the base", f"Simmer the {a} with a little salt until soft, and crush it into a thick {name} paste."),
            ("Prepare the filling", f"Chop the {b} finely and fold it into the {name} paste together with two spoons of {c}."),
            ("Shape", f"Roll the mixture of {name} paste and {b} into {draw.choice((14, 16, 18))} small balls and let them rest."),
            ("Bake", f"Bake the rested balls for {minutes} minutes, and brush them with what is left of the {c}."),
        ],
    )  # fmt: skip


def story(draw: random.Random) -> Case:
    hero, friend = several(draw, PEOPLE, 2)
    place, code = draw.choice(PLACES), draw.choice(CODENAMES)
    thing = draw.choice(THINGS)
    return (
        "Outline a short adventure story for me.",
        "An outline in scenes:",
        [
            ("Opening", f"A letter reaches {hero}, a retired map maker, asking for help in the harbour of {place}."),
            ("Meeting", f"{given(hero)} travels to {place} and finds {friend}, who guards a {thing} that belonged to a smuggler."),
            ("Discovery", f"Hidden in the {thing}, {given(hero)} and {given(friend)} find the log book of a ship named {code}."),
            ("Climax", f"They row out at night to the wreck of the {code}, where {given(friend)} reveals who wrote the letter."),
            ("Ending", f"{given(hero)} keeps the log book of the {code}, and {given(friend)} stays behind in {place}."),
        ],
    )  # fmt: skip


def project(draw: random.Random) -> Case:
    boss, lead = several(draw, PEOPLE, 2)
    code, city = draw.choice(CODENAMES), draw.choice(PLACES)
    days = draw.randint(11, 29)
    return (
        "Describe how a small company moved its offices, as an example for a course.",
        "The example has these stages:",
        [
            ("Decision", f"The board picks {city} for the new office, and {boss} names the whole effort {code}."),
            ("Staffing", f"To run {code}, {boss} hires {lead}, who has moved two other firms before."),
            ("Planning", f"{given(lead)} estimates that the move to {city} will take {days} days with two trucks."),
            ("Execution", f"After {days} days the last crate arrives in {city}, exactly as {given(lead)} had promised."),
            ("Review", f"In the review of {code}, {given(boss)} thanks {given(lead)} for keeping to the {days} days."),
        ],
    )  # fmt: skip


def configuration(draw: random.Random) -> Case:
    name, port = draw.choice(CODENAMES).lower(), draw.randint(4200, 9700)
    user, folder = draw.choice(WORDS), draw.choice(WORDS)
    return (
        "Give me a worked example of setting up a small web service on my own server.",
        "A worked example:",
        [
            ("Account", f"Create a system account called {user}-svc so that the service does not run with full rights."),
            ("Folder", f"Put the program into /srv/{name}/{folder} and make {user}-svc the owner of that folder."),
            ("Port", f"Start the server from /srv/{name}/{folder} and let it listen on port {port} of the local machine."),
            ("Proxy", f"Point the web proxy at port {port}, so that visitors of {name}.example reach the program."),
            ("Check", f"Ask for {name}.example in a browser; the log in /srv/{name}/{folder} should show the visit."),
        ],
    )  # fmt: skip


def deduction(draw: random.Random) -> Case:
    a, b, c, d = (given(name) for name in several(draw, PEOPLE, 4))
    pets = several(draw, ("parrot", "tortoise", "hamster", "goldfish", "ferret", "spaniel"), 4)
    return (
        f"{a}, {b}, {c} and {d} own a {pets[0]}, a {pets[1]}, a {pets[2]} and a {pets[3]}. {a} is allergic to feathers "
        f"and fur, {b} has no tank. Who owns what?",
        "The reasoning:",
        [
            ("First clue", f"With allergies to fur and feathers, {a} can only be the owner of the {pets[1]}."),
            ("Second clue", f"Since {a} has the {pets[1]}, only three are left, and {b} without a tank takes the {pets[0]}."),
            ("Third clue", f"The {pets[0]} is with {b} and the {pets[1]} with {a}, so {c} chooses between {pets[2]} and {pets[3]}."),
            ("Answer", f"As {c} dislikes the {pets[3]}, the {pets[2]} goes to {c} and {d} keeps the {pets[3]}."),
        ],
    )  # fmt: skip


def experiment(draw: random.Random) -> Case:
    liquid = draw.choice(("vinegar", "salt water", "lemon juice", "soapy water", "cold tea", "cider"))
    mass, loss = draw.randint(31, 88), draw.randint(4, 17)
    rate = loss / 4
    return (
        f"Show with made-up numbers how one measures how fast chalk dissolves in {liquid}.",
        "With made-up numbers:",
        [
            ("Weighing", f"The piece of chalk is put on the scale, which shows {mass}.2 grams before the start."),
            ("Soaking", f"After four hours in {liquid} the scale shows {mass - loss}.2 grams instead of {mass}.2 grams."),
            ("Rate", f"The chalk has lost {loss} grams in four hours, which makes a rate of {rate:.2f} grams an hour."),
            ("Prediction", f"At {rate:.2f} grams an hour, the remaining {mass - loss}.2 grams will be gone in "
                           f"{(mass - loss) / rate:.1f} hours."),
        ],
    )  # fmt: skip


def journey(draw: random.Random) -> Case:
    a, b, c, d = several(draw, PLACES, 4)
    hours = [draw.randint(7, 8), draw.randint(10, 11), draw.randint(13, 14), draw.randint(16, 18)]
    minutes = [draw.choice((5, 12, 25, 40, 55)) for _ in hours]
    at = [f"{hour}:{minute:02}" for hour, minute in zip(hours, minutes, strict=True)]
    inn = f"the {draw.choice(WORDS).title()} Inn"
    return (
        f"Plan a day of travel that starts in {a}.",
        "A possible day:",
        [
            ("Morning train", f"Take the express that leaves {a} and brings you to {b} by {at[1]}, with seats by the window."),
            ("Lunch", f"From {b} station walk to {inn}, where the kitchen opens shortly after you arrive at {at[1]}."),
            ("Bus", f"A bus stops in front of {inn} and goes on to {c}, which you will reach at {at[2]}."),
            ("Ferry", f"The ferry of {at[2]} from {c} waits for the bus and lands in {d} at {at[3]}."),
            ("Evening", f"Once in {d}, you have until dark, because the boat came in at {at[3]}."),
        ],
    )  # fmt: skip


def cipher(draw: random.Random) -> Case:
    word = draw.choice(WORDS)
    back = word[::-1]
    shifted = "".join(chr((ord(letter) - 96) % 26 + 97) for letter in back)
    key = f"{shifted}{draw.randint(21, 98)}"
    return (
        f"Turn the word '{word}' into a password in several stages.",
        "One way to do it:",
        [
            ("Reverse it", f"Write the letters of the word from the end to the beginning, which results in '{back}'."),
            ("Shift it", f"Move each letter of '{back}' one place ahead in the alphabet to obtain '{shifted}'."),
            ("Extend it", f"Add two digits to '{shifted}', so that the stronger form reads '{key}' and nothing else."),
            ("Check it", f"Make sure that '{key}' has at least eight signs, and learn '{key}' by heart today."),
        ],
    )  # fmt: skip


def geometry(draw: random.Random) -> Case:
    width, length, depth = draw.randint(3, 9), draw.randint(11, 19), draw.randint(2, 4)
    area = width * length
    volume = area * depth
    price = draw.choice((7, 9, 11, 13))
    return (
        f"How much does it cost to fill a pit of {width} by {length} metres, {depth} metres deep, at {price} a cubic metre?",
        "The calculation:",
        [
            ("Area", f"The floor of the pit is a rectangle, and its area comes to {area} square metres."),
            ("Volume", f"A floor of {area} square metres and the depth together give a volume of {volume} cubic metres."),
            ("Cost", f"Filling {volume} cubic metres with gravel at that price costs {volume * price} in total."),
            ("With tax", f"Adding a tax of ten percent to {volume * price} makes a bill of {volume * price * 11 // 10}."),
        ],
    )  # fmt: skip


def dynasty(draw: random.Random) -> Case:
    a, b, c, d = (given(name) for name in several(draw, PEOPLE, 4))
    land, town = several(draw, PLACES, 2)
    return (
        f"Invent the history of the ruling family of {land}.",
        "The rulers:",
        [
            ("The founder", f"Queen {a} unites the valleys of {land} and builds a fortress beside the river at {town}."),
            ("The heir", f"Her son {b} inherits the fortress at {town} and adds a library with copied scrolls."),
            ("The usurper", f"General {c} drives {b} out of {town}, burns the scrolls, and rules with a heavy hand."),
            ("The return", f"{d}, a grandchild of {a}, defeats {c} in the mountains and rebuilds what {b} had begun."),
        ],
    )  # fmt: skip


def repair(draw: random.Random) -> Case:
    thing = draw.choice(("washing machine", "garden pump", "coffee machine", "ceiling fan", "treadmill"))
    volts, ohms = draw.randint(3, 8) + 0.7, draw.randint(41, 77)
    part = draw.choice(("capacitor", "relay", "thermal switch", "start winding", "door sensor"))
    return (
        f"Write up how a technician found the fault in a {thing}.",
        "The report:",
        [
            ("Inspection", f"The {thing} hums but does not turn, and the meter shows {volts} volts where 12 should be."),
            ("Narrowing down", f"A reading of {volts} volts points to the {part}, which is then taken out of the housing."),
            ("Measurement", f"Out of the housing, the {part} measures {ohms} ohms, far above what its label says."),
            ("Repair", f"The technician replaces the {part} of {ohms} ohms, and the voltage rises from {volts} to 12."),
        ],
    )  # fmt: skip


def tally(draw: random.Random) -> Case:
    a, b = (given(name) for name in several(draw, PEOPLE, 2))
    x = [draw.randint(11, 39) for _ in range(4)]
    y = [draw.randint(11, 39) for _ in range(4)]
    sums = [(sum(x[: i + 1]), sum(y[: i + 1])) for i in range(4)]
    rounds = ("Round one", "Round two", "Round three", "Round four")
    texts = [f"{a} opens with {x[0]} points while {b} manages {y[0]}, so the board shows {x[0]} to {y[0]}."]
    for i in range(1, 4):
        texts.append(
            f"{a} adds {x[i]} and {b} adds {y[i]}, which moves the board from {sums[i - 1][0]} to {sums[i - 1][1]} "
            f"up to {sums[i][0]} to {sums[i][1]}."
        )
    return (
        f"Invent the record of a card game between {a} and {b}.",
        "The record:",
        list(zip(rounds, texts, strict=True)),
    )


def coined_terms(draw: random.Random) -> Case:
    adjective = draw.choice(("quiet", "borrowed", "hollow", "patient", "sideways", "lazy"))
    noun = draw.choice(("debt", "silence", "harvest", "mirror", "bridge", "clock"))
    other = draw.choice(("drift", "echo", "friction", "tide"))
    term, second = f"{adjective} {noun}", f"{noun} {other}"
    return (
        "Sketch an original argument about why teams slow down as they grow.",
        "The argument:",
        [
            ("Observation", f"Every promise that nobody writes down adds to what I will call {term}, which stays invisible."),
            ("Mechanism", f"The larger a team, the faster {term} piles up, because fewer people were in the room."),
            ("Consequence", f"Past a certain size, {term} turns into {second}: people wait for answers nobody owes them."),
            ("Remedy", f"Writing promises down ends {term} at its source, and {second} fades within a few weeks."),
        ],
    )  # fmt: skip


def carpentry(draw: random.Random) -> Case:
    wood = draw.choice(("oak", "birch", "walnut", "larch", "maple"))
    long, short = draw.randint(61, 97), draw.randint(22, 38)
    return (
        "Explain with an example how I build a small wooden shelf.",
        "An example:",
        [
            ("Cutting", f"Saw two boards of {wood} to {long} centimetres for the sides and three to {short} for the shelves."),
            ("Drilling", f"In each of the {long} centimetre sides drill three pairs of holes, one pair for each shelf."),
            ("Gluing", f"Put glue on the ends of the {short} centimetre boards and press them against the drilled sides."),
            ("Clamping", f"Hold the glued frame of {long} by {short} centimetres with two clamps until the next morning."),
        ],
    )  # fmt: skip


def schedule(draw: random.Random) -> Case:
    who = [given(name) for name in several(draw, PEOPLE, 4)]
    start = draw.randint(8, 9) * 60 + draw.choice((10, 20, 35))
    ends = []
    for _ in range(4):
        start += draw.choice((25, 35, 50, 65, 80))
        ends.append(f"{start // 60}:{start % 60:02}")
    product = draw.choice(PRODUCTS)
    return (
        f"Lay out the morning on which a workshop presents the {product}.",
        "The morning:",
        [
            ("Welcome", f"{who[0]} welcomes the guests, shows the way to the seats and finishes speaking by {ends[0]}."),
            ("Demonstration", f"At {ends[0]} {who[0]} hands the {product} over to {who[1]}, who shows it until {ends[1]}."),
            ("Questions", f"From {ends[1]} on {who[1]} answers questions, helped by {who[2]}, and closes the list at {ends[2]}."),
            ("Lunch", f"{who[3]} opens the buffet at {ends[2]} and asks everyone back by {ends[3]} to hear {who[2]} again."),
        ],
    )  # fmt: skip


FAMILIES: tuple[Callable[[random.Random], Case], ...] = (
    budget, recipe, story, project, configuration, deduction, experiment, journey, cipher, geometry, dynasty, repair,
    tally, coined_terms, carpentry, schedule,
)  # fmt: skip
