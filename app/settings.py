"""One frozen Settings, read from the environment once. Standard library only; every part may import it."""

import os
import secrets
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
SECRET_BYTES = 32
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - compared with, not bound to
TEST_ENDINGS = (".test", ".example", ".invalid", ".localhost", ".local")  # RFC 6761 and 6762


class SettingsError(ValueError):
    """A setting that cannot be used; the message says which and what to do."""


@dataclass(frozen=True)
class Settings:
    """What the surroundings decide. Every field stands in the README under its environment name."""

    home: Path
    secret: bytes
    production: bool = False
    debug: bool = False
    port: int = 8000
    bind: str = "127.0.0.1"
    public_url: str = "http://localhost:8000"
    database_url: str = ""
    queue_url: str = ""
    files_url: str = ""
    workers: int = 1
    web_threads: int = 256
    lease_seconds: float = 60.0
    reap_seconds: float = 15.0
    proxies: int = 0
    max_job_cards: int = 1_000_000
    artifact_days: int = 180
    import_days: int = 7
    backup_recipient: str = ""

    @property
    def database(self) -> str:
        """The SQLAlchemy address of the database; SQLite in the data folder unless set."""
        return self.database_url or f"sqlite:///{self.home / 'fieldcard.db'}"

    @property
    def queue(self) -> str:
        """The address of the queue; a SQLite file of its own unless set."""
        return self.queue_url or f"sqlite:///{self.home / 'queue.db'}"

    @property
    def files(self) -> str:
        """The address of the file store; a folder in the data folder unless set."""
        return self.files_url or f"file://{self.home / 'files'}"

    @property
    def makes_test_cards(self) -> bool:
        """Whether cards made here say TEST: outside production, or where their address leads nowhere outside."""
        host = urlsplit(self.public_url).hostname or ""
        return not self.production or host in LOCAL_HOSTS or host.endswith(TEST_ENDINGS)

    @property
    def cookies_need_tls(self) -> bool:
        """Whether the portal is reached over https, so that its cookies may demand it."""
        return self.public_url.startswith("https://")


def from_environment(environ: dict[str, str] | None = None) -> Settings:
    """Return the settings of this installation, its data folder made and its secret in place.

    Outside production the secret is made on the first start and kept in the data folder (mode 0600).
    Raises SettingsError with a sentence when a value is missing or cannot be read.
    """
    env = os.environ if environ is None else environ
    kind = env.get("FIELDCARD_ENV", "")
    if kind not in ("", "development", "production"):
        raise SettingsError(f"FIELDCARD_ENV is production or development (or not set), but is {kind!r}.")
    production = kind == "production"
    debug = env.get("FIELDCARD_DEBUG", "") not in ("", "0", "false")
    port = _number(env, "PORT", 8000, int)
    if production and debug:
        raise SettingsError("FIELDCARD_DEBUG must not be set in production: remove it.")
    if production and not env.get("FIELDCARD_PUBLIC_URL"):
        raise SettingsError(
            "FIELDCARD_PUBLIC_URL is missing: set it to the address that is printed in every QR code, "
            "for example https://cards.example.org"
        )
    home = Path(env.get("FIELDCARD_HOME") or ROOT / "var").expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    return Settings(
        home=home,
        secret=_secret(env, home, production),
        production=production,
        debug=debug,
        port=port,
        bind=env.get("FIELDCARD_BIND", "127.0.0.1"),
        public_url=_public_url(env.get("FIELDCARD_PUBLIC_URL") or f"http://localhost:{port}"),
        database_url=_psycopg(env.get("DATABASE_URL", "")),
        queue_url=env.get("QUEUE_URL", ""),
        files_url=_files(env.get("FILES_URL", "")),
        workers=_number(env, "FIELDCARD_WORKERS", os.cpu_count() or 1, int),
        web_threads=_number(env, "FIELDCARD_WEB_THREADS", 256, int),
        lease_seconds=_number(env, "FIELDCARD_LEASE_SECONDS", 60.0, float),
        reap_seconds=_number(env, "FIELDCARD_REAP_SECONDS", 15.0, float),
        proxies=_number(env, "FIELDCARD_PROXIES", 0, int, least=0),
        max_job_cards=_number(env, "FIELDCARD_MAX_JOB_CARDS", 1_000_000, int),
        artifact_days=_number(env, "FIELDCARD_ARTIFACT_DAYS", 180, int, least=1),
        import_days=_number(env, "FIELDCARD_IMPORT_DAYS", 7, int, least=1),
        backup_recipient=env.get("FIELDCARD_BACKUP_RECIPIENT", ""),
    )


def _number(env, name: str, default, kind, least: float = 0.01):
    text = env.get(name, "")
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError:
        raise SettingsError(f"{name} must be a number, but is {text!r}.") from None
    if value < least:
        raise SettingsError(f"{name} must be at least {least:g}, but is {text}.")
    return value


def _public_url(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")):
        raise SettingsError(f"FIELDCARD_PUBLIC_URL must begin with https:// or http://, but is {text!r}.")
    return text.rstrip("/")


def _psycopg(url: str) -> str:
    """Return the address with our driver's name: hosts hand out `postgres://…`, SQLAlchemy wants the driver."""
    for short in ("postgres://", "postgresql://"):
        if url.startswith(short):
            return "postgresql+psycopg://" + url.removeprefix(short)
    return url


def _files(url: str) -> str:
    """Return the address when it is one of a folder or of a bucket, and what a bucket takes is installed."""
    place = urlsplit(url)
    if url and not (place.scheme == "file" and not place.netloc and place.path.startswith("/")):
        if place.scheme != "s3" or not place.netloc or place.query:
            raise SettingsError(f"FILES_URL is file:///FOLDER or s3://BUCKET/PREFIX, but is {url!r}.")
        if find_spec("boto3") is None:
            raise SettingsError("FILES_URL names S3, which takes boto3: run ./run setup, or pip install boto3.")
    return url


def _secret(env, home: Path, production: bool) -> bytes:
    given = env.get("FIELDCARD_SECRET", "")
    if given:
        if len(given.encode()) < SECRET_BYTES:
            raise SettingsError("FIELDCARD_SECRET is too short: use 32 random bytes or more, written as text.")
        return given.encode()
    if production:
        raise SettingsError(
            "FIELDCARD_SECRET is missing: set it to 32 random bytes written as text, "
            "for example the output of: openssl rand -hex 32"
        )
    return _kept_secret(home / "secret")


def _kept_secret(path: Path) -> bytes:
    """Return the data folder's own secret; two first starts at once agree, because only one can link the file."""
    if not path.exists():
        draft = path.with_name(f".secret-{os.getpid()}-{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as out:
            out.write(secrets.token_hex(SECRET_BYTES))
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip().encode()
