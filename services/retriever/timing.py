"""What the retriever tells of its searches, in words of the work. Counts nothing: `metrics.py` does, where asked."""


class SearchMetrics:
    """Takes notice of everything and does nothing with it. Called from the threads of the index."""

    def searched(self, questions: int, wait_seconds: float, seconds: float) -> None:
        """Say how many questions were answered together, how long the first waited, and how long all took."""

    def composed(self, wait_seconds: float, seconds: float) -> None:
        """Say how long a playlist, or what else takes long, waited for its turn and took."""
