"""Settings: read once, refused in a sentence, and a secret that stays."""

import pytest

from app.settings import SettingsError, from_environment

SECRET = "0123456789abcdef" * 4


def test_it_works(tmp_path):
    settings = from_environment({"FIELDCARD_HOME": str(tmp_path), "PORT": "8123"})
    assert (settings.port, settings.public_url) == (8123, "http://localhost:8123")
    assert settings.database.endswith("fieldcard.db")
    assert not settings.cookies_need_tls


def test_the_secret_is_made_once_and_kept_for_its_owner_alone(tmp_path):
    first = from_environment({"FIELDCARD_HOME": str(tmp_path)})
    again = from_environment({"FIELDCARD_HOME": str(tmp_path)})
    assert first.secret == again.secret
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"FIELDCARD_SECRET": ""}, "FIELDCARD_SECRET"),
        ({"FIELDCARD_SECRET": "short"}, "too short"),
        ({"FIELDCARD_PUBLIC_URL": ""}, "FIELDCARD_PUBLIC_URL"),
        ({"FIELDCARD_PUBLIC_URL": "cards.example.org"}, "https://"),
        ({"FIELDCARD_DEBUG": "1"}, "FIELDCARD_DEBUG"),
        ({"PORT": "eighty"}, "PORT"),
        ({"FIELDCARD_LEASE_SECONDS": "-1"}, "FIELDCARD_LEASE_SECONDS"),
    ],
)
def test_production_refuses_what_it_cannot_stand_on(tmp_path, changes, word):
    good = {
        "FIELDCARD_ENV": "production",
        "FIELDCARD_HOME": str(tmp_path),
        "FIELDCARD_SECRET": SECRET,
        "FIELDCARD_PUBLIC_URL": "https://cards.example.org",
    }
    assert from_environment(good).cookies_need_tls
    with pytest.raises(SettingsError, match=word):
        from_environment(good | changes)


@pytest.mark.parametrize("given", ["postgres://u@h/d", "postgresql://u@h/d", "postgresql+psycopg://u@h/d"])
def test_every_spelling_of_postgresql_gets_our_driver(tmp_path, given):
    settings = from_environment({"FIELDCARD_HOME": str(tmp_path), "DATABASE_URL": given})
    assert settings.database == "postgresql+psycopg://u@h/d"
