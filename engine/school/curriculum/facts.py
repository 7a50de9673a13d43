"""What does the base model know? The plain facts behind its curriculum, as tables.

Real facts, each with one answer, written so that a reader can check them at a glance. `questions.py`
turns them into questions; `engine.school.tasks.build` uses the same English words for the fine-tuning tasks.
"""


def _pairs(text: str) -> dict[str, str]:
    """`"hot cold, big small"` -> `{"hot": "cold", "big": "small"}`; a `|` allows spaces inside a side."""
    table = {}
    for item in text.replace("\n", " ").split(","):
        left, right = item.split("|") if "|" in item else item.split()
        table[left.strip()] = right.strip()
    return table


CAPITALS = _pairs("""
France Paris, Germany Berlin, Italy Rome, Spain Madrid, Portugal Lisbon, England London, Scotland Edinburgh,
Ireland Dublin, Norway Oslo, Sweden Stockholm, Finland Helsinki, Denmark Copenhagen, Iceland Reykjavik,
Poland Warsaw, Austria Vienna, Hungary Budapest, Greece Athens, Turkey Ankara, Russia Moscow, Ukraine Kyiv,
Romania Bucharest, Bulgaria Sofia, Serbia Belgrade, Croatia Zagreb, Belgium Brussels, Switzerland Bern,
Egypt Cairo, Kenya Nairobi, Ghana Accra, Morocco Rabat, Algeria Algiers, Tunisia Tunis, Senegal Dakar,
Ethiopia | Addis Ababa, Uganda Kampala, Zambia Lusaka, Angola Luanda, China Beijing, Japan Tokyo, Korea Seoul,
India | New Delhi, Nepal Kathmandu, Thailand Bangkok, Vietnam Hanoi, Indonesia Jakarta, Iran Tehran,
Iraq Baghdad, Syria Damascus, Lebanon Beirut, Jordan Amman, Canada Ottawa, Mexico | Mexico City, Cuba Havana,
Peru Lima, Chile Santiago, Colombia Bogota, Ecuador Quito, Brazil Brasilia, Uruguay Montevideo,
Argentina | Buenos Aires, Australia Canberra, Qatar Doha
""")

OPPOSITES = _pairs("""
hot cold, big small, up down, fast slow, happy sad, day night, open closed, rich poor, young old, light dark,
full empty, strong weak, early late, high low, hard soft, wet dry, clean dirty, good bad, true false, left right,
near far, black white, first last, inside outside, loud quiet, thick thin, tall short, wide narrow,
deep shallow, sweet bitter, sharp blunt, smooth rough, brave afraid, cheap expensive, easy difficult, alive dead,
awake asleep, begin end, buy sell, push pull, win lose, give take, love hate, remember forget, laugh cry,
come go, ask answer, arrive leave, always never, more less, above below, before after, front back, north south,
east west, summer winter, war peace, friend enemy, question answer, noisy silent, healthy sick, polite rude,
same different, simple complex, visible hidden
""")

SOUNDS = _pairs("""
cow moo, dog woof, cat meow, duck quack, pig oink, sheep baa, horse neigh, hen cluck, rooster cockadoodledoo,
owl hoot, lion roar, snake hiss, bee buzz, frog ribbit, mouse squeak, crow caw, pigeon coo, donkey heehaw,
wolf howl, bird tweet, turkey gobble, elephant trumpet, monkey chatter, bear growl
""")

PLURALS = _pairs("""
mouse mice, man men, woman women, child children, foot feet, tooth teeth, goose geese, ox oxen, person people,
leaf leaves, knife knives, wolf wolves, wife wives, life lives, shelf shelves, half halves, loaf loaves,
thief thieves, sheep sheep, deer deer, fish fish, box boxes, fox foxes, bus buses, dish dishes, watch watches,
peach peaches, church churches, glass glasses, baby babies, city cities, lady ladies, berry berries, fly flies,
story stories, pony ponies, country countries, potato potatoes, tomato tomatoes, hero heroes, cat cats, dog dogs,
house houses, tree trees, book books, car cars, apple apples, bird birds, boy boys, girl girls, key keys, day days,
toy toys, river rivers, garden gardens, flower flowers, horse horses, star stars, chair chairs, window windows,
door doors, table tables, boat boats, stone stones, lamp lamps, ring rings, spoon spoons, cup cups, hat hats
""")

PASTS = _pairs("""
go went, see saw, eat ate, run ran, come came, give gave, take took, make made, find found, think thought,
buy bought, bring brought, catch caught, teach taught, sing sang, swim swam, drink drank, begin began, ring rang,
write wrote, drive drove, ride rode, speak spoke, break broke, choose chose, steal stole, know knew, grow grew,
throw threw, fly flew, draw drew, sleep slept, keep kept, feel felt, leave left, meet met, sit sat, stand stood,
tell told, sell sold, hold held, build built, send sent, lose lost, win won, hear heard, say said, have had, do did,
cut cut, put put, walk walked, play played, jump jumped, open opened, help helped, look looked, love loved,
live lived, dance danced, smile smiled, stop stopped, carry carried, cry cried, try tried
""")

