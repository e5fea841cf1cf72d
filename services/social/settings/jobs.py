"""Settings of jobs."""

from pydantic import Field

from services.chassis.settings import Settings


class JobSettings(Settings):
    """How much is made at a time, and how long anything is waited for."""

    generation_concurrency: int = Field(4, ge=1, le=64)
    open_jobs_per_user: int = Field(20, ge=1, le=10_000)
    job_lease_s: float = Field(15.0, ge=1, le=3_600)
    job_give_up_s: float = Field(1_800.0, ge=1, le=86_400)
    embed_timeout_s: float = Field(600.0, ge=1, le=3_600)
    search_timeout_s: float = Field(10.0, ge=0.1, le=600)
