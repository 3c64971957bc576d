"""The documentation's complete example, step by step as its shell script, against a server that listens."""

import threading
from collections.abc import Iterator

import httpx
import pytest
from werkzeug.serving import make_server

from app.domain import accounts
from app.models import Role
from tests.cast import work_to_the_end


@pytest.fixture
def api(app) -> Iterator[httpx.Client]:
    """A client of a portal that listens on a port of this machine."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30, trust_env=False) as client:
        yield client
    server.shutdown()
    thread.join()


@pytest.mark.both
def test_it_works(app, api):
    accounts.add_user("contact@votre-programme.sn", "Votre programme", Role.admin, "MonMDP!", 100)
    json = {"Content-Type": "application/json"}

    token = api.post(
        "/auth/login", headers=json, content='{"email": "contact@votre-programme.sn", "password": "MonMDP!"}'
    ).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}

    campaign = api.post(
        "/campaigns/",
        headers=bearer | json,
        content="""{
            "name": "Test Generation",
            "campaign_type": "vaccination",
            "prefix": "TEST01",
            "language": "fr",
            "template_id": "vaccination"
        }""",
    ).json()["id"]

    job = api.post(
        f"/campaigns/{campaign}/jobs",
        headers=bearer | json,
        content="""{
            "beneficiaries": [
                {"first_name": "Test", "last_name": "User", "beneficiary_id": "T001"}
            ],
            "dpi": 300,
            "include_mpi_id": true
        }""",
    ).json()["job_id"]
    assert api.get(f"/jobs/{job}", headers=bearer).json()["status"] == "pending"

    work_to_the_end(app)

    assert api.get(f"/jobs/{job}", headers=bearer).json()["status"] == "completed"
    cards = api.get(f"/jobs/{job}/download/zip", headers=bearer)
    assert cards.status_code == 200
    assert cards.content.startswith(b"PK")
    assert cards.content.count(b"TEST01-") >= 2


def test_a_download_goes_on_where_it_broke_off(app, api):
    accounts.add_user("contact@votre-programme.sn", "Votre programme", Role.admin, "MonMDP!", 100)
    token = api.post("/auth/login", json={"email": "contact@votre-programme.sn", "password": "MonMDP!"}).json()
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    wanted = {
        "name": "Test",
        "campaign_type": "lab",
        "prefix": "TEST01",
        "language": "wo",
        "template_id": "lab",
    }
    campaign = api.post("/campaigns", headers=bearer, json=wanted).json()["id"]
    people = [{"first_name": "Test", "last_name": "User", "beneficiary_id": f"T{number}"} for number in range(3)]
    job = api.post(f"/campaigns/{campaign}/jobs", headers=bearer, json={"beneficiaries": people}).json()["job_id"]
    work_to_the_end(app)
    path = f"/jobs/{job}/download/pdf"

    whole = api.get(path, headers=bearer)
    part = api.get(path, headers=bearer | {"Range": "bytes=5000-", "If-Range": whole.headers["ETag"]})

    assert part.status_code == 206
    assert whole.content[:5000] + part.content == whole.content
    assert api.head(path, headers=bearer).headers["Content-Length"] == str(len(whole.content))
