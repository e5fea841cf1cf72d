"""Where covers are: of whatever may have one. Whoever follows an address asks the disk."""

from museed.social.v1 import catalog_pb2, library_pb2


def may_have_cover(message: catalog_pb2.Track | library_pb2.Album) -> bool:
    """Say whether there is a picture, or nobody has looked."""
    return message.has_cover or not message.HasField("has_cover")
