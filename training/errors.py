"""What training refuses, each with the words that tell what to do.

TrainingError
├── ConfigInvalid        an unknown key, a wrong type, a value out of range
├── ManifestInvalid      a group in two splits, or no music to learn from
├── CheckpointMismatch   a checkpoint of another config, naming the keys that differ
└── LossNotFinite        NaN or infinity in a loss, naming the batch
"""


class TrainingError(Exception):
    """Base of everything that a person can mend; its text is for them."""


class ConfigInvalid(TrainingError):
    """A configuration that cannot be meant."""


class ManifestInvalid(TrainingError):
    """A list of music that must not be trained on."""


class CheckpointMismatch(TrainingError):
    """A checkpoint that belongs to another configuration."""


class LossNotFinite(TrainingError):
    """A loss is NaN or infinite."""
