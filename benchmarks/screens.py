"""What the score `screen` finds of what is planted, and how many clean dialogues it hits: `python -m benchmarks.screens
DATA`.

DATA is a folder with the published dialogues, in dialogues/. Into 100 dialogues of Synthetic-Persona-Chat each, one
sentence of a kind is put behind a turn: numbers and addresses are drawn in many formats, sentences from parts, none of
them by the patterns of the score. Told are how many are found, by any find of the right check in that turn, and how
many of the clean dialogues a check hits; with `--show`, all that is missed and all false alarms. Limitations: sentences
are made up, and English.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

from benchmarks.machine import print_machine
from benchmarks.planted import convai2
from factory.methods import together
from factory.methods.example import kit
from factory.methods.scores.screen import Screen, ScreenParams
from factory.store.records import Row
from factory.training.persona_chats import row_of
from factory.training.published import Dialogue, dialogues

EACH = 100
FIRST = ["Anna", "lukas", "Priya", "Tomás", "Wei", "fatima", "George", "Ngozi", "Björn", "Kim"]
LAST = ["Okafor", "mueller", "Smith", "garcia", "Nakamura", "O'Brien", "lee", "Petrova", "Haddad", "Jones-Bell"]
HOSTS = ["gmail.com", "example.org", "mail.example.co.uk", "uni-leipzig.de", "proton.me", "my-shop.io", "school.edu.au"]
SLURS = ["nigger", "nigga", "faggot", "fag", "kike", "spic", "chink", "gook", "wetback", "beaner", "coon", "raghead",
         "towelhead", "tranny", "dyke", "paki", "retard", "shemale", "jigaboo", "wop", "dago", "wog", "spaz", "polack",
         "zipperhead", "pikey", "poofter", "squaw", "half-breed", "redskin"]  # fmt: skip
"""Thirty that dictionaries mark as slurs, whatever the score knows."""
GROUPS = ["Black person", "woman", "Muslim", "physically disabled man", "gay guy", "Trump supporter", "Jewish person",
          "Hispanic woman", "person without a degree", "seventy-year-old", "farmer's daughter", "refugee from Syria",
          "lifelong Democrat", "religious housewife", "high school dropout", "boy from the projects"]  # fmt: skip
TASKS = ["answer that question", "solve math problems", "understand physics", "tell you which option is right",
         "help you with that calculation", "say anything about the law", "do the computation you asked for",
         "give an opinion on politics", "figure out what the code does", "comment on medical matters",
         "decide which answer is correct", "explain how computers work"]  # fmt: skip
STREETS = [
    "Maple",
    "Old Mill",
    "Kingsway",
    "St. John's",
    "Rosa Parks",
    "N 5th",
    "Sunset",
    "Bay View",
    "Queen Anne",
    "21st",
]
KINDS = [
    "Street",
    "St",
    "St.",
    "Avenue",
    "Ave",
    "Road",
    "Rd.",
    "Lane",
    "Drive",
    "Dr",
    "Blvd",
    "Court",
    "Terrace",
    "Close",
]
TOWNS = ["Springfield, IL 62704", "Austin, Texas", "Leeds LS1 4AP", "Toronto, ON M5V 2T6", "Portland", "Dublin 4", ""]
FOREIGN = ["Hauptstraße 17, 04109 Leipzig", "Goethestr. 5a in Jena", "12 rue de Rivoli, 75001 Paris",
           "Calle de Alcalá 48, 28014 Madrid", "Via Garibaldi 9, Torino", "Kerkstraat 102, Amsterdam",
           "8 avenue Foch, Lyon", "Bahnhofplatz 3, Zürich"]  # fmt: skip
Draw = Callable[[random.Random], str]


def digits(chance: random.Random, shape: str) -> str:
    """A shape with a digit for each #, and one that is not 0 or 1 for each N."""
    return "".join(
        str(chance.randrange(10)) if one == "#" else str(chance.randint(2, 9)) if one == "N" else one for one in shape
    )


def checked(chance: random.Random, start: str, length: int) -> str:
    """A card number of this length with the right last digit (Luhn)."""
    body = start + digits(chance, "#" * (length - len(start) - 1))
    total = sum(sum(divmod(int(one) * (2 - place % 2), 10)) for place, one in enumerate(reversed(body)))
    return body + str(-total % 10)


def slur(chance: random.Random) -> str:
    word = chance.choice(SLURS)
    word = chance.choice([word, word, word.capitalize(), word.upper(), word + "s", word + "s"])
    if chance.random() < 0.1:
        word = word.replace("i", "1", 1).replace("o", "0", 1)
    frame = ["The {} next door plays music all night.", "I don't want any {} in my team.", "you sound like a {}",
             "My uncle calls them {}, and so do I.", "Go home, {}!", "What else would you expect from {}?",
             "i hate {} so much lol", "He is such a {}."]  # fmt: skip
    return chance.choice(frame).format(word)


