"""What a card design may know: the facts of one card, and those of its whole job."""

import unicodedata
from dataclasses import dataclass
from datetime import date, datetime

CARD_NAMES = frozenset(
    {
        "code",
        "first_name",
        "last_name",
        "full_name",
        "beneficiary_id",
        "date_of_birth",
        "gender",
        "health_center",
        "org_unit",
        "zone",
        "enrollment_date",
        "mpi_id",
        "issued_on",
        "expires_on",
        "copy",
        "qr",
    }
)
JOB_NAMES = frozenset({"campaign_name", "programme", "verify_address", "test", "logo"})
IMAGE_NAMES = frozenset({"qr", "logo"})
# Soft hyphen, zero width space, direction marks and byte order mark: spreadsheets leave them in names.
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\ufeff"))


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 key that verifies the tokens of a job; `public_key` is its 32 raw bytes."""

    key_id: int
    public_key: bytes
    issuer: str


@dataclass(frozen=True)
class CardFacts:
    """One card in plain text; an empty string means absent. `address` is what its QR code holds."""

    code: str
    first_name: str
    last_name: str
    beneficiary_id: str
    address: str
    issued_on: date
    expires_on: date | None = None
    date_of_birth: date | None = None
    enrollment_date: date | None = None
    gender: str = ""
    health_center: str = ""
    org_unit: str = ""
    zone: str = ""
    mpi_id: str = ""
    copy: str = ""

    @property
    def token(self) -> str:
        """Return the signed token: the last part of the address."""
        return self.address.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class JobFacts:
    """What all cards of a job share, frozen with the job.

    `sheet` is None for one side a page or "a4"; `generated_at` is aware UTC and the only clock in any artifact;
    `logo` is a PNG.
    """

    job_id: str
    campaign_id: str
    campaign_name: str
    campaign_type: str
    prefix: str
    programme: str
    language: str
    dpi: int
    sheet: str | None
    generated_at: datetime
    verify_address: str
    sensitive: bool = False
    test: bool = False
    logo: bytes | None = None
    keys: tuple[PublicKey, ...] = ()


def of_job(job: JobFacts) -> dict[str, str]:
    """Return the texts that are the same on each card of the job; a sensitive campaign gives no name away."""
    return {
        "campaign_name": "" if job.sensitive else _plain(job.campaign_name),
        "programme": "" if job.sensitive else _plain(job.programme),
        "verify_address": job.verify_address,
        "test": "TEST" if job.test else "",
    }


def of_card(card: CardFacts) -> dict[str, str]:
    """Return the texts of one card by the names that designs use; dates as dd/mm/yyyy."""
    full_name = f"{card.first_name} {card.last_name}"
    texts = {
        "code": card.code,
        "first_name": card.first_name,
        "last_name": card.last_name,
        "full_name": full_name,
        "beneficiary_id": card.beneficiary_id,
        "date_of_birth": _day(card.date_of_birth),
        "gender": card.gender,
        "health_center": card.health_center,
        "org_unit": card.org_unit,
        "zone": card.zone,
        "enrollment_date": _day(card.enrollment_date),
        "mpi_id": card.mpi_id,
        "issued_on": _day(card.issued_on),
        "expires_on": _day(card.expires_on),
        "copy": card.copy,
    }
    return {name: _plain(text) for name, text in texts.items()}


def _day(day: date | None) -> str:
    return "" if day is None else f"{day:%d/%m/%Y}"


def _plain(text: str) -> str:
    """Return the text in composed letters, ë and not e with a loose dieresis, without marks that nobody sees."""
    return " ".join(unicodedata.normalize("NFC", text).translate(INVISIBLE).split())
