"""Health: for load balancers and monitors, which ask every few seconds, and for administrators."""

from flask import Response, current_app, jsonify, request
from flask.blueprints import BlueprintSetupState

from app.domain.health import Kind
from app.sentences import N_
from app.web.door import actor, bp, page, public, signed_in
from app.web.lookout import Lookout

PILLS = {
    Kind.good: (N_("Good"), "good"),
    Kind.attention: (N_("Needs a look"), "warn"),
    Kind.bad: (N_("Put this right"), "bad"),
}
NAMES = {
    "workers": N_("Workers"),
    "queue": N_("Queue"),
    "waiting": N_("Jobs"),
    "taken up": N_("Taken up again"),
    "disk": N_("Disk"),
    "store": N_("File store"),
    "database": N_("Database"),
    "migrations": N_("Tables"),
    "keys": N_("Signing keys"),
    "backup": N_("Last backup"),
    "check-up": N_("Last check-up"),
}


@bp.get("/healthz")
@public
def healthz() -> tuple[Response, int]:
    """Answer 200 when the installation can work, otherwise 503 with the reasons; `?web` asks for this process only."""
    look = _lookout().look(of_one_process="web" in request.args)
    reasons = [{"code": one.about, "text": str(one.sentence)} for one in look.findings if one.stops]
    if reasons:
        return jsonify(status="unavailable", reasons=reasons), 503
    return jsonify(status="ok"), 200


@bp.get("/app/health")
@signed_in(to="see the health")
def health() -> str:
    """Show how the installation is; of what the check-up found, only what concerns the reader's organisation."""
    look = _lookout().look()
    found = look.check_up.breaches if look.check_up else ()
    ours = [breach.sentence for breach in found if breach.organisation_id == actor().organisation_id]
    return page(
        "health/health.html",
        findings=sorted(look.findings, key=lambda one: list(NAMES).index(one.about)),
        ours=ours,
        others=len(found) - len(ours),
        workers=look.workers,
        names=NAMES,
        pills=PILLS,
    )


@bp.record_once
def _keep_a_lookout(state: BlueprintSetupState) -> None:
    state.app.extensions["fieldcard-lookout"] = Lookout(state.app)


def _lookout() -> Lookout:
    return current_app.extensions["fieldcard-lookout"]
