"""Playlists as files of other programs; nothing in here knows a database or a network."""
