"""What the portal does, in verbs; speaks neither HTTP nor HTML."""
