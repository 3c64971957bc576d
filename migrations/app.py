"""For those who write migrations: `flask --app migrations.app db migrate --rev-id 0003 -m "what it does"`."""

from app.domain import installation
from app.factory import create_app

app = create_app()
installation.with_migrations(app)
