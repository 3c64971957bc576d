"""Which modules hold pages: importing them hangs their routes into the portal's blueprint."""

from importlib import import_module

NOUNS = (
    "home",
    "health",
    "accounts",
    "team",
    "settings",
    "campaigns",
    "new_campaign",
    "campaign_settings",
    "people",
    "erasure",
    "dossiers",
    "cards",
    "imports",
    "designs",
    "jobs",
    "downloads",
    "usage",
    "verification",
)


def load() -> None:
    """Import every noun's pages, once."""
    for noun in NOUNS:
        import_module(f"app.web.{noun}")
