"""What an organisation may still make, as the billing API shows it; one's own installation has no prices."""

from datetime import date, timedelta

from app.api.auth import PLAN
from app.api.door import actor, bp, signed_in, takes
from app.api.schemas import Balance, Quota
from app.database import spell
from app.domain import people, quotas

UNLIMITED = -1


@bp.get("/billing/balance")
@signed_in("see")
@takes(answers={200: Balance})
def balance():
    """Show the plan and what is left of its quota."""
    organisation_id = actor().organisation_id
    used, left = quotas.used_this_period(organisation_id), quotas.balance(organisation_id)
    unlimited = quotas.unlimited(organisation_id)
    return Balance(
        account_id=spell("prog", organisation_id),
        plan=PLAN,
        plan_display_name="Self-hosted",
        balance_fcfa=0,
        monthly_subscription_fcfa=0,
        quota=Quota(
            identities_total=UNLIMITED if unlimited else used + left,
            identities_used=used,
            identities_remaining=UNLIMITED if unlimited else left,
            sms_total=UNLIMITED,
            sms_used=0,
            sms_remaining=UNLIMITED,
            whatsapp_total=UNLIMITED,
            whatsapp_used=0,
            whatsapp_remaining=UNLIMITED,
            verifications_total=UNLIMITED,
            storage_gb_total=UNLIMITED,
        ),
        quota_reset_date=_first_of_next_month(people.today_of(organisation_id)).isoformat(),
        currency="XOF",
    )


def _first_of_next_month(today: date) -> date:
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1)