KINDS = _pairs("""
dog animal, cat animal, horse animal, cow animal, lion animal, wolf animal, rabbit animal, bear animal,
carrot vegetable, potato vegetable, onion vegetable, cabbage vegetable, spinach vegetable, pea vegetable,
apple fruit, pear fruit, banana fruit, cherry fruit, lemon fruit, grape fruit, peach fruit, plum fruit,
rose flower, tulip flower, daisy flower, lily flower, orchid flower, oak tree, pine tree, birch tree, willow tree,
red color, blue color, green color, yellow color, purple color, orange color, pink color, brown color,
hammer tool, saw tool, drill tool, wrench tool, piano instrument, violin instrument, flute instrument,
drum instrument, guitar instrument, trumpet instrument, shirt clothing, coat clothing, sock clothing, hat clothing,
dress clothing, car vehicle, bus vehicle, train vehicle, truck vehicle, bicycle vehicle, eagle bird, owl bird,
sparrow bird, robin bird, crow bird, salmon fish, trout fish, shark fish, tuna fish, ant insect, bee insect,
fly insect, beetle insect, gold metal, silver metal, iron metal, copper metal, lead metal, chair furniture,
table furniture, sofa furniture, bed furniture, desk furniture, water drink, milk drink, tea drink, coffee drink,
juice drink, monday day, sunday day, friday day, tuesday day, may month, june month, july month, april month,
football sport, tennis sport, chess game, doctor job, teacher job, baker job, farmer job, nurse job
""")

FRENCH = _pairs("""
hello bonjour, goodbye | au revoir, please | s'il vous plaît, thanks merci, yes oui, no non, dog chien, cat chat,
horse cheval, cow vache, bird oiseau, fish poisson, mouse souris, rabbit lapin, sheep mouton, pig cochon, wolf loup,
bear ours, lion lion, duck canard, bee abeille, frog grenouille, owl hibou, fox renard, house maison, door porte,
window fenêtre, table table, chair chaise, bed lit, room chambre, kitchen cuisine, garden jardin, tree arbre,
flower fleur, leaf feuille, forest forêt, river rivière, sea mer, mountain montagne, sky ciel, sun soleil, moon lune,
star étoile, rain pluie, snow neige, wind vent, fire feu, water eau, earth terre, stone pierre, bread pain,
milk lait, cheese fromage, butter beurre, egg œuf, meat viande, apple pomme, pear poire, cherry cerise,
lemon citron, salt sel, sugar sucre, tea thé, coffee café, wine vin, soup soupe, cake gâteau, red rouge, blue bleu,
green vert, yellow jaune, black noir, white blanc, brown brun, pink rose, man homme, woman femme, child enfant,
boy garçon, girl fille, father père, mother mère, brother frère, sister sœur, son fils, friend ami, king roi,
queen reine, doctor médecin, teacher professeur, baker boulanger, farmer fermier, head tête, hand main, foot pied,
eye œil, ear oreille, nose nez, mouth bouche, hair cheveux, heart cœur, arm bras, leg jambe, book livre,
letter lettre, pen stylo, paper papier, school école, church église, city ville, street rue, bridge pont, road route,
car voiture, train train, boat bateau, key clé, lamp lampe, knife couteau, spoon cuillère, cup tasse, glass verre,
bottle bouteille, box boîte, bag sac, hat chapeau, coat manteau, shirt chemise, shoe chaussure, dress robe,
ring bague, money argent, day jour, night nuit, morning matin, evening soir, week semaine, month mois, year année,
hour heure, today aujourd'hui, tomorrow demain, yesterday hier, monday lundi, friday vendredi, sunday dimanche,
spring printemps, summer été, autumn automne, winter hiver, one un, two deux, three trois, four quatre, five cinq,
six six, seven sept, eight huit, nine neuf, ten dix, big grand, small petit, good bon, bad mauvais, new nouveau,
old vieux, young jeune, beautiful beau, hot chaud, cold froid, happy heureux, sad triste, rich riche, poor pauvre,
strong fort, fast rapide, slow lent, long long, eat manger, drink boire, sleep dormir, run courir, read lire,
write écrire, sing chanter, dance danser, play jouer, speak parler, see voir, hear entendre, love aimer, buy acheter,
sell vendre, give donner, take prendre, open ouvrir, close fermer, always toujours, never jamais, here ici,
now maintenant, work travail, time temps, world monde, life vie, war guerre, peace paix, dream rêve, song chanson
""")

ANIMALS = [
    "fox", "dog", "cat", "rabbit", "bear", "wolf", "mouse", "frog", "owl", "duck", "goose", "hen", "crow", "robin",
    "hedgehog", "squirrel", "deer", "pony", "lamb", "bee",
]  # fmt: skip
OBJECTS = [
    "key", "ring", "ball", "book", "hat", "lamp", "bell", "cup", "coin", "map", "drum", "kite", "shoe", "basket",
    "letter", "spoon", "apple", "button", "mirror", "scarf",
]  # fmt: skip
PLACES = [
    "forest", "garden", "kitchen", "river", "market", "village", "castle", "meadow", "school", "barn", "park",
    "valley", "cave", "harbor", "library", "mill",
]  # fmt: skip
NAMES = [
    "Anna", "Tom", "Mia", "Ben", "Lily", "Max", "Rosa", "Sam", "Nora", "Leo", "Ella", "Paul", "Ida", "Hugo", "Clara",
    "Oscar", "Ruth", "Felix", "Maya", "Jack",
]  # fmt: skip
COLORS = ["red", "blue", "green", "yellow", "black", "white", "brown", "pink", "silver", "golden"]
ADJECTIVES = ["old", "small", "big", "brave", "clever", "shy", "happy", "quiet", "kind", "lazy", "hungry", "young"]
FOODS = ["bread", "cheese", "honey", "soup", "cake", "apples", "nuts", "berries", "pears", "plums"]
WORDS = sorted({*OBJECTS, *ANIMALS, *PLACES, *COLORS, *FOODS, *KINDS, *OPPOSITES})
