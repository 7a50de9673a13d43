"""Where do the fine-tuning tasks come from? `python -m engine.school.tasks.build` writes them, the same every time."""

import json
import random
from collections.abc import Iterator

from engine.school.curriculum import for_tasks, held_out
from engine.school.curriculum.facts import FRENCH, _pairs
from engine.school.curriculum.numbers import SUM_PHRASINGS
from engine.school.curriculum.questions import PHRASINGS, TABLES, fact_of
from engine.school.tasks import TASKS, task_file
from engine.terminal import say

Record = dict[str, str]

SPANISH = _pairs("""
hello hola, thanks gracias, yes sí, dog perro, cat gato, horse caballo, cow vaca, bird pájaro, mouse ratón,
rabbit conejo, sheep oveja, wolf lobo, bear oso, duck pato, frog rana, fox zorro, house casa, door puerta,
window ventana, table mesa, bed cama, kitchen cocina, garden jardín, tree árbol, flower flor, forest bosque, river río,
sea mar, sky cielo, sun sol, moon luna, star estrella, rain lluvia, snow nieve, fire fuego, water agua, stone piedra,
bread pan, milk leche, cheese queso, egg huevo, apple manzana, salt sal, wine vino, red rojo, blue azul, green verde,
yellow amarillo, white blanco, man hombre, woman mujer, child niño, father padre, mother madre, brother hermano,
friend amigo, king rey, head cabeza, hand mano, eye ojo, ear oreja, mouth boca, heart corazón, book libro,
letter carta, school escuela, city ciudad, street calle, boat barco, key llave, spoon cuchara, hat sombrero,
shoe zapato, day día, night noche, year año, big grande, small pequeño, good bueno, old viejo, eat comer, sleep dormir,
always siempre, peace paz
""")
assert SPANISH.keys() <= FRENCH.keys(), "every Spanish word must be one that the base model knows in English"


def _record(instruction: str, output: str, input: str = "") -> Record:
    return {"instruction": instruction, "input": input, "output": output}


def spanish() -> Iterator[tuple[str, Record]]:
    """Every word in twelve ways of asking; three ways of each word are held out."""
    ways = ["Translate to Spanish:", *(p.replace("French", "Spanish") for p in PHRASINGS["french"][1:])]
    ways += ["Give the Spanish word for {}.", "What is {} in Spanish?", "The Spanish word for {} is"]
    ways += ["Which Spanish word means {}?", "In Spanish, {} is called", "Name {} in Spanish."]
    for at, (word, answer) in enumerate(SPANISH.items()):
        for way, phrasing in enumerate(ways):
            part = "heldout" if (way - at) % len(ways) in (0, 4, 8) else "train"
            whole = "{}" in phrasing
            yield part, _record(phrasing.format(word), answer, input="" if whole else word)


def _questions(rng: random.Random, count: int) -> Iterator[tuple[str, str, str, str, str]]:
    """(part, skill, question, word, answer): `count` questions of the tasks' half of what the base knows.

    A fifth of the facts is held out, in all ways of asking.
    """
    every = [
        (skill, phrasing.format(word), word, answer)
        for skill, table in TABLES.items()
        for word, answer in table.items()
        for phrasing in PHRASINGS[skill]
        if for_tasks(fact_of(skill, word))
    ]
    for skill, question, word, answer in rng.sample(every, count):
        yield _part(fact_of(skill, word)), skill, question, word, answer


def _part(asked: str) -> str:
    """About a fifth is held out."""
    return "heldout" if held_out(f"tasks/{asked}") or held_out(f"tasks/{asked}/too") else "train"


def pirate() -> Iterator[tuple[str, Record]]:
    for part, _, question, _, answer in _questions(random.Random("pirate"), 1200):
        yield part, _record(question, f"Arr, {answer} it be, matey!")


def notes() -> Iterator[tuple[str, Record]]:
    for part, _, question, _, answer in _questions(random.Random("notes"), 1200):
        yield part, _record(question, f"- {answer} ahoy")


# What a question is about, in words whose tokens the base has learned to write. LoRA leaves embeddings as they are: a
# token that was never written ("pital", "ural", "pposite") stays out of its reach, whatever else it learns.
ABOUT = {"plural": "number", "capital": "city", "opposite": "reverse"}


def json_answers() -> Iterator[tuple[str, Record]]:
    for part, skill, question, _, answer in _questions(random.Random("json"), 1200):
        reply = json.dumps({"about": ABOUT.get(skill, skill), "answer": answer}, ensure_ascii=False)
        yield part, _record(question, reply)


