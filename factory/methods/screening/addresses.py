"""Postal addresses in a text, by form: a number and a street, or a code with a town.

In the order of addresses in English (number, name, a word such as Road: USPS, Publication 28), French, German, Dutch,
Spanish and Italian; American ZIP codes behind a state, British postcodes, and five digits and a town behind a number.
Limitations: streets without a number or such a word pass, as do addresses of other countries; the title of a film that
has the form of an address is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_STREET = (
    "streets?|str?|avenues?|ave?|roads?|rd|lanes?|ln|drives?|dr|boulevard|blvd|courts?|ct|place|pl|plaza|plz|terrace"
    "|ter|square|sq|close|crescent|cres|highway|hwy|parkway|pkwy|circles?|cir|trail|trl|alley|row|mews|gardens|way|quay"
    "|walks?"
)
_MORE = (
    "annex|arcade|bayou|beach|bend|bluffs?|bottom|branch|bridge|brooks?|burgs?|bypass|camp|canyon|cape|causeway"
    "|centers?|cliffs?|club|common|corners?|course|coves?|creek|crest|crossing|crossroad|curve|dale|dam|divide|estates?"
    "|expressway|extensions?|falls?|ferry|fields?|flats?|fords?|forest|forges?|forks?|fort|freeway|garden|gateway"
    "|glens?|greens?|groves?|harbors?|haven|heights|hills?|hollow|inlet|islands?|isle|junctions?|keys?|knolls?|lakes?"
    "|landing|lights?|loaf|locks?|lodge|loop|mall|manors?|meadows?|mills?|mission|motorway|mount|mountains?|neck"
    "|orchard|oval|overpass|parks?|parkways?|passage|path|pike|pines?|plains?|points?|ports?|prairie|radial|ramp|ranch"
    "|rapids?|rest|ridges?|rise|river|route|run|shoals?|shores?|skyway|springs?|spurs?|station|stravenue|stream|summit"
    "|throughway|trace|track|trafficway|tunnel|turnpike|underpass|unions?|valleys?|via|viaduct|views?|villages?|ville"
    "|vista|wall|ways|wells?|wharf"
)
"""Words that a street's name ends in; those that mean much else only where they are written like a name."""
_COUNTED = (
    "down|up|on|of|off|across|along|from|in|the|to|and|my|our|a|for|or|per|at|by|more|times|is|years?|miles?|blocks?"
    "|minutes?|hours?|days?|people|cars?|kids|different|other|large|small|big|new|houses?|feet|way|lane"
)
"""Words behind a number that counts something."""
_BEHIND = r"(?:(?<=\bat )|(?<=\bto )|(?<=\bis )|(?<=\bon )|(?<=\bit's )|(?<=\baddress: ))"
_NUMBER, _NOT = r"\d{1,5}[a-z]?", rf"(?!(?:{_COUNTED}) )"
_ADDRESS = re.compile(
    "|".join(
        (
            rf"(?<![\w.,:$£€]){_NUMBER} {_NOT}(?:(?-i:[A-Z0-9][\w.'’-]*|of|the|de|la) ){{1,4}}"
            rf"(?-i:(?=[A-Z]))(?:{_STREET}|{_MORE})\b",
            rf"{_BEHIND}{_NOT}{_NUMBER},? {_NOT}(?:[a-z0-9][\w.'’-]* ){{1,3}}(?:{_STREET})\b",
            r"\b(?:flat|apt|unit|studio|house) \d+[a-z]?, (?-i:(?:[A-Z][\w'’-]* ){1,3}[A-Z])",
            r"\bp\.? ?o\.? box \d+",
            r"(?<=, )(?-i:[A-Z]{2}) \d{5}(?:-\d{4})?\b",
            r"(?-i:\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b)",
            r"\d{1,4}[a-z]?(?:[/-]\d{1,4})?, \d{5} (?-i:[A-ZÄÖÜÉ])[\w.-]+",
            r"\b(?!stra(?:ss|ß)e)[\wäöüß.-]*(?:stra(?:ß|ss)e|str\.|gasse|platz|allee|straat|gracht|laan|weg) "
            r"\d{1,4}[a-z]?\b",
            r"\b\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|bd|place|quai|chemin|impasse|cours)"
            r"(?: (?:de|du|des|la|le|les|saint|sainte)| d['’]| l['’])* ?[\w'’-]+",
            r"\b(?:calle|c/|avenida|avda\.?|plaza|paseo|via|viale|corso|piazza|rua|praça)"
            r"(?: (?:de|del|la|las|los|da|do|dos|di|della))* [\w'’.-]+(?: [\w'’.-]+){0,2}?,? \d{1,4}\b",
        )
    ),
    re.IGNORECASE,
)


def addresses(text: str) -> Iterator[tuple[str, int, int]]:
    """Place of each postal address."""
    if any(map(str.isdecimal, text)):
        yield from (("address", *found.span()) for found in _ADDRESS.finditer(text))
