"""Words from which planted cases are made: invented people, places and things. Written for this project."""

from __future__ import annotations

import random
from collections.abc import Sequence

PEOPLE = (
    "Marisol Tren", "Oskar Velde", "Ines Quarto", "Bram Hollis", "Tamsin Roe", "Dario Finch", "Lena Osterly", "Yusuf Adair",
    "Petra Lindqvist", "Noor Bakshi", "Caspian Wolde", "Greta Munro", "Ilan Sorek", "Wanda Pryce", "Theo Marchetti",
    "Suki Tanabe", "Ruben Castellan", "Freya Norling", "Anton Beliak", "Mirela Dunav", "Cole Ashdown", "Hana Veselka",
    "Jonas Terrell", "Amara Oyelle", "Silas Grieve", "Nadia Corvin", "Piers Latham", "Zuri Kamande", "Edda Holm", "Ravi Menuka",
)  # fmt: skip
PLACES = (
    "Kestrel Bay", "Orlund", "Marrowgate", "Tilbeck", "San Verano", "Hollin Moor", "Drenmouth", "Castel Ombra", "Wrenfield",
    "Lakehurst", "Bruvik", "Pont Calder", "Ashgrove", "Velmara", "Stonnet", "Quillan", "Harrowdale", "Isle of Senn",
    "Port Lumen", "Gallow Hill", "Ostrava Heath", "Millbrae", "Corran Point", "Thessaly Cross", "Nortonwick",
)  # fmt: skip
PRODUCTS = (
    "Larkspur 40", "Vantor Mini", "Ember Duo", "Quill Pro", "Northwind S", "Halcyon Air", "Pebble Max", "Stratus One",
    "Juniper X", "Cobalt Lite", "Fennel Go", "Meridian Plus", "Osprey 12", "Tundra Flex", "Saffron Home", "Beacon Slim",
    "Harrier LX", "Willow Core", "Granite Edge", "Lumen Touch",
)  # fmt: skip
THINGS = (
    "lamp", "kettle", "backpack", "bicycle", "jacket", "blender", "notebook", "tent", "camera", "chair", "drill", "headset",
    "bookshelf", "scooter", "rug", "printer",
)  # fmt: skip
CODENAMES = (
    "Bluefin", "Copperleaf", "Nightjar", "Sandpiper", "Ironwood", "Moonraker", "Foxglove", "Driftline", "Kingfisher",
    "Saltmarsh", "Thornbury", "Riverglass", "Oakum", "Peregrine", "Waxwing", "Tallow",
)  # fmt: skip
WORDS = (
    "planet", "garden", "silver", "window", "market", "harbor", "candle", "bridge", "forest", "pencil", "rocket", "winter",
    "basket", "copper", "violin", "meadow", "lantern", "orchard", "thunder", "cabinet",
)  # fmt: skip
FOODS = (
    "carrot", "lentil", "pumpkin", "barley", "mushroom", "leek", "chickpea", "spinach", "beetroot", "celery", "squash", "bean",
)  # fmt: skip


def money(draw: random.Random, low: int, high: int) -> int:
    """A sum that is not round, so that whoever repeats it has read it."""
    value = draw.randint(low, high)
    return value if value % 10 else value + 3


def given(name: str) -> str:
    """A person's first name."""
    return name.split(maxsplit=1)[0]


def several(draw: random.Random, pool: Sequence[str], n: int) -> list[str]:
    """Different entries of a pool."""
    return draw.sample(list(pool), n)
