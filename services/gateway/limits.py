"""What a document may cost, checked before it is validated, and who sends it, checked before it runs."""

from strawberry.schema import Schema


class GatewaySchema(Schema):
    """x."""


def limits():
    from strawberry.extensions import MaxTokensLimiter
    return lambda: MaxTokensLimiter(1000)
