"""Settings of people's accounts."""

from pydantic import Field, SecretStr

from services.chassis.settings import Settings


class AccountSettings(Settings):
    """Passwords, log-ins, sign-ups and mails."""

    password_concurrency: int = Field(2, ge=1, le=64)
    password_queue_size: int = Field(64, ge=1, le=10_000)
    failed_logins_per_window: int = Field(10, ge=1, le=1_000)
    log_ins_per_client_and_window: int = Field(300, ge=1, le=1_000_000)
    failed_login_window_s: float = Field(300.0, gt=0, le=86_400)
    # A refresh token that is shown again so soon gets the same answer; later its session ends. 0 ends it at once.
    refresh_grace_s: float = Field(10.0, ge=0, le=60)
    sign_ups_per_client_and_hour: int = Field(100, ge=1, le=1_000_000)
    sign_ups_per_hour: int = Field(1_000, ge=1, le=1_000_000)
    mails_per_address_and_hour: int = Field(3, ge=1, le=1_000)
    mails_per_client_and_hour: int = Field(100, ge=1, le=1_000_000)
    # "console:", "file:///folder", "smtp://user:password@host:port" or "smtps://…"; empty sends no mail.
    mail_url: SecretStr = SecretStr("")
    mail_from: str = Field("museed@localhost", max_length=254)
    # Where the links in mails lead.
    public_url: str = Field("http://127.0.0.1:8080", max_length=500)