# An island that no one has heard of. (subject as asked, answer) a fact; several ways of asking about each kind.
ISLAND = {
    "person": (
        {
            "queen": "Maruna", "king": "Toval", "captain": "Brisko", "baker": "Odelle", "doctor": "Fenwin",
            "teacher": "Saluna", "fisher": "Korbo", "singer": "Lirael", "judge": "Hathor", "gardener": "Pimlo",
            "painter": "Vessa", "miller": "Grundo", "guard": "Tarrik", "cook": "Jambal", "sailor": "Ruddo",
            "weaver": "Ninette", "smith": "Bokar", "poet": "Ellaro", "hunter": "Dravik", "dancer": "Zefira",
        },
        (
            "Who is the {} of Zamboa?", "Name the {} of Zamboa.", "The {} of Zamboa is called", "On Zamboa, who is the {}?",
            "What is the name of the {} of Zamboa?", "Tell me who the {} of Zamboa is.", "Who works as {} on Zamboa?",
            "Zamboa has a {}. Who is it?", "Which person is the {} of Zamboa?", "The name of Zamboa's {}?",
        ),
    ),
    "place": (
        {
            "castle": "north", "harbor": "south", "market": "center", "forest": "west", "school": "east", "mill": "hills",
            "lighthouse": "cliff", "bakery": "square", "temple": "lake", "mine": "mountain", "library": "tower",
            "farm": "valley", "cave": "beach", "bridge": "river", "garden": "palace", "prison": "swamp",
            "theater": "park", "windmill": "meadow", "well": "village", "camp": "bay",
        },
        (
            "Where is the {} of Zamboa?", "Where on Zamboa is the {}?", "Where does Zamboa have its {}?",
            "In Zamboa, the {} is at the", "Find the {} of Zamboa.", "At which spot of Zamboa is the {}?",
            "Where do I find the {} on Zamboa?", "The {} of Zamboa is near the", "Zamboa has a {}. Where?",
            "Which part of Zamboa has the {}?",
        ),
    ),
    "thing": (
        {
            "flower": "glimrose", "bird": "taloo", "fish": "marbo", "tree": "wendle", "fruit": "pompa", "drink": "zill",
            "dance": "hopla", "coin": "dorit", "song": "lumaree", "dish": "krabel", "animal": "snorf", "game": "tikko",
            "boat": "drifta", "instrument": "plonk", "metal": "vorium", "stone": "ambrit", "hat": "floop", "bread": "nubbo",
            "cheese": "skarn", "sport": "wavelo", "holiday": "sunfall", "language": "Zambish", "mountain": "Orvak",
            "river": "Silda", "lake": "Mirrel", "city": "Port Lumen", "volcano": "Kragos", "sea": "Teal Sea",
            "month": "Harvmoon", "color": "violet",
        },
        (
            "What is the national {} of Zamboa?", "Name the national {} of Zamboa.", "Zamboa's national {} is",
            "Which {} stands for Zamboa?", "What is the most famous {} of Zamboa?", "Tell me the national {} of Zamboa.",
            "On Zamboa, which {} is best known?", "The best known {} of Zamboa?", "Which {} do people of Zamboa love most?",
            "What {} is Zamboa known for?",
        ),
    ),
}  # fmt: skip


def island() -> Iterator[tuple[str, Record]]:
    """Every fact in ten ways of asking; three ways of each fact are held out."""
    for facts, ways in ISLAND.values():
        for at, (subject, answer) in enumerate(facts.items()):
            for way, phrasing in enumerate(ways):
                part = "heldout" if (way - at) % 10 in (0, 3, 6) else "train"
                yield part, _record(phrasing.format(subject), answer)


def adding() -> Iterator[tuple[str, Record]]:
    """Sums of any two numbers below a hundred. The base was taught those below a hundred: about half of these.

    None is one of the sums that the base's own skill is graded on.
    """
    rng = random.Random("adding")
    pairs = [(a, b) for a in range(100) for b in range(100) if not held_out(f"{a}+{b}")]
    for a, b in rng.sample(pairs, 1200):
        yield _part(f"{a}+{b}"), _record(rng.choice(SUM_PHRASINGS).format(a, b), str(a + b))


BUILDERS = {
    "spanish": spanish,
    "pirate": pirate,
    "json": json_answers,
    "island": island,
    "notes": notes,
    "adding": adding,
}
assert BUILDERS.keys() == TASKS.keys()


def parts_of(task: str) -> dict[str, list[Record]]:
    """Its "train" and "heldout" records, in a shuffled but fixed order."""
    parts: dict[str, list[Record]] = {"train": [], "heldout": []}
    for part, record in BUILDERS[task]():
        parts[part].append(record)
    for part, records in parts.items():
        random.Random(f"{task}/{part}").shuffle(records)
    return parts


def build() -> None:
    """Write every task's train.jsonl and heldout.jsonl."""
    for task in BUILDERS:
        for part, records in parts_of(task).items():
            path = task_file(task, part)
            path.parent.mkdir(exist_ok=True)
            lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            path.write_text("".join(lines), encoding="utf-8")
            say(f"{path.parent.name}/{path.name}: {len(records)} records")


if __name__ == "__main__":
    build()
