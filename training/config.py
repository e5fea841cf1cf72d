"""The one configuration of a training run: every value that decides what is learnt, with its meaning."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# What the two teachers say of a patch, side by side.
TEACHER_DIM = 400
TEACHER_TAGS = 100


@dataclass(frozen=True, slots=True)
class CorpusConfig:
    """Which takes there are to learn from.

    Attributes:
        files: Files of each split, evenly spread over their list; 0 takes all.
        train_chapters: Minutes of each training file, from its middle; 0 takes all.
        validation_chapters: Minutes of each validation file, from its middle.
        varied: Takes whose speed, pitch, tempo, colour or codec was changed.
        mixed: Takes of two soundtracks at a time.
        rendered: Takes of scores played by random instruments.
        take_seconds: Length of a varied, mixed or rendered take.
        everything: Learn from validation and test soundtracks too: for the artifact that ships, once all is frozen.
        seed: Of the plan.
    """

    files: int = 0
    train_chapters: int = 0
    validation_chapters: int = 1
    varied: int = 800
    mixed: int = 800
    rendered: int = 800
    take_seconds: float = 30.0
    everything: bool = False
    seed: int = 1


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The network that learns.

    Attributes:
        base: Folder of a MuQ or of an artifact to start from; empty for random weights.
        encoder_dim: Width of the conformer.
        encoder_depth: Its layers.
        conv_dim: Channels of the convolutional stem.
        attention_heads: Heads of each layer.
        intermediate_size: Width of the feed-forward parts.
        embedding_dim: Length of the vector that a linear head makes; 0 takes the pooled hidden state as it is.
        tags: How many tags a linear head scores; 0 for none.
        projection_dim: Length of what the contrastive head makes, which no artifact keeps; 0 for none.
        trained_layers: Only so many last layers of the conformer learn, and the heads; 0 for everything.
        frozen_batch_norm: Batch normalisation keeps its statistics, as small batches ask for.
    """

    base: str = ""
    encoder_dim: int = 256
    encoder_depth: int = 6
    conv_dim: int = 16
    attention_heads: int = 4
    intermediate_size: int = 1024
    embedding_dim: int = 400
    tags: int = 100
    projection_dim: int = 0
    trained_layers: int = 0
    frozen_batch_norm: bool = False


@dataclass(frozen=True, slots=True)
class CropsConfig:
    """What the network is shown.

    Attributes:
        seconds: Length of a crop, a whole number.
        views: Crops of each take in a batch: 2 for contrastive losses.
        original, varied, mixed, rendered: Shares of the kinds of takes in a batch.
        gain_db: Loudness changes by up to so much, up or down.
        equaliser_db: Standard deviation of the gains of six bands.
        equaliser, low_pass, noise, masks: How often each happens, 0 to 1.
        warp: How often tempo and pitch change a little.
    """

    seconds: int = 6
    views: int = 1
    original: float = 0.5
    varied: float = 0.2
    mixed: float = 0.15
    rendered: float = 0.15
    gain_db: float = 9.0
    equaliser_db: float = 4.0
    equaliser: float = 0.7
    low_pass: float = 0.15
    noise: float = 0.2
    masks: float = 0.5
    warp: float = 0.0


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of the losses; one of weight 0 is not computed.

    Attributes:
        cosine: Direction of the teacher's vector.
        patches: Direction and length of what the teacher said of each patch of 3 s, by the frames under it.
        scale: Its direction and length.
        similarity: Similarities of all pairs of the batch.
        tags: The teacher's tags.
        nt_xent: Two crops of a take against all others.
        triplet: Two crops of a take against the nearest other one.
        temperature: Of nt_xent.
        margin: Of triplet.
    """

    cosine: float = 1.0
    patches: float = 0.0
    scale: float = 1.0
    similarity: float = 1.0
    tags: float = 1.0
    nt_xent: float = 0.0
    triplet: float = 0.0
    temperature: float = 0.1
    margin: float = 0.2


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """Warm-up and a cosine to the end.

    Attributes:
        name: "adamw" for all weights; "muon" for the matrices of the conformer's layers, and AdamW for the rest.
        learning_rate: At its highest.
        final_learning_rate: In the last step.
        weight_decay: Of matrices; vectors are not decayed.
        clip_norm: Longest gradient.
        warmup_steps: Steps until the highest rate.
    """

    name: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    warmup_steps: int = 200


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How the loop goes.

    Attributes:
        steps: Updates of the weights.
        batch: Takes in each; negatives come from all of them.
        micro_batch: Crops that go through the network at a time; gradients are cached where it is less than the batch.
        precision: What the network computes in; losses and heads stay in fp32.
        validate_steps: Steps between two looks at the validation soundtracks.
        checkpoint_steps: Steps between two checkpoints.
        settle_windows: Windows of real music that batch normalisation has its statistics of, for a look and at the end.
        seed: Of the crops; building a MuQ sets a seed of its own, so that its first weights are always the same.
    """

    steps: int = 2000
    batch: int = 64
    micro_batch: int = 64
    precision: Literal["fp32", "bf16"] = "fp32"
    validate_steps: int = 200
    checkpoint_steps: int = 50
    settle_windows: int = 480
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that decides what a run makes of its music."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    crops: CropsConfig = field(default_factory=CropsConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def flat(self) -> dict[str, Any]:  # values of TOML
        """Return every value by its dotted key."""
        return {f"{section}.{key}": value for section, values in asdict(self).items() for key, value in values.items()}
