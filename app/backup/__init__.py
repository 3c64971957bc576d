"""Backup files: how rows and stored files are packed into one archive, sealed, and brought back.

What the rows are, and how they are read and written, stands in `domain/backups.py`.
"""
