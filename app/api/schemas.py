"""What the card API takes and answers: the documented fields in their documented order, extensions last."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, StrictBool

from app.domain.people_checks import unprintable
from app.models import CampaignType, CardsStatus

MOST_BENEFICIARIES = 10_000
LONGEST_DESCRIPTION = 10_000
LARGEST_OFFSET = 10**9

BENEFICIARY = {
    "type": "object",
    "required": ["first_name", "last_name", "beneficiary_id"],
    "properties": {
        "first_name": {"type": "string", "maxLength": 100},
        "last_name": {"type": "string", "maxLength": 100},
        "date_of_birth": {"type": "string", "format": "date"},
        "beneficiary_id": {"type": "string", "maxLength": 64},
        "phone_number": {"type": "string", "description": "E.164, such as +221771234567"},
        "gender": {"type": "string", "enum": ["M", "F", "U"]},
        "health_center": {"type": "string", "maxLength": 200},
        "org_unit": {"type": "string", "maxLength": 200},
        "zone": {"type": "string", "maxLength": 200},
        "enrollment_date": {"type": "string", "format": "date"},
    },
    "additionalProperties": True,
}


def _printable(text: str) -> str:
    if unprintable(text):
        raise ValueError("This holds control characters, which cannot be printed. Send it without them.")
    return text


Text = Annotated[str, AfterValidator(_printable)]
Description = Annotated[Text, Field(max_length=LONGEST_DESCRIPTION)]


class Refused(BaseModel):
    """Why something is not done; `code` is its stable name."""

    detail: str
    code: str
    request_id: str


class Problem(BaseModel):
    """One value that cannot be taken: where it stands, what is wrong with it, and of what kind that is."""

    loc: list[str | int]
    msg: str
    type: str


class Unprocessable(BaseModel):
    """The first hundred values that cannot be taken, and how many there are."""

    detail: list[Problem]
    total: int
    code: str
    request_id: str


class Credentials(BaseModel):
    """Who signs in."""

    email: Annotated[Text, Field(max_length=254)]
    password: Annotated[Text, Field(max_length=1_000)]


class Programme(BaseModel):
    """The organisation one signed in to."""

    id: str
    email: str
    name: str
    role: str
    plan: str
    status: str


class SignedIn(BaseModel):
    """An access token; `expires_in` is in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    requires_2fa: bool
    programme: Programme


class CampaignWanted(BaseModel):
    """A campaign to be made."""

    name: Text
    campaign_type: Text
    prefix: Text
    language: Text
    template_id: Text
    description: Description | None = None


class CampaignChange(BaseModel):
    """What may change in a campaign; prefix and type never do."""

    model_config = ConfigDict(extra="forbid")

    name: Text = ""
    description: Description | None = None


class CampaignFilter(BaseModel):
    """Which campaigns to list."""

    status: CardsStatus | None = None
    campaign_type: CampaignType | None = None
    limit: int = Field(20, ge=1, le=100)
    offset: int = Field(0, ge=0, le=LARGEST_OFFSET)


class CampaignMade(BaseModel):
    """A campaign just made."""

    id: str
    name: str
    campaign_type: str
    prefix: str
    language: str
    template_id: str
    status: str
    total_cards: int
    created_at: str
    updated_at: str


class CampaignListed(BaseModel):
    """A campaign in the list."""

    id: str
    name: str
    campaign_type: str
    prefix: str
    status: str
    total_cards: int
    created_at: str


class CampaignPage(BaseModel):
    """One page of the list, newest first."""

    total: int
    limit: int
    offset: int
    items: list[CampaignListed]


class JobListed(BaseModel):
    """A job of a campaign."""

    job_id: str
    status: str
    cards_generated: int
    created_at: str


class CampaignShown(BaseModel):
    """A campaign and its jobs, newest first."""

    id: str
    name: str
    campaign_type: str
    prefix: str
    language: str
    template_id: str
    status: str
    total_cards: int
    jobs: list[JobListed]
    created_at: str
    updated_at: str
    description: str | None


class JobWanted(BaseModel):
    """Cards to be made for these people."""

    beneficiaries: list[Any] = Field(
        min_length=1, max_length=MOST_BENEFICIARIES, json_schema_extra={"items": BENEFICIARY}
    )
    dpi: Literal[300, 450, 600] = 300
    include_mpi_id: StrictBool = True


class JobMade(BaseModel):
    """A job just ordered."""

    job_id: str
    campaign_id: str
    status: str
    total_cards: int
    quota_consumed: int
    created_at: str


class JobInProgress(BaseModel):
    """A job that waits or is being made."""

    job_id: str
    campaign_id: str
    status: str
    progress: int
    cards_generated: int
    total_cards: int
    eta_seconds: int | None
    started_at: str | None


class JobPaused(JobInProgress):
    """A job that somebody has paused."""

    paused: Literal[True] = True


class Artifacts(BaseModel):
    """Where the files of a job are."""

    pdf_url: str
    zip_url: str
    verification_portal_url: str
    manifest_url: str


class JobCompleted(BaseModel):
    """A job whose files are there."""

    job_id: str
    campaign_id: str
    status: str
    progress: int
    cards_generated: int
    total_cards: int
    artifacts: Artifacts
    started_at: str
    completed_at: str


class JobFailed(BaseModel):
    """A job that made nothing; what it cost was given back."""

    job_id: str
    status: str
    error: str
    quota_refunded: int
    failed_at: str


class JobCancelled(JobFailed):
    """A job that somebody has cancelled; the files hold what was drawn before, null when that was nothing."""

    artifacts: Artifacts | None


class JobShown(RootModel[JobCompleted | JobCancelled | JobFailed | JobPaused | JobInProgress]):
    """Where a job stands, in the shape of its state."""


class Quota(BaseModel):
    """What may still be made this month; -1 is without limit."""

    identities_total: int
    identities_used: int
    identities_remaining: int
    sms_total: int
    sms_used: int
    sms_remaining: int
    whatsapp_total: int
    whatsapp_used: int
    whatsapp_remaining: int
    verifications_total: int
    storage_gb_total: int


class Balance(BaseModel):
    """The plan of the organisation; an installation of one's own has no prices."""

    account_id: str
    plan: str
    plan_display_name: str
    balance_fcfa: int
    monthly_subscription_fcfa: int
    quota: Quota
    quota_reset_date: str
    currency: str
