"""What a program says of itself, so that people know their sessions apart."""

import re

# Under gRPC's own name stands the program that calls, which is this one.
USER_AGENT_METADATA = "museed-user-agent"
_LONGEST = 200
# gRPC's metadata takes printable ASCII and no more.
_OTHERS = re.compile(r"[^\x20-\x7e]+")


def program_name(user_agent: str) -> str:
    """Return a `User-Agent` as metadata can carry it, at most 200 characters."""
    return _OTHERS.sub("?", user_agent[:_LONGEST]).strip()
