"""The index of one encoder: its vectors, the kinds of base that search them, its tracks, and its files."""
