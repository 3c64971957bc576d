"""Facts of cards in, PDF, PNG, ZIP, manifest and verification portal out; knows no database and no request."""
