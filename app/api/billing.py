"""What an organisation may still make, as the billing API shows it; one's own installation has no prices."""

from app.api.auth import PLAN
from app.api.door import actor, bp, signed_in, takes
from app.api.schemas import Balance, Quota
from app.database import spell
from app.domain.standings import standing_of

UNLIMITED = -1


@bp.get("/billing/balance")
@signed_in("see")
@takes(answers={200: Balance})
def balance():
    """Show the plan, what is left of this month's quota, and the day on which it begins anew."""
    organisation_id = actor().organisation_id
    quota = standing_of(organisation_id)
    return Balance(
        account_id=spell("prog", organisation_id),
        plan=PLAN,
        plan_display_name="Self-hosted",
        balance_fcfa=0,
        monthly_subscription_fcfa=0,
        quota=Quota(
            identities_total=UNLIMITED if quota.unlimited else quota.total,
            identities_used=quota.used,
            identities_remaining=UNLIMITED if quota.unlimited else quota.left,
            sms_total=UNLIMITED,
            sms_used=0,
            sms_remaining=UNLIMITED,
            whatsapp_total=UNLIMITED,
            whatsapp_used=0,
            whatsapp_remaining=UNLIMITED,
            verifications_total=UNLIMITED,
            storage_gb_total=UNLIMITED,
        ),
        quota_reset_date=quota.renewed_on.isoformat(),
        currency="XOF",
    )
