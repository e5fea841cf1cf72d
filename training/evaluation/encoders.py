"""Names and builds the encoders that the bench judges: those of the embedder, and baselines. Embeds nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.embedder.choice import load_encoder
from services.embedder.model import Encoder
from training.evaluation import baselines

_BASELINES: dict[str, Callable[["EncoderChoice"], Encoder]] = {
    baselines.MFCC: lambda choice: baselines.MfccEncoder(),
    baselines.UNTRAINED_MINI: lambda choice: baselines.untrained_mini(choice.artifacts_folder, choice.threads),
    baselines.JOINED: lambda choice: baselines.JoinedMusicnn(
        choice.other("musicnn-msd").load(), choice.other("musicnn-mtt").load()
    ),
}


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """An encoder by name, so that each worker process can build its own.

    Attributes:
        name: A baseline, a name that the embedder knows, or a model folder.
        artifacts_folder: Where encoders made of wheels are kept.
        threads: Of the model on a CPU.
    """

    name: str
    artifacts_folder: Path
    threads: int = 1

    def load(self) -> Encoder:
        """Build the encoder; blocks for seconds.

        Raises:
            ArtifactInvalid: A folder is not what its manifest says.
            EncoderUnavailable: There is no such encoder, or something is not installed.
        """
        if make := _BASELINES.get(self.name):
            return make(self)
        return load_encoder(self.name, artifacts_folder=self.artifacts_folder, muq_folder=None, threads=self.threads)

    def other(self, name: str) -> "EncoderChoice":
        """Return another encoder that is kept in the same place."""
        return EncoderChoice(name, self.artifacts_folder, self.threads)
