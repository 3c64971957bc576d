"""Card designs as they were when a job froze them."""

from sqlalchemy import String, UniqueConstraint

from app.models.base import JSON, Identified, Mapped, Model, Plain, Tenant, mapped_column, reachable


class DesignVersion(Identified, Tenant, Model):
    """One design, unchangeable, known by the SHA-256 of its files. `files` maps names to base64 text."""

    __tablename__ = "design_version"
    __table_args__ = (reachable(), UniqueConstraint("organisation_id", "sha256"))

    name: Mapped[str] = mapped_column(String(40))
    sha256: Mapped[str] = mapped_column(String(64))
    files: Mapped[Plain] = mapped_column(JSON, deferred=True)
