"""What may be seen of many things at a time."""

from tests.integration.social.access_cases import Cases

CASES: Cases = {
    "ViewService/CanView": "answers everybody, of each thing whether they may see it; test_views.py",
}
