"""What an API token may be used for, and which of it an RPC needs: the rule is the RPC's name."""

from enum import StrEnum

# With these a name begins that changes nothing; whatever begins otherwise counts as a change.
_READING = ("Get", "List", "BatchGet", "BatchList", "Search", "Find", "Can", "Count", "Describe", "Export", "Resolve")


class Scope(StrEnum):
    """One right of an API token. None contains another: a token that reads and writes has both."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def scope_of(rpc: str) -> Scope:
    """Return what a caller needs for an RPC that admins have not for themselves: READ or WRITE.

    Args:
        rpc: "GetViewer" or "/package.Service/GetViewer". A word must end where the verb does: "Cancel" does not begin
            with "Can". An empty one, of what is no RPC, needs WRITE.
    """
    name = rpc.rpartition("/")[2]
    for verb in _READING:
        rest = name.removeprefix(verb)
        if rest != name and not rest[:1].islower():
            return Scope.READ
    return Scope.WRITE


def scopes_in(claim: str) -> frozenset[Scope]:
    """Return the scopes of a token's `scope` claim, words between spaces (RFC 8693, section 4.2).

    Words that are not known here, of a newer social, give no right.
    """
    words = claim.split(" ")
    return frozenset(scope for scope in Scope if scope.value in words)


def scope_claim(scopes: frozenset[Scope]) -> str:
    """Return the claim that `scopes_in` reads, in the order of `Scope`; "none" where empty."""
    return " ".join(scope.value for scope in Scope if scope in scopes) or "none"
