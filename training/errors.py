"""What training refuses, each with the words that tell what to do.

TrainingError
├── ConfigInvalid        an unknown key, a wrong type, a value out of range
├── ManifestInvalid      a group in two splits, or no music to learn from
├── TakeDamaged          a file of the corpus that is no take
├── WorkFolderTaken      two runs in one folder
├── TargetTaken          a folder to write to is there already
├── CheckpointMismatch   a checkpoint of another config, naming the keys that differ
└── LossNotFinite        NaN or infinity in a loss or gradient, naming the batch
"""


class TrainingError(Exception):
    """Base of everything that a person can mend; its text is for them."""


class ConfigInvalid(TrainingError):
    """A configuration that cannot be meant."""


class ManifestInvalid(TrainingError):
    """A list of music that must not be trained on."""


class TakeDamaged(TrainingError):
    """A take of the corpus is missing, or its file is damaged."""


class WorkFolderTaken(TrainingError):
    """Another run is at work in the same folder."""


class TargetTaken(TrainingError):
    """A folder that something new should be written to is there already."""


class CheckpointMismatch(TrainingError):
    """A checkpoint that belongs to another configuration."""


class LossNotFinite(TrainingError):
    """A loss or a gradient is NaN or infinite."""
