"""Signs tokens as social does, for tests of everything that verifies them."""

import base64
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.chassis import auth


class TokenSigner:
    """One Ed25519 key with its JWKS."""

    def __init__(self, key_id: str = "key-1") -> None:
        self.key_id = key_id
        self._key = Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        public = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        self._jwk = {"kty": "OKP", "crv": "Ed25519", "kid": key_id, "use": "sig", "alg": "EdDSA", "x": public}

    async def jwks(self) -> str:
        return json.dumps({"keys": [self._jwk]})

    def token(self, **changes: Any) -> str:
        """Sign an access token of user "user-1", good for a whole run; keywords replace claims, None removes one."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": auth.ISSUER,
            "aud": auth.AUDIENCE,
            "sub": "user-1",
            "role": "user",
            "kind": "access",
            "sid": "session-1",
            "iat": now,
            "exp": now + 86_400,
        } | changes
        return jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            self._key,
            algorithm=auth.ALGORITHM,
            headers={"kid": self.key_id},
        )

    def job_token(self, user_id: str = "user-1", job_id: str = "job-1") -> str:
        """Sign the token under which a worker acts for a user."""
        return self.token(sub=user_id, kind="job", job=job_id, sid=None)

    def api_token(self, scopes: str = "read", **changes: Any) -> str:
        """Sign what an API token is traded for; scopes are words between spaces."""
        return self.token(kind="api", scope=scopes, **changes)
