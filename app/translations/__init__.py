"""The portal's words in its languages: one catalogue each, and what keeps them equal to the sources."""
