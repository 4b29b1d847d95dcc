"""Writes the prompts from which the default model learns: this project's own, varied in topic and form.

    python training/write_prompts.py > training/prompts.jsonl

Each group of topics has forms of its own; a seed draws which topic is asked in which form. About three in four
ask for something with parts; the others want one thing, so that a model learns when not to plan. None is a
question of the Vicuna Bench or a paraphrase of one (tests/train/test_prompts.py compares words).
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from itertools import product

SEED = 20261126

# (topics, forms, prompts drawn): parts that stand side by side
WITH_PARTS: tuple[tuple[str, str, int], ...] = (
    (
        "playing the guitar; baking bread at home; growing tomatoes on a balcony; running a first ten kilometres;"
        "drawing portraits; learning to swim as an adult; keeping bees; taking photographs of birds; knitting;"
        "playing chess; cooking for one person; cycling to work; repairing old furniture; writing short stories;"
        "singing in a choir; hiking in the mountains; sewing one's own clothes; brewing coffee; restoring a bicycle;"
        "training a puppy; making pottery; sailing a small boat; ice skating; juggling; painting with watercolours;"
        "making cheese; fishing in a river; playing the piano; doing yoga at home; collecting stamps;"
        "learning sign language; rock climbing indoors; composing music on a computer; building model trains",
        "What should a beginner know about {}?|Give me some advice for {}.|What are common mistakes when {}?"
        "|Which things do I need for {}?|What do people enjoy about {}? List the main reasons."
        "|I want to start {}. What should I pay attention to?|Name five benefits of {} and explain each."
        "|What skills does {} teach?",
        130,
    ),
    (
        "a used car; a washing machine; a pair of hiking boots; a laptop for a student; a mattress; a tent; a camera;"
        "a house in the countryside; a second-hand piano; a bicycle for a child; a smartphone; a coffee machine;"
        "a winter coat; a vacuum cleaner; an office chair; a garden shed; an electric drill; a pair of headphones;"
        "a rucksack; a fridge; a guitar; an aquarium; a printer; a car seat for a baby; a heat pump; a sofa",
        "What should I look at before I buy {}?|Which features matter most in {}?"
        "|How do I tell whether {} is worth its price? Give me several points."
        "|What are the different kinds of {} and whom do they suit?|What questions should I ask the seller of {}?"
        "|How do I make {} last longer?",
        100,
    ),
    (
        "solar power; nuclear power; commuting by train; public transport; school uniforms; online courses;"
        "a four-day week; living in a big city; living in a village; buying second-hand clothes; owning a dog;"
        "social media; renting instead of owning a flat; vegetarian food; electric cars; self-employment;"
        "paper books; video games; night shifts; team sports; boarding schools; open-plan offices; cash payments;"
        "tourism for a small town; wood stoves; artificial sweeteners; large families; remote meetings; wind turbines;"
        "learning Latin; fast fashion; zoos; gap years; shared flats; freelance translation; home schooling",
        "What are the advantages and disadvantages of {}?|What speaks for {}, and what against it?"
        "|Give me three arguments in favour of {}.|Which effects does {} have on people's lives?"
        "|What are the main concerns about {}?|Who profits from {}, and how?"
        "|Name the most important facts about {} with a short explanation of each.",
        130,
    ),
    (
        "photosynthesis; inflation; the water cycle; gravity; the immune system; supply and demand; plate tectonics;"
        "evolution; electricity; the Roman Empire; the Renaissance; the French Revolution; the Industrial Revolution;"
        "black holes; vitamins; bacteria and viruses; democracy; the human heart; volcanoes; the periodic table;"
        "impressionism; jazz; the Silk Road; coral reefs; earthquakes; the Arctic; the rainforest; sleep; memory;"
        "the Middle Ages; antibiotics; DNA; glaciers; the Moon; radio waves; insurance; the stock market; taxes;"
        "the United Nations; printing; steam engines; the Cold War; rivers; deserts; the digestive system",
        "What are the key ideas behind {}?|Explain the main features of {} in separate points."
        "|Why is {} important? Give several reasons.|What should everybody know about {}?"
        "|Which parts or kinds of {} are there? Describe each in two sentences."
        "|Give an overview of {} under three headings.|What are common misunderstandings about {}?"
        "|Which questions about {} are still open or debated?",
        150,
    ),
    (
        "Norway; Japan; Kenya; Peru; Greece; Canada; Vietnam; Morocco; Iceland; New Zealand; Portugal; Egypt; India;"
        "Mexico; Scotland; Finland; Turkey; Argentina; Nepal; Italy; Thailand; South Africa; Croatia; Cuba; Poland;"
        "Lisbon; Vienna; Tokyo; Istanbul; Edinburgh; Chicago; Sydney; Rome; Prague; Cairo; Stockholm; Dublin; Seoul",
        "What should I see in {}?|Which dishes of {} should a visitor try?|What should I pack for a week in {}?"
        "|Name some customs of {} that a traveller should know.|What is {} known for?"
        "|Suggest outings in {} for a family with children.|What are the best times and reasons to visit {}?"
        "|Which historical events shaped {}?",
        110,
    ),
    (
        "a nurse; a carpenter; a teacher; a pilot; a journalist; a software developer; a farmer;"
        "a lawyer; a baker; an architect; a firefighter; a translator; a librarian; an electrician;"
        "a chef; a biologist; a photographer; a social worker; an accountant; a train driver;"
        "a dentist; a gardener; an actor; a police officer; a game designer; a midwife; a geologist;"
        "a project manager; a truck driver; a data analyst; a florist; a plumber; a veterinarian;"
        "a tailor; a radio host; a judge; a ship captain; a potter",
        "What skills does {} need?|What does {} do? Describe the main duties."
        "|Which questions might be asked in a job interview for {}?|What are the rewards and the hardships of life as {}?"
        "|Which tools does {} use, and what for?|What qualities make a good {}?"
        "|Which other careers suit somebody who has been {}?",
        110,
    ),
    (
        "back pain from sitting; bad sleep; exam nerves; a dry skin; tired eyes; homesickness; stress at work;"
        "a quarrel with a neighbour; too much screen time; noise in the house; mould in the bathroom; ants in the kitchen;"
        "weeds between paving stones; a slow computer; high electricity bills; food waste; a messy desk; hiccups;"
        "fear of flying; shyness; boredom in winter; a cold; sore feet; forgetting names; loneliness in a new town;"
        "children who will not eat vegetables; spam calls; wet shoes; writer's block; a stubborn stain",
        "What helps against {}?|What causes {}?|Give me five ideas to deal with {}."
        "|Which habits prevent {}?|How do other people cope with {}? Name different ways."
        "|What works against {} and what does not?",
        100,
    ),
    (
        "a birthday party for a six-year-old; a rainy Sunday; a picnic; a company outing; a school science fair;"
        "a small wedding; a book club; a street festival; a charity run; a family reunion; a winter evening; a road trip;"
        "a garden party; a film night; a museum visit with teenagers; a weekend without a phone; a baby shower;"
        "a farewell for a colleague; a day at the beach; a bake sale; a costume party; a first date; a class trip",
        "Give me ideas for {}.|What should I think of for {}?|Suggest food, music and games for {}."
        "|Which things can go wrong with {}, and what can be done about each?|What makes {} a success?"
        "|Name some cheap ideas for {} with one sentence on each.",
        80,
    ),
    (
        "tea and coffee; cats and dogs; butter and margarine; trains and planes; novels and films; oil and acrylic paint;"
        "running and swimming; city parks and forests; frogs and toads; paint and wallpaper; rice and potatoes;"
        "gas and induction stoves; wool and cotton; violins and cellos; rugby and football; lakes and seas;"
        "bricks and wood as building materials; bees and wasps; alligators and crocodiles;"
        "public and private schools; email and chat; savings accounts and shares; summer and winter holidays",
        "Compare {}.|What are the main differences between {}?|What do {} have in common, and where do they differ?"
        "|Compare {} by price, use and effort.",
        70,
    ),
    (
        "a healthy breakfast; a good bedtime story; a strong password; a good leader; a lasting friendship;"
        "a fair contract; a useful error message; a clear letter; a safe playground; a good podcast; a tidy kitchen;"
        "a good museum; a comfortable reading corner; a well-run meeting; a good teacher; a convincing advertisement;"
        "a successful shop; a good translation; a living neighbourhood; a well-made shoe; a good bus stop; a fine soup;"
        "good code; a reliable friend; a good map; a restful holiday; a good joke; a pleasant waiting room",
        "What makes {}?|Name the most important elements of {}.|What belongs to {}? Explain each point briefly."
        "|Which criteria would you use to judge {}?|List six characteristics of {}.",
        90,
    ),
)

# Parts that a person asks for one by one
QUESTIONS: tuple[str, ...] = (
    "How tall is a giraffe?",
    "Why is the sea salty?",
    "What is a haiku?",
    "How does a thermos flask work?",
    "Why do leaves turn red?",
    "What does a stage manager do?",
    "How is glass made?",
    "Why do cats purr?",
    "What is compound interest?",
    "How do bats find their way?",
    "Why does bread rise?",
    "What is a solar eclipse?",
    "How is paper recycled?",
    "What is a leap year for?",
    "Why do we yawn?",
    "How does a zip fastener work?",
    "What is a fjord?",
    "Why is cork used for bottles?",
    "What does a conductor do?",
    "How do magnets work?",
    "What are tides?",
    "Why do onions make us cry?",
    "What is a sonnet?",
    "How do vaccines work?",
)

# One thing is wanted: no parts
PLAIN: tuple[tuple[str, str, int], ...] = (
    (
        "the telephone; penicillin; the printing press; dynamite; the bicycle; the World Wide Web; the safety pin;"
        "the thermometer; the piano; blue jeans; the zip fastener; the tin can; Braille; the steam turbine; basketball",
        "Who invented {}?|In which century was {} invented?|Tell me in one sentence how {} came about.",
        25,
    ),
    (
        "France; Brazil; Australia; Mongolia; Chile; Ghana; Bulgaria; Laos; Uruguay; Estonia; Jordan; Senegal; Bhutan",
        "What is the capital of {}?|Which language is spoken in {}?|On which continent is {}?|What currency does {} use?",
        25,
    ),
    (
        "I'll be late because the bus broke down.; She has forgotten her keys again.; Our shop opens at nine.;"
        "The soup was too salty, but we ate it.; He don't know where they is.; We look forward to hear from you.;"
        "Can you send me the file until Friday?; The weather is bad so we stay home.; Its a nice day, isnt it?",
        "Correct the grammar of this sentence: {}|Translate into Spanish: {}|Make this more polite: {}"
        "|Translate into German: {}|Say this in fewer words: {}",
        30,
    ),
    (
        "autumn; a lighthouse; an old dog; the first snow; a lost glove; a train at night; the sea; a quiet library;"
        "a broken clock; a market in the morning; two friends; rain on a tin roof; a grandmother's kitchen; a snail",
        "Write a short poem about {}.|Write a paragraph about {}.|Tell me a very short story about {}."
        "|Write two sentences that describe {}.",
        40,
    ),
    (
        "12 and 35; 48 and 17; 105 and 60; 9 and 14; 250 and 75; 33 and 66; 81 and 19; 7 and 120",
        "What is the sum of {}?|What is the product of {}?|What is the difference between the numbers {}?",
        15,
    ),
    (
        "photosynthesis; an algorithm; irony; a comet; a mortgage; gluten; a metaphor; a monopoly; osmosis; a fossil;"
        "a hypothesis; a constitution; an antonym; friction; a placebo; a watershed; jet lag; a sabbatical; a calorie",
        "Define {} in one sentence.|What is {}? Answer briefly.|Explain {} to a child in a few sentences."
        "|Use {} in a sentence.",
        45,
    ),
    (
        "apple; brave; quickly; ocean; tired; build; ancient; whisper; enormous; honest; river; fragile; argue; cheerful",
        "What is the opposite of '{}'?|Give me one synonym of '{}'.|What is the plural or another form of '{}'?"
        "|From which language does the word '{}' come?",
        25,
    ),
    (
        "a colleague's retirement; a friend's exam; a neighbour's new baby; a late reply; a broken vase; a cancelled dinner",
        "Write a short message about {}.|Write a two-sentence email about {}.|What would you say to somebody about {}?",
        15,
    ),
    (
        "Hello!; How are you today?; Thank you, that was helpful.; Can you help me?; Good morning!; Who are you?;"
        "What can you do?; Tell me something nice.; I am bored.; Are you a robot?; Do you like music?; Good night!",
        "{}",
        12,
    ),
)


def draw(topics: str, forms: str, n: int, rng: random.Random) -> Iterator[str]:
    """n different prompts of a group, or all there are; its topics are used evenly."""
    pairs = list(product((topic.strip() for topic in topics.split(";")), forms.split("|")))
    rng.shuffle(pairs)
    seen: dict[str, int] = {}
    ranked: list[tuple[int, int, str]] = []
    for topic, form in pairs:
        ranked.append((seen.get(topic, 0), len(ranked), form.format(topic)))
        seen[topic] = seen.get(topic, 0) + 1
    for _, _, text in sorted(ranked)[:n]:
        yield text[0].upper() + text[1:]


def several_questions(n: int, rng: random.Random) -> Iterator[str]:
    """Prompts that ask two to four questions at once."""
    openings = (
        "Answer these questions:",
        "I have a few questions.",
        "Please answer each in a paragraph.",
        "",
    )
    for _ in range(n):
        asked = rng.sample(QUESTIONS, rng.choice((2, 3, 3, 4)))
        numbered = rng.random() < 0.5
        lines = [f"{i}. {text}" if numbered else text for i, text in enumerate(asked, 1)]
        yield "\n".join(filter(None, (rng.choice(openings), *lines)))


def write() -> list[str]:
    """All prompts, each once, in an order drawn by the seed."""
    rng = random.Random(SEED)
    prompts = [prompt for group in (*WITH_PARTS, *PLAIN) for prompt in draw(*group, rng)]
    prompts += several_questions(90, rng)
    prompts = list(dict.fromkeys(prompts))
    rng.shuffle(prompts)
    return prompts


if __name__ == "__main__":
    for prompt in write():
        sys.stdout.write(json.dumps({"prompt": prompt}, ensure_ascii=False) + "\n")
