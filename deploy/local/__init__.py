"""The mesh on one machine."""

import os

# The supervisor starts children while its own gRPC probes run; the children replace themselves at once, so gRPC's
# handlers for forks have nothing to do but to complain.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
