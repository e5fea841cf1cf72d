"""Enums of the schema have a member for every value that social may send."""

from enum import Enum
from typing import Any

import pytest

from museed.social.v1 import (
    feed_pb2,
    jobs_pb2,
    jobwork_pb2,
    listening_pb2,
    notifications_pb2,
    recommendations_pb2,
    trends_pb2,
)
from services.gateway.schema.extension import SuggestionState
from services.gateway.schema.feed import ActivityKind
from services.gateway.schema.history import PlayOutcome
from services.gateway.schema.job import JobKind, JobState
from services.gateway.schema.listening import ListeningRange
from services.gateway.schema.notification import NotificationKind
from services.gateway.schema.recommendation import RecommendationSource
from services.gateway.schema.rules import Arrangement
from services.gateway.schema.schedule import SchedulePeriod
from services.gateway.schema.trend import TrendDimension, TrendPeriod


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ActivityKind, feed_pb2.ActivityKind),
        (Arrangement, jobs_pb2.Arrangement),
        (JobKind, jobs_pb2.JobKind),
        (JobState, jobs_pb2.JobState),
        (SchedulePeriod, jobwork_pb2.SchedulePeriod),
        (SuggestionState, jobwork_pb2.SuggestionState),
        (PlayOutcome, listening_pb2.PlayOutcome),
        (ListeningRange, listening_pb2.ListeningRange),
        (NotificationKind, notifications_pb2.NotificationKind),
        (RecommendationSource, recommendations_pb2.RecommendationSource),
        (TrendDimension, trends_pb2.TrendDimension),
        (TrendPeriod, trends_pb2.TrendPeriod),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_every_value_has_the_name_that_social_gives_it(ours: type[Enum], theirs: Any) -> None:
    named = {theirs.Name(member.value): member.name for member in ours}
    assert set(named) == set(theirs.keys()) - {theirs.Name(0)}
    assert all(name.endswith(f"_{short}") for name, short in named.items())
