"""Questions with answers whose points stand alone, as people ask them. Written for this project."""

from __future__ import annotations

Topic = tuple[str, str, tuple[tuple[str, str], ...]]  # question, lead-in line, (title, text) of each point

TOPICS: tuple[Topic, ...] = (
    (
        "How can I sleep better?",
        "Some things that help many people:",
        (
            ("Regular hours", "Going to bed and getting up at fixed times trains the body to expect rest."),
            (
                "Darkness",
                "Heavy curtains or a soft mask keep street light away and let melatonin do its work.",
            ),
            ("Less caffeine", "Coffee in the afternoon stays in the blood for hours and delays deep sleep."),
            ("Cool air", "A room between sixteen and nineteen degrees makes it easier to doze off."),
            ("Exercise", "Walking or cycling during the day makes a person tired in a healthy manner."),
            ("Quiet", "Earplugs or a fan cover the noise of traffic and of restless neighbours."),
        ),
    ),
    (
        "What are good reasons to learn a musical instrument?",
        "There are many reasons:",
        (
            ("Memory", "Learning pieces by heart exercises the brain in a manner few hobbies can match."),
            (
                "Patience",
                "Progress comes slowly, which teaches players to value small improvements week after week.",
            ),
            (
                "Friends",
                "Bands, choirs and orchestras bring people together who would otherwise hardly talk.",
            ),
            ("Relaxation", "Playing a calm melody in the evening lowers the pulse and clears the head."),
            ("Coordination", "Both hands do different things at once, and the ears check every movement."),
            ("Joy", "A song played well for a friend is a present that costs nothing at all."),
        ),
    ),
    (
        "What should I look for in a used car?",
        "Points worth checking:",
        (
            ("Rust", "Look under the sills and around the wheel arches for bubbles in the paint."),
            ("Service book", "A complete record of oil changes shows that the owner cared about the engine."),
            ("Tyres", "Uneven wear across the tread hints at a bent axle or poor alignment."),
            ("Smell", "A musty odour in the carpets suggests that water has leaked into the cabin."),
            (
                "Electronics",
                "Press every switch, from the windows to the heated seats, and watch for warnings.",
            ),
            ("Papers", "The number on the chassis must match the registration, or the sale may be void."),
        ),
    ),
    (
        "How do I save money on groceries?",
        "Try some of these:",
        (
            (
                "Seasonal produce",
                "Strawberries in June cost a third of what they cost in the middle of winter.",
            ),
            (
                "Store brands",
                "Flour, rice and tinned tomatoes rarely differ in anything except the printed label.",
            ),
            ("A list", "People who shop with a written list buy fewer sweets and forget less at home."),
            (
                "Freezing",
                "Bread, soup and berries keep for months in the freezer without much loss of taste.",
            ),
            (
                "Markets",
                "Stall owners lower their prices shortly before closing so as not to carry crates home.",
            ),
            ("Bulk", "Large bags of oats or lentils are cheaper by the kilo and last for ages."),
        ),
    ),
    (
        "What are the advantages of remote work?",
        "Often named advantages:",
        (
            ("No commute", "Employees win back an hour or more each day that used to vanish in traffic."),
            (
                "Wider hiring",
                "A company can choose among applicants from the whole country instead of one town.",
            ),
            (
                "Focus",
                "A closed door at home protects long stretches of concentration from chatty colleagues.",
            ),
            (
                "Lower rent",
                "Smaller offices need less heating, fewer desks and no expensive parking spaces downtown.",
            ),
            ("Flexibility", "Parents can fetch a sick child from school without asking anyone for leave."),
            ("Environment", "Fewer cars on the road mean cleaner air and less noise in residential streets."),
        ),
    ),
    (
        "Which houseplants are easy to keep?",
        "Robust plants include:",
        (
            ("Snake plant", "Its thick leaves store water, so three weeks without care do no harm."),
            ("Pothos", "Long vines grow even in a dim corner and root readily in a glass of water."),
            (
                "Spider plant",
                "Small offshoots hang from arching stems and can be potted as gifts for friends.",
            ),
            ("Aloe", "Bright sun and a sandy soil suit it well, and its gel soothes light burns."),
            (
                "Peace lily",
                "White blooms appear in shade, and drooping leaves show clearly when thirst sets in.",
            ),
            (
                "Rubber tree",
                "Glossy dark foliage tolerates dry air from radiators better than most others do.",
            ),
        ),
    ),
    (
        "How can a small bakery attract more customers?",
        "A few ideas:",
        (
            (
                "Tastings",
                "Free samples at the door on Saturday mornings tempt people who only wanted to walk past.",
            ),
            ("Loyalty card", "Every tenth loaf for free gives regulars a reason not to try the supermarket."),
            ("Window", "A warm light and a tower of fresh rolls speak louder than any poster could."),
            (
                "Workshops",
                "Parents gladly pay for an afternoon in which children knead and shape their own dough.",
            ),
            ("Deliveries", "Offices nearby order trays of sandwiches if someone brings them before noon."),
            ("Photos", "Pictures of a steaming oven on social media reach hundreds of neighbours overnight."),
        ),
    ),
    (
        "What are the main causes of soil erosion?",
        "The main causes are:",
        (
            (
                "Heavy rain",
                "Drops loosen fine particles, and streams carry them downhill into rivers and lakes.",
            ),
            ("Wind", "On dry plains without hedges, strong gusts lift the fertile top layer into the air."),
            (
                "Deforestation",
                "Without roots to hold it, the ground on a slope slides away within few seasons.",
            ),
            ("Overgrazing", "Large herds trample the grass and leave bare patches that bake hard in summer."),
            ("Ploughing", "Furrows that run downhill act like gutters and speed up the loss of humus."),
            (
                "Construction",
                "Building sites strip away the turf and leave loose earth open to storms for months.",
            ),
        ),
    ),
    (
        "How do I become a better public speaker?",
        "Advice from experience:",
        (
            (
                "Pauses",
                "Two seconds of silence give listeners time to think and the speaker time to breathe.",
            ),
            (
                "Eye contact",
                "Looking at one face for a whole sentence feels more honest than scanning the rows.",
            ),
            ("Stories", "An anecdote about a real mistake stays in memory longer than a chart does."),
            ("Rehearsal", "Speaking aloud in an empty room reveals phrases that looked fine only on paper."),
            ("Posture", "Feet apart and shoulders low make a voice sound fuller and calmer at once."),
            ("Simple slides", "A single picture with five words beats a page full of bullet points."),
        ),
    ),
    (
        "What benefits do city parks bring?",
        "Parks bring many benefits:",
        (
            (
                "Cooling",
                "Trees shade the pavement and evaporate water, which lowers the heat on summer days.",
            ),
            ("Play", "Children climb, run and invent games on grass that no apartment could offer them."),
            (
                "Wildlife",
                "Hedgehogs, bats and dozens of bird species find food and shelter among the shrubs.",
            ),
            ("Health", "Residents who live near greenery report less stress and visit doctors less often."),
            (
                "Flood protection",
                "Open ground soaks up cloudbursts that would otherwise fill cellars and sewers.",
            ),
            ("Meeting", "Benches and chess tables invite old and young to talk with strangers for a while."),
        ),
    ),
    (
        "What makes a good password manager?",
        "Look at the following qualities:",
        (
            ("Encryption", "Data should be locked on the device itself, so that no server ever sees it."),
            ("Audits", "Independent experts ought to examine the code and publish what they have found."),
            (
                "Import",
                "Moving from a browser's store must work with one file and without retyping anything.",
            ),
            ("Sharing", "Families want to pass on the streaming login without sending it by plain mail."),
            (
                "Recovery",
                "A printed emergency sheet helps when the master phrase has been forgotten for good.",
            ),
            ("Price", "Free versions cover a single device, while paid ones sync across phones and laptops."),
        ),
    ),
    (
        "How can schools reduce waste?",
        "Schools can do a lot:",
        (
            (
                "Canteen",
                "Smaller portions with a second helping on request leave far fewer leftovers on plates.",
            ),
            (
                "Paper",
                "Printing on both sides and projecting worksheets halves the number of reams per term.",
            ),
            (
                "Bottles",
                "Fountains in the hallways make plastic bottles from the vending machine unnecessary.",
            ),
            ("Swap days", "Outgrown jackets and finished novels find new owners on a table in the hall."),
            (
                "Compost",
                "Peels from the breakfast club feed the beds in which younger classes grow radishes.",
            ),
            ("Repairs", "A monthly workshop shows pupils how to mend bags, chairs and broken headphones."),
        ),
    ),
    (
        "What are typical features of Gothic churches?",
        "Typical features:",
        (
            (
                "Pointed arches",
                "They carry more weight than round ones and draw the gaze upwards to the vault.",
            ),
            (
                "Flying buttresses",
                "Slender bridges of stone lead the thrust of the roof out over the aisles.",
            ),
            (
                "Stained glass",
                "Huge windows tell stories of saints in blue and red light to people who cannot read.",
            ),
            ("Gargoyles", "Carved monsters spit rain water far away from the walls to protect the mortar."),
            (
                "Ribbed vaults",
                "Crossing ribs divide the ceiling into light panels that need little material.",
            ),
            ("Rose window", "A great wheel of tracery above the portal floods the nave with evening sun."),
        ),
    ),
    (
        "Why do start-ups fail?",
        "Frequent reasons:",
        (
            (
                "No market",
                "A clever product that solves nobody's problem finds admirers but hardly any buyers.",
            ),
            ("Cash", "Salaries and rent eat the funding long before the first invoices are paid."),
            ("Founders", "Quarrels about shares and direction split teams that were friends at university."),
            ("Pricing", "Too low a price attracts many users and loses a little money with every one."),
            ("Timing", "Some ideas arrive years before the networks or habits they would depend upon."),
            (
                "Regulation",
                "Licences for food, finance or medicine take longer than most business plans assume.",
            ),
        ),
    ),
    (
        "How should I look after a bicycle?",
        "Care that pays off:",
        (
            ("Chain", "Wipe it with a dry rag and add a drop of oil to every link once a month."),
            ("Tyre pressure", "Soft tyres roll badly and puncture more easily on kerbs and sharp gravel."),
            (
                "Brakes",
                "Pads thinner than three millimetres belong in the bin, however well they still seem to grip.",
            ),
            ("Lights", "Clean lenses and fresh batteries matter most in the dark weeks before Christmas."),
            ("Bolts", "Handlebar and saddle clamps work loose on cobbles and deserve a firm twist."),
            ("Storage", "A dry cellar keeps rust away from spokes and spares the leather of the saddle."),
        ),
    ),
    (
        "What can one do against loneliness in old age?",
        "Helpful approaches:",
        (
            ("Choirs", "Singing together every week gives rhythm to the days and faces to remember."),
            ("Pets", "A dog wants to go out in any weather, and its owner meets others at the corner."),
            ("Telephone circles", "Volunteers ring at a set hour and ask how the night has been."),
            (
                "Shared meals",
                "Parish halls and clubs cook lunch for neighbours who would otherwise eat from a tin.",
            ),
            ("Courses", "Learning to use a tablet opens a door to grandchildren who live abroad."),
            (
                "Volunteering",
                "Reading aloud at a nursery makes seniors feel needed and brings laughter back.",
            ),
        ),
    ),
    (
        "What are some uses of drones?",
        "Drones are used for:",
        (
            ("Agriculture", "Farmers photograph fields from above to see which rows lack water or nitrogen."),
            ("Rescue", "Thermal cameras find hikers in the dark faster than search parties on foot."),
            ("Film", "Sweeping shots over cliffs that once needed a helicopter now fit in a backpack."),
            (
                "Inspection",
                "Engineers look at bridges and wind turbines without ropes or costly scaffolding.",
            ),
            (
                "Delivery",
                "Blood samples cross congested cities within minutes and reach the laboratory fresh.",
            ),
            (
                "Conservation",
                "Rangers count herds from a distance that does not disturb mothers with their calves.",
            ),
        ),
    ),
    (
        "Which habits help students in exams?",
        "Habits that help:",
        (
            ("Spacing", "Half an hour on each of four days beats two hours on the evening before."),
            ("Self-testing", "Closing the book and writing down what remains shows gaps without mercy."),
            ("Sleep", "A rested brain recalls formulas that a tired one cannot find at any price."),
            ("Past papers", "Old question sheets reveal which kinds of tasks examiners like to set."),
            (
                "Teaching",
                "Explaining a chapter to a patient friend uncovers every sentence one never understood.",
            ),
            ("Breaks", "Five minutes at an open window restore attention better than another espresso."),
        ),
    ),
    (
        "What are the different types of renewable energy?",
        "The most important types:",
        (
            ("Solar", "Panels of silicon turn daylight into current and work on roofs as well as deserts."),
            ("Wind", "Tall turbines harvest moving air, most steadily a few miles off the coast."),
            (
                "Hydropower",
                "Falling water drives wheels in dams and supplies electricity at any time of day.",
            ),
            (
                "Geothermal",
                "Hot rock beneath volcanic regions heats homes and greenhouses through deep wells.",
            ),
            ("Biomass", "Wood chips and manure are burned or fermented to make warmth and gas."),
            ("Tidal", "The moon moves the ocean twice daily, and barrages in estuaries exploit its pull."),
        ),
    ),
    (
        "How can I make my home safer for a toddler?",
        "Measures worth taking:",
        (
            ("Stairs", "Gates at the top and at the bottom stop a crawling child from tumbling."),
            ("Sockets", "Plastic covers keep curious fingers and hairpins out of the electric outlets."),
            (
                "Furniture",
                "Brackets fix tall shelves to the wall, for little climbers treat them as ladders.",
            ),
            (
                "Medicine",
                "Pills and cleaning liquids belong in a locked cupboard above the height of adults' shoulders.",
            ),
            ("Windows", "Locks that open only a hand's breadth let air in and nobody out."),
            ("Kitchen", "Turning pan handles towards the rear of the stove prevents terrible scalds."),
        ),
    ),
    (
        "What should be in a first aid kit?",
        "Pack the following:",
        (
            ("Plasters", "Assorted sizes cover blisters, paper cuts and the scraped knees of children."),
            ("Gauze", "Sterile pads stop the bleeding of larger wounds and keep dirt from getting in."),
            ("Scissors", "A blunt-tipped pair cuts clothing and tape without hurting the skin underneath."),
            ("Gloves", "Disposable nitrile gloves protect helper and patient from each other's germs."),
            ("Foil blanket", "The thin golden sheet holds warmth around someone who waits for an ambulance."),
            ("Tweezers", "Fine points pull out splinters, ticks and the stings of bees quickly."),
        ),
    ),
    (
        "What is great about board games?",
        "Plenty of things:",
        (
            ("Company", "Four people around a table look at each other instead of at glowing rectangles."),
            ("Strategy", "Planning moves ahead sharpens the mind in a way that feels like fun."),
            ("Luck", "Dice let a novice beat a veteran now and then, which keeps everyone smiling."),
            ("Craft", "Wooden pieces, painted maps and heavy cards are a pleasure to touch."),
            ("Price", "One box costs as much as a cinema evening and lasts for decades."),
            (
                "Learning",
                "Young players practise counting, reading and losing with grace almost by accident.",
            ),
        ),
    ),
    (
        "How do companies protect themselves against hackers?",
        "Common protections:",
        (
            ("Updates", "Installing patches within days closes holes that criminals scan for automatically."),
            ("Training", "Employees who have seen a fake invoice once are slower to click on another."),
            ("Backups", "Copies that hang on no network survive even an attack which encrypts everything."),
            ("Least privilege", "Accounts that may only do what a job requires limit the harm of theft."),
            ("Logging", "Unusual sign-ins at night stand out to anyone who reads the records."),
            ("Hardware keys", "A small token in the USB port makes stolen passwords worthless to thieves."),
        ),
    ),
    (
        "What are symptoms of too much stress?",
        "Possible symptoms:",
        (
            ("Headaches", "Tension in the neck and jaw spreads upwards and lasts into the evening."),
            ("Irritability", "Small annoyances such as a slow lift lead to sharp words and slammed doors."),
            ("Stomach trouble", "Cramps, nausea or a lost appetite appear without any sign of infection."),
            ("Forgetfulness", "Keys, names and appointments slip away because attention is spread too thin."),
            (
                "Insomnia",
                "The mind keeps turning over tasks at three o'clock although the body is exhausted.",
            ),
            ("Withdrawal", "Invitations from friends begin to feel like duties and are declined one by one."),
        ),
    ),
)
