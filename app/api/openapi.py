"""The description of the APIs as an OpenAPI 3.1 document, written from the routes themselves."""

from app.api.door import bp, public, spec


@bp.get("/api/openapi.json")
@public
def openapi():
    """Describe every route."""
    return spec.spec