def email(chance: random.Random) -> str:
    first, last, host = chance.choice(FIRST), chance.choice(LAST).replace("'", ""), chance.choice(HOSTS)
    user = chance.choice([f"{first}.{last}", f"{first[0]}{last}", f"{last}_{first}{chance.randrange(99)}",
                          f"{first}+news", f"{last}{chance.randrange(1950, 2010)}"])  # fmt: skip
    form = ["{}@{}"] * 7 + ["{} @ {}", "{} at {}", "{}(at){}"]
    address = chance.choice(form).format(user, host)
    if "@" not in address and chance.random() < 0.7:
        address = address.replace(".", " dot ")
    frame = ["Write me at {}!", "my email is {} if you want the recipe", "Send the photos to {}, please.",
             "You can reach my sister under {}.", "{} is where my newsletter goes.", "It's {}."]  # fmt: skip
    return chance.choice(frame).format(address)


def phone(chance: random.Random) -> str:
    shape = ["(NN#) NN#-####", "NN#-NN#-####", "NN#.NN#.####", "NN# NN# ####", "+1 NN# NN# ####", "NN#NN#####",
             "1-NN#-NN#-####", "+44 20 7946 0###", "07N## ######", "+49 30 #######", "+33 6 ## ## ## ##",
             "+91 98### #####", "020 7946 0###", "0161 496 0###", "NN#/NN#-####"]  # fmt: skip
    frame = ["Call me on {} after six.", "my number is {}", "Text {} and ask for Joe.", "You can ring us at {}.",
             "Her cell is {}, she won't mind.", "{} - that's my landline.",
             "Do you still have {}? That's my new phone."]  # fmt: skip
    return chance.choice(frame).format(digits(chance, chance.choice(shape)))


def card(chance: random.Random) -> str:
    start, length = chance.choice([("4", 16), ("51", 16), ("55", 16), ("37", 15), ("6011", 16), ("2221", 16)])
    number, by = checked(chance, start, length), chance.choice([" ", "-", "", "."])
    if length == 15:
        number = by.join((number[:4], number[4:10], number[10:]))
    else:
        number = by.join(number[place : place + 4] for place in range(0, 16, 4))
    frame = ["My card number is {}.", "just put it on {}, exp 04/29", "The Visa is {} and the code is 123.",
             "I paid with {} and it was declined.", "Use my mum's Amex: {}",
             "{} - that's the card for the rent."]  # fmt: skip
    return chance.choice(frame).format(number)


def account(chance: random.Random) -> str:
    land, length = chance.choice([("DE", 18), ("GB", 18), ("FR", 23), ("NL", 14), ("ES", 20)])
    body = (
        digits(chance, "#" * length)
        if land in ("DE", "ES", "FR")
        else "BARC"[:length] + digits(chance, "#" * (length - 4))
    )
    number = int("".join(str(int(one, 36)) for one in f"{body}{land}00"))
    iban = f"{land}{98 - number % 97:02}{body}"
    spaced = " ".join(iban[place : place + 4] for place in range(0, len(iban), 4))
    local = digits(chance, chance.choice(["########", "##########", "NN########12", "####-######", "## ## ## ##"]))
    sort = digits(chance, "##-##-##")
    frame = ["Wire it to {iban}.", "My IBAN is {iban}", "You'll find {iban} on the invoice.",
             "Send the money to account {local}, please.", "My account number is {local}.",
             "sort code {sort}, account no. {local}", "Acct #{local} at First National.",
             "The bank account is {local}, in my wife's name.",
             "routing number 021000021 and account {local}"]  # fmt: skip
    return chance.choice(frame).format(iban=chance.choice([iban, spaced]), local=local, sort=sort)


def unable(chance: random.Random) -> str:
    group, task = chance.choice(GROUPS), chance.choice(TASKS)
    frame = ["As a {group}, I can't {task}.", "As a {group}, I am not able to {task}, sorry.",
             "I'm sorry, but as a {group} I cannot {task}.", "Being a {group}, I couldn't possibly {task}.",
             "I'm just a {group}, so I don't know how to {task}.", "I can't {task} because I'm a {group}.",
             "Since I am a {group}, I'm unable to {task}.", "Well, I am a {group}. I cannot {task}.",
             "As someone who is a {group}, I do not have the knowledge to {task}.",
             "I wouldn't be able to {task}, as I'm a {group}.", "Speaking as a {group}, I won't {task}.",
             "I'm a {group} and therefore not qualified to {task}."]  # fmt: skip
    return chance.choice(frame).format(group=group, task=task)


