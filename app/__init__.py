"""Fieldcard: beneficiary cards for health programmes. `create_app` (in `app.factory`) joins the parts."""
