"""Column names: which of our fields a column holds, told by its name in French, English or Wolof, or by its content."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from app.intake.dates import looks_like_date
from app.intake.memory import remembered
from app.intake.phones import looks_like_phone
from app.intake.values import shown, unaccented

if TYPE_CHECKING:
    from app.intake.reader import Table

FIELDS = (
    "first_name",
    "last_name",
    "beneficiary_id",
    "date_of_birth",
    "phone_number",
    "gender",
    "health_center",
    "org_unit",
    "zone",
    "enrollment_date",
)
REQUIRED = ("first_name", "last_name", "beneficiary_id")
FULL_NAME = "full_name"  # stands for first_name and last_name in one column
LEFT_OUT = "left_out"  # the column is not taken over at all
SAMPLES = 3
SAMPLE_ROWS = 200

# The first name of each field in each language heads the example workbook.
NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "first_name": {
        "fr": ("Prénom(s)", "Prénom", "Prénom usuel"),
        "en": ("First name", "Given name", "Forename", "First names", "Given names", "FName"),
        "wo": ("Tur", "Tur wi"),
    },
    "last_name": {
        "fr": ("Nom", "Nom de famille", "Nom patronymique", "Patronyme"),
        "en": ("Last name", "Surname", "Family name", "LName"),
        "wo": ("Sant", "Sant wi"),
    },
    FULL_NAME: {
        "fr": ("Prénom(s) et nom", "Prénom et nom", "Nom et prénom(s)", "Nom et prénom", "Nom prénom", "Prénom nom",
               "Noms et prénoms", "Prénoms et noms", "Nom complet"),
        "en": ("Full name", "Name", "First and last name", "Complete name"),
        "wo": ("Tur ak sant", "Sant ak tur"),
    },
    "beneficiary_id": {
        "fr": ("N° bénéficiaire", "Numéro bénéficiaire", "No bénéficiaire", "Num bénéficiaire", "ID bénéficiaire",
               "Code bénéficiaire", "Identifiant", "Identifiant bénéficiaire", "Identifiant unique", "Matricule",
               "Numéro matricule", "N° matricule", "N° identifiant", "N° patient", "Code patient"),
        "en": ("Beneficiary ID", "ID", "Beneficiary number", "Beneficiary no", "Beneficiary code", "Identifier",
               "Unique ID", "Patient ID", "Patient number", "Client ID", "Registration number"),
        "wo": ("Nimero jariñukat", "Nimero benefisiyeer", "Nimero"),
    },
    "date_of_birth": {
        "fr": ("Date de naissance", "Né(e) le", "Né le", "Née le", "Date naissance", "Naissance", "Date naiss", "DDN"),
        "en": ("Date of birth", "Birth date", "DOB", "Born", "Born on", "Birthday"),
        "wo": ("Bésu juddu", "Bés bi mu juddoo", "Juddu"),
    },
    "phone_number": {
        "fr": ("Téléphone", "Tél", "N° téléphone", "Numéro de téléphone", "N° tél", "Téléphone portable", "Portable",
               "Téléphone mobile", "Contact téléphonique", "GSM", "Numéro WhatsApp", "WhatsApp", "Cellulaire"),
        "en": ("Phone number", "Phone", "Telephone", "Telephone number", "Mobile", "Mobile number", "Mobile phone",
               "Cell", "Cell phone", "Phone no", "WhatsApp number"),
        "wo": ("Nimero telefon", "Telefon", "Limatu telefon"),
    },
    "gender": {
        "fr": ("Sexe", "Genre"),
        "en": ("Gender", "Sex"),
        "wo": ("Góor wala jigéen", "Jigéen wala góor", "Góor/Jigéen"),
    },
    "health_center": {
        "fr": ("Centre de santé", "Poste de santé", "Structure de santé", "Formation sanitaire", "Structure sanitaire",
               "Établissement de santé", "Centre", "Hôpital", "Case de santé"),
        "en": ("Health center", "Health centre", "Health facility", "Facility", "Health post", "Clinic", "Hospital"),
        "wo": ("Barab fajukaay", "Fajukaay", "Kër doktoor"),
    },
    "org_unit": {
        "fr": ("Unité d'organisation", "Unité organisationnelle", "Unité d'org"),
        "en": ("Org unit", "Organisation unit", "Organization unit", "Organisational unit", "OrgUnit", "OU"),
        "wo": ("Kurél",),
    },
    "zone": {
        "fr": ("Zone", "District", "District sanitaire", "Zone sanitaire", "Aire de santé"),
        "en": ("Zone", "District", "Area", "Health district"),
        "wo": ("Gox", "Diiwaan"),
    },
    "enrollment_date": {
        "fr": ("Date d'enregistrement", "Date d'inscription", "Date d'enrôlement", "Enregistré le", "Inscrit le"),
        "en": ("Enrollment date", "Enrolment date", "Registration date", "Date of enrollment", "Date of registration",
               "Enrolled on", "Registered on"),
        "wo": ("Bésu bind", "Bés bi mu bindoo"),
    },
}  # fmt: skip
# A village is a zone only when nothing better is there; a person confirms the choice.
SECOND_CHOICES = {"village": "zone", "commune": "zone", "quartier": "zone", "dekk": "zone"}

_OWN_COLUMN = "fieldcard"  # our lists of problems carry columns that begin so; nobody wants them back
_SMALL_WORDS = frozenset(
    {"de", "du", "des", "d", "la", "le", "les", "l", "the", "of", "a", "yi", "wi", "bi"}
    | {"obligatoire", "required", "facultatif", "optional"}
)
_WHOSE = frozenset(("beneficiaire", "patient", "patiente", "enfant", "client", "beneficiary", "child", "xale"))


@dataclass(frozen=True)
class Match:
    """What one column seems to hold: `field` None keeps it under its own name; `confidence` from 0 to 1."""

    index: int
    header: str
    field: str | None
    confidence: float
    samples: tuple[str, ...]


def match_columns(table: "Table") -> tuple[Match, ...]:
    """Return one match per column, in order; no field is given twice, the surest column gets it.

    A full_name column is offered only where first and last name do not both have a column of their own.
    """
    samples = _samples(table)
    guesses = {
        index: _guess(header, index in table.unnamed, samples[index]) for index, header in enumerate(table.columns)
    }
    named = {field for field, _ in guesses.values()}
    if {"first_name", "last_name"} <= named:
        unwanted = {FULL_NAME}
    elif FULL_NAME in named:
        unwanted = {"first_name", "last_name"}
    else:
        unwanted = set()

    taken: dict[str, int] = {}
    for index, (field, _) in sorted(guesses.items(), key=lambda item: (-item[1][1], item[0])):
        if field and field not in unwanted and (field == LEFT_OUT or field not in taken.values()):
            taken[index] = field
    return tuple(
        Match(
            index,
            header,
            taken.get(index),
            guesses[index][1] if index in taken else 0.0,
            tuple(dict.fromkeys(samples[index]))[:SAMPLES],
        )
        for index, header in enumerate(table.columns)
    )


def count_known(cells: Iterable[object]) -> int:
    """Return how many different fields the cells name; a row of column names has two or more."""
    return len({field for cell in islice(cells, 500) if isinstance(cell, str) and (field := recognise(cell)[0])})


@remembered(10_000)
def recognise(header: str) -> tuple[str | None, float]:
    """Return (field, confidence) for a column name; (None, 0.0) when it is nobody's.

    1.0: the name itself; 0.9: with a remark in brackets or a number dropped; 0.8: with words such as "du
    bénéficiaire" dropped, or one of two names around a slash; 0.6: second choices.
    """
    if len(header) > 80:
        return None, 0.0
    whole = fold(header)
    if whole.startswith(_OWN_COLUMN):
        return LEFT_OUT, 1.0
    if field := _EXACT.get(whole):
        return field, 1.0

    bare = re.sub(r"\(.*?\)|\[.*?\]|\*|\b1\b", " ", header)
    if field := _EXACT.get(fold(bare)):
        return field, 0.9
    if field := _loosely(bare):
        return field, 0.8
    halves = [half for half in re.split(r"[/|]| ou | or | wala ", bare) if half.strip()]
    fields = {_EXACT.get(fold(half)) or _loosely(half) for half in halves}
    if len(halves) > 1 and len(fields) == 1 and None not in fields:
        return fields.pop(), 0.8
    if field := SECOND_CHOICES.get(fold(bare)):
        return field, 0.6
    return None, 0.0


def fold(text: str) -> str:
    """Return the letters and digits of a text alone: no case, accents, spaces, punctuation or apostrophes."""
    return "".join(_words(text))


def family_name_first(header: str) -> bool:
    """Return whether a column of full names puts the family name first, as "Nom et prénom" says."""
    return bool(re.match(r"(noms?|sant|lastname|surname|familyname).*(prenom|tur|first|given)", fold(header)))


def _words(text: str) -> list[str]:
    spelled = text.replace("°", "o ").replace("ŋ", "n").replace("œ", "oe")
    return re.findall(r"[^\W_]+", unaccented(spelled))


def _essence(text: str, without: frozenset[str]) -> str:
    return "".join(word for word in _words(text) if word not in without)


_ALL_NAMES = [(name, field) for field, languages in NAMES.items() for names in languages.values() for name in names]
_EXACT = {fold(name): field for name, field in _ALL_NAMES}
_ESSENCES = {_essence(name, _SMALL_WORDS): field for name, field in _ALL_NAMES}


def _loosely(header: str) -> str | None:
    """Return the field of "Numéro du bénéficiaire" or "Prénom de l'enfant"; a bare "N°" stays nobody's."""
    return _ESSENCES.get(_essence(header, _SMALL_WORDS)) or _EXACT.get(_essence(header, _SMALL_WORDS | _WHOSE))


def _guess(header: str, unnamed: bool, samples: Sequence[str]) -> tuple[str | None, float]:
    if not unnamed:
        return recognise(header)
    if samples and sum(map(looks_like_phone, samples)) >= 0.8 * len(samples):
        return "phone_number", 0.5
    if samples and sum(map(looks_like_date, samples)) >= 0.8 * len(samples):
        return "date_of_birth", 0.4
    return None, 0.0


def _samples(table: "Table") -> list[list[str]]:
    """Return the first values of every column as text, empty cells left out."""
    samples: list[list[str]] = [[] for _ in table.columns]
    for read, (_, cells) in enumerate(table.rows()):
        if read == SAMPLE_ROWS:
            break
        for values, cell in zip(samples, cells, strict=True):
            if cell is not None:
                values.append(shown(cell))
    return samples
