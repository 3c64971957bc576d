"""Lists of people as programmes have them, and how a test brings them in."""

import io
from pathlib import Path

from openpyxl import Workbook
from sqlalchemy import func, select

from app import files
from app.database import db, transaction
from app.domain import access, imports, work
from app.models import Campaign, ImportBatch
from tests.cast import work_to_the_end

HEADER = "Prénom(s);Nom;N° bénéficiaire;Né(e) le;Téléphone;Sexe;Métier"
ALIKE = "Prenom;Nom de la mère;Matricule"


def row(number: int, phone: str = "") -> str:
    return f"Aïssatou;Ndèye {number};B-{number:05d};31/12/1990;{phone or 770_000_000 + number};F;Couturière"


def a_list(*rows: str, header: str = HEADER) -> bytes:
    return "\r\n".join((header, *rows)).encode("cp1252")


def workbook(*rows: tuple, hidden: int) -> bytes:
    book = Workbook()
    for values in rows:
        book.active.append(values)
    book.active.row_dimensions[hidden].hidden = True
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def bring(campaign: Campaign, content: bytes, by: access.Actor, name: str = "liste.csv") -> ImportBatch:
    """Hand the file in as the portal does."""
    path = Path(files.store().folder) / ".tmp-sent"
    path.write_bytes(content)
    return imports.upload(campaign, name, path, by=by)


def one_step(app, owner: str = "worker", stopping=lambda: False) -> None:
    """Let a worker of another process do one piece of work."""
    db.session.rollback()
    with app.app_context():
        work.do_one(owner, stopping=stopping)
    db.session.rollback()


def expire_leases() -> None:
    """Let every lease run out, as time would."""
    with transaction() as session:
        session.query(ImportBatch).filter(ImportBatch.lease_fence.is_not(None)).update({"lease_expires": 0.0})


def count(model) -> int:
    return db.session.scalar(select(func.count()).select_from(model))


def add(cast, batch: ImportBatch) -> ImportBatch:
    """Let the list go through all its steps, its good rows confirmed as they are."""
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    imports.confirm(batch, people=batch.rows_good, by=access.Actor(batch.organisation_id, "editor"))
    work_to_the_end(cast.app)
    db.session.refresh(batch)
    return batch
