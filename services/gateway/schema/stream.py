"""What streams may be asked to be sent as; shared by everything that has one."""

from enum import Enum
from typing import Annotated

import strawberry

from services.gateway.schema.fields import member
from services.gateway.transcoding import formats


@strawberry.enum(description="What audio is sent as.")
class AudioFormat(Enum):
    """The transcoder's values."""

    RAW = member(formats.AudioFormat.RAW, "As the file is.")
    MP3 = member(formats.AudioFormat.MP3, "MP3, 192 kbit/s unless you say otherwise.")
    OGG = member(formats.AudioFormat.OGG, "Ogg with Opus, 128 kbit/s unless you say otherwise.")
    FLAC = member(formats.AudioFormat.FLAC, "FLAC, which loses nothing and takes what it takes.")


WantedFormat = Annotated[
    AudioFormat | None,
    strawberry.argument(
        description="Send it as this; without it, what is beyond `maxBitRate` is sent as MP3 and all else as it is."
    ),
]
MaxBitRate = Annotated[
    int | None, strawberry.argument(description="At most so many kbit/s, 32 to 320; rounded down to usual rates.")
]
