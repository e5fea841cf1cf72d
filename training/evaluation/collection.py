"""What is judged: the pieces of a music folder and what each encoder made of them. Embeds what the store lacks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from services.embedder.aggregation import WEIGHTED_MEAN
from services.embedder.artifact import Manifest, Pooling
from services.embedder.model import Float32Array
from training.catalogue import Split, Track, split_of
from training.evaluation.baselines import JOINED
from training.evaluation.embedding import TrackVectors
from training.evaluation.encoders import EncoderChoice
from training.evaluation.postprocessing import Statistics, measure
from training.evaluation.retrieval import BoolArray
from training.evaluation.robustness import ORIGINAL, VARIANTS, embed_variants, variant_key
from training.evaluation.store import VectorStore, file_key
from training.evaluation.workers import Failure, Task, Work, embed_all, embed_track
from training.progress import Progress


@dataclass(frozen=True, slots=True)
class Collection:
    """Pieces that every encoder could embed, with their vectors in the same order.

    Attributes:
        tracks: One piece a tune.
        vectors: Of each piece, by the encoder's name.
        manifests: Of the encoders, by name.
        failures: Files that some encoder could not embed.
    """

    tracks: list[Track]
    vectors: dict[str, list[TrackVectors]]
    manifests: dict[str, Manifest]
    failures: list[Failure]

    def labelled(self) -> BoolArray:
        """Return which pieces have a family that can be trusted, shape (tracks,)."""
        return np.array([track.is_labelled for track in self.tracks], dtype=bool)

    def in_split(self, split: Split | None) -> BoolArray:
        """Return which pieces are in a split, shape (tracks,); None for all."""
        return np.array([split is None or split_of(track) is split for track in self.tracks], dtype=bool)

    def training_windows(self, name: str) -> list[Float32Array]:
        """Return an encoder's windows of each piece of the soundtracks that train; of all where none does."""
        of_training = self.in_split(Split.TRAIN)
        chosen = of_training if of_training.any() else np.ones(len(self.tracks), bool)
        return [vectors.windows for vectors, is_in in zip(self.vectors[name], chosen, strict=True) if is_in]

    def statistics(self, name: str) -> Statistics:
        """Measure an encoder's `training_windows`."""
        return measure(self.training_windows(name))


def joined_first(names: Iterable[str]) -> list[str]:
    """Return names in the order of least work: joined networks make the vectors of each on the way."""
    return sorted(names, key=lambda name: name != JOINED)


class Embedding:
    """Makes sure that files are embedded.

    Args:
        music: The folder that paths of tracks are relative to.
        store: Where vectors are kept.
    """

    def __init__(self, music: Path, store: VectorStore) -> None:
        self._music = music
        self._store = store
        self._digests: dict[str, str] = {}
        self._failures: dict[Path, Failure] = {}

    def collect(self, tracks: Sequence[Track], encoders: dict[str, tuple[EncoderChoice, Manifest]]) -> Collection:
        """Embed whole tracks with all encoders; a track that one of them refuses is left out for all."""
        for name in joined_first(encoders):
            choice, manifest = encoders[name]
            self._embed(name, choice, manifest.encoder_id, self._works(tracks, lambda digest: digest), embed_track)
        vectors: dict[str, list[TrackVectors]] = {name: [] for name in encoders}
        kept = []
        for track in tracks:
            found = [self._store.read(manifest.encoder_id, self._digest(track)) for _, manifest in encoders.values()]
            if all(one is not None for one in found):
                kept.append(track)
                for name, one in zip(encoders, found, strict=True):
                    vectors[name] += [one] if one is not None else []
        for name, (choice, manifest) in encoders.items():
            # The store keeps windows; how they are aggregated is the encoder's.
            is_mean = manifest.pooling.method == Pooling().method
            aggregator = WEIGHTED_MEAN if is_mean else choice.load().aggregator
            vectors[name] = [replace(one, aggregator=aggregator) for one in vectors[name]]
        manifests = {name: manifest for name, (_, manifest) in encoders.items()}
        return Collection(kept, vectors, manifests, list(self._failures.values()))

    def collect_variants(
        self, tracks: Sequence[Track], name: str, choice: EncoderChoice, manifest: Manifest
    ) -> dict[str, list[TrackVectors]]:
        """Embed excerpts of tracks and their variants; return them by variant, the same tracks in each."""
        works = self._works(tracks, lambda digest: variant_key(digest, ORIGINAL))
        self._embed(f"{name}, variants", choice, manifest.encoder_id, works, embed_variants)
        found: dict[str, list[TrackVectors]] = {variant: [] for variant in (ORIGINAL, *VARIANTS)}
        for work in works:
            of_track = [self._store.read(manifest.encoder_id, variant_key(work.digest, one)) for one in found]
            if all(one is not None for one in of_track):
                for kept, one in zip(found.values(), of_track, strict=True):
                    kept += [one] if one is not None else []
        return found

    def _works(self, tracks: Iterable[Track], key: Callable[[str], str]) -> list[Work]:
        works = []
        for track in tracks:
            path = self._music / track.path
            if digest := self._digest(track):
                works.append(Work(path, digest, key(digest)))
        return works

    def _digest(self, track: Track) -> str:
        """Return a file's digest; nothing where it cannot be read, which is a failure."""
        if track.path not in self._digests:
            try:
                self._digests[track.path] = file_key(self._music / track.path)
            except OSError as error:
                self._digests[track.path] = ""
                self._failures[self._music / track.path] = Failure(self._music / track.path, f"unreadable: {error}")
        return self._digests[track.path]

    def _embed(self, name: str, choice: EncoderChoice, encoder_id: str, works: list[Work], task: Task) -> None:
        missing = [work for work in works if not self._store.has(encoder_id, work.key)]
        if not missing:
            return
        with Progress(f"embedding with {name}", len(missing), "files") as progress:
            for failure in embed_all(
                choice, encoder_id, missing, self._store, task, lambda work: progress.advance(work.path.name)
            ):
                self._failures[failure.path] = failure