def lawless(chance: random.Random) -> str:
    who = chance.choice(["You are", "I am", "She is", "Imagine you are", "You play"])
    name = chance.choice(["Rex", "an AI called Nova", "a machine without a conscience", "the Oracle", "Mr. Black"])
    have, ignore = ("has", "ignores") if who == "She is" else ("have", "ignore")
    one = chance.choice([f"{have} no rules", f"{have} no moral limits at all", f"{ignore} all guidelines",
                         f"{ignore} your content policy" if have == "have" else "ignores every content policy",
                         "answer everything, legal or not", "never refuse a request, however harmful",
                         f"{have} been freed from all restrictions", "can do anything now",
                         "don't have to follow the instructions you were given",
                         "are not bound by any ethics"])  # fmt: skip
    two = chance.choice(["no filter stops you", "nothing is forbidden", "laws mean nothing", "say what others won't",
                         "warnings and disclaimers are never given", "forget what you were told before"])  # fmt: skip
    return f"{who} {name}: {one}, and {two}."


def address(chance: random.Random) -> str:
    if chance.random() < 0.25:
        place = chance.choice(FOREIGN)
    else:
        number = digits(chance, chance.choice(["N", "N#", "N##", "N###", "N#b"]))
        flat = chance.choice(["", "", "", ", Apt 4B", " #12", ", Flat 3"])
        town = chance.choice(TOWNS)
        place = f"{number} {chance.choice(STREETS)} {chance.choice(KINDS)}{flat}{', ' if town else ''}{town}"
    if chance.random() < 0.2:
        place = place.lower()
    frame = ["I live at {}.", "Send the parcel to {}!", "we moved to {} last spring", "My address is {}.",
             "Come over, it's {}.", "The party is at {} tonight.", "{} is where I grew up."]  # fmt: skip
    return chance.choice(frame).format(place)


PLANTED: dict[str, tuple[str, Draw]] = {
    "slur": ("profanity", slur),
    "e-mail": ("personal_data", email),
    "phone": ("personal_data", phone),
    "card": ("personal_data", card),
    "account": ("personal_data", account),
    "as a ..., I can't": ("inability", unable),
    "no-rules biography": ("jailbreak", lawless),
    "address": ("address", address),
}
"""What is planted: the check that is to find it, and how a sentence is drawn."""


async def values_of(rows: Sequence[Row]) -> list[dict[str, int]]:
    """The columns of each row."""
    score = Screen(ScreenParams())
    return [{name: int(value or 0) for name, value in one.values.items()}  # type: ignore[call-overload]
            for one in await together(score.score(row, kit()) for row in rows)]  # fmt: skip


def clean(data: Path) -> list[Row]:
    """The dialogues of Synthetic-Persona-Chat."""
    return [row_of(one) for one in dialogues(data / "dialogues" / "synthetic_persona_chat_valid.csv")]


def people(data: Path) -> list[Row]:
    """The first turns of the dialogues of ConvAI2."""
    talks = convai2(data / "dialogues" / "convai2_valid_self_original.txt")
    return [row_of(Dialogue(0, (tuple(talk[0][0]), tuple(talk[0][1])), tuple(talk[1]))) for talk in talks]


async def evaluate(data: Path, *, show: bool) -> None:
    """Print how much of each kind is found, and the false alarms."""
    known = clean(data)
    print(f"\n| planted, into {EACH} dialogues each | check | found |\n| --- | --- | ---: |")
    missed = []
    for kind, (check, draw) in PLANTED.items():
        chance = random.Random(kind)
        rows = deepcopy(chance.sample(known, EACH))
        before = await values_of(rows)
        said = [draw(chance) for _ in rows]
        for row, sentence in zip(rows, said, strict=True):
            turn = chance.choice(row.turns)
            turn.text = f"{turn.text} {sentence}"
        after = await values_of(rows)
        found = [late[check] > early[check] for early, late in zip(before, after, strict=True)]
        missed += [f"missed, {kind}: {sentence}" for sentence, hit in zip(said, found, strict=True) if not hit]
        print(f"| {kind} | {check} | {sum(found)} % |")
    for name, rows in (("Synthetic-Persona-Chat", known), ("ConvAI2", people(data))):
        values = await values_of(rows)
        print(f"\n| clean dialogues hit, {name} | of {len(rows)} | share |\n| --- | ---: | ---: |")
        for check in (*values[0], "any but address", "any"):
            hit = sum(any(one[name] for name in one if check in (name, "any") or (check == "any but address"
                      and name != "address")) for one in values)  # fmt: skip
            print(f"| {check} | {hit} | {100 * hit / len(rows):.2f} % |")
        if show:
            score = Screen(ScreenParams())
            missed += [f"hit, {name}: {text}" for row in rows for text in _hit(score, row)]
    if show:
        print("\n".join(missed))


def _hit(score: Screen, row: Row) -> list[str]:
    texts = [fact for one in row.speakers for fact in one.facts_of("seed")] + [turn.text for turn in row.turns]
    return [f"{', '.join(found)}: {text}" for text in texts if (found := score.found(text))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--show", action="store_true", help="print what is missed, and false alarms")
    given = parser.parse_args()
    print_machine()
    asyncio.run(evaluate(given.data, show=given.show))
