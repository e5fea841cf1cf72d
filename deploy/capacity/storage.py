"""What keeping everything takes: PostgreSQL, NATS, blobs."""

from deploy.capacity.audience import active, commits_at_peak, streamed_bytes_a_day
from deploy.capacity.embedding import windows
from deploy.capacity.lines import DAY_S, Figures, Line


def _person_bytes(f: Figures) -> float:
    lists = f["playlists_per_user"]
    entry = f["entries_per_playlist"] * f["playlist_entries_row_bytes"]
    return (
        f["users_row_bytes"]
        + f["person_counts_row_bytes"]
        + f["tastes_row_bytes"]
        + f["follows_per_user"] * f["follows_row_bytes"]
        + lists * (f["playlists_row_bytes"] + f["playlist_counts_row_bytes"] + entry)
        + f["likes_per_user"] * f["likes_row_bytes"]
        + f["badges_per_user"] * f["badges_row_bytes"]
        + f["activities_per_user"] * f["activities_row_bytes"]
    )


def _track_row_bytes(f: Figures) -> float:
    return (
        f["tracks_row_bytes"]
        + f["track_embeddings_row_bytes"]
        + f["descriptors_row_bytes"]
        + f["albums_row_bytes"] / f["tracks_per_album"]
        + f["artists_row_bytes"] / f["tracks_per_artist"]
    )


def _embedding_bytes(f: Figures) -> float:
    return f["embeddings_row_bytes"] * f["dimension"] / 1024


def _year_of_plays_bytes(f: Figures) -> float:
    play = f["plays_row_bytes"] + f["new_listening_share"] * f["listening_row_bytes"]
    return 365 * active(f) * (f["plays_per_active"] * play + f["genres_per_day"] * f["daily_listening_row_bytes"])


def database_bytes(f: Figures) -> float:
    """Tables and indexes together."""
    tracks = f["tracks"] * (_track_row_bytes(f) + _embedding_bytes(f))
    return tracks + f["users"] * _person_bytes(f) + f["years"] * _year_of_plays_bytes(f)


POSTGRES = (
    Line("catalogue: tracks, albums, artists, descriptors, states", "B", "tracks × their rows",
         lambda f: f["tracks"] * _track_row_bytes(f)),
    Line("`embeddings`", "B", "tracks × row × dimension / 1,024", lambda f: f["tracks"] * _embedding_bytes(f)),
    Line("people, their lists, likes, follows, feeds", "B", "users × their rows",
         lambda f: f["users"] * _person_bytes(f)),
    Line("a year of plays", "B", "365 × active people × (plays × rows + genres × row)", _year_of_plays_bytes),
    Line("all, after `years`", "B", "sum", database_bytes),
    Line("with backups and write-ahead log", "B", "× (1 + backup_share)",
         lambda f: database_bytes(f) * (1 + f["backup_share"])),
    Line("commits at peak", "/s", "active people × (plays + acts + 8 × generations + uploads) / day × peak_over_mean",
         commits_at_peak),
    Line("times what the disk of the benchmark confirms", "", "/ disk_commits_per_s; what comes together is joined",
         lambda f: commits_at_peak(f) / f["disk_commits_per_s"]),
)  # fmt: skip


def vectors_bytes(f: Figures) -> float:
    """The VECTORS log on one server."""
    return f["tracks"] * (4 * f["dimension"] + f["vector_message_bytes"])


def profiles_bytes(f: Figures) -> float:
    """The PROFILES log on one server."""
    return f["users"] * f["weights_per_profile"] * f["weight_message_bytes"]


def people_events_a_day(f: Figures) -> float:
    """Messages of PEOPLE_EVENTS."""
    return active(f) * (f["plays_per_active"] + 2 * f["acts_per_active"] + f["generations_per_active"])


def nats_bytes(f: Figures) -> float:
    """All streams on one server."""
    bounded = f["people_events_bound_bytes"] * 11  # 8 GiB, and three of 1 GiB
    return vectors_bytes(f) + profiles_bytes(f) + bounded


NATS = (
    Line("`VECTORS`, each copy", "B", "tracks × (4 × dimension + vector_message_bytes)", vectors_bytes),
    Line("`PROFILES`, each copy", "B", "users × weights_per_profile × weight_message_bytes", profiles_bytes),
    Line("`PEOPLE_EVENTS`: events a day", "", "active people × (plays + 2 × acts + generations)", people_events_a_day),
    Line("`PEOPLE_EVENTS`: days until its bound pushes events out", "", "1 GiB / a day's bytes; 7 at most",
         lambda f: min(7, f["people_events_bound_bytes"] / (people_events_a_day(f) * f["event_message_bytes"]))),
    Line("disk of each server", "B", "the logs, and the bounds of all other streams", nats_bytes),
    Line("disk of the cluster", "B", "× nats_replicas", lambda f: nats_bytes(f) * f["nats_replicas"]),
    Line("filling `VECTORS` from the tables", "h", "tracks / log_publishes_per_s",
         lambda f: f["tracks"] / f["log_publishes_per_s"] / 3600),
    Line("a retriever without a snapshot reads it", "h", "tracks / log_replays_per_s",
         lambda f: f["tracks"] / f["log_replays_per_s"] / 3600),
    Line("part of the library that `EMBED_WORK` holds", "", "embed_work_bound / tracks; the rest waits in the outbox",
         lambda f: min(1, f["embed_work_bound"] / f["tracks"])),
)  # fmt: skip


def windows_blob_bytes(f: Figures) -> float:
    """Window vectors of all tracks, in fp16."""
    return f["windows_kept"] * windows(f) * 2 * f["dimension"]


def upload_blob_bytes(f: Figures) -> float:
    """Audio of uploads that is there at a time."""
    return active(f) * f["uploads_per_active"] * f["upload_bytes"] * f["upload_life_days"]


BLOBS = (
    Line("audio of the library, read in place", "B", "tracks × track_bytes", lambda f: f["tracks"] * f["track_bytes"]),
    Line("windows' vectors, fp16", "B", "windows × 2 × dimension", windows_blob_bytes),
    Line("uploads that are there", "B", "active people × uploads × upload_bytes × 7 days", upload_blob_bytes),
    Line("streamed a day", "B", "active people × plays × track_bytes × streamed_share", streamed_bytes_a_day),
    Line("streamed at peak", "bit/s", "× 8 / day × peak_over_mean",
         lambda f: streamed_bytes_a_day(f) * 8 / DAY_S * f["peak_over_mean"]),
)  # fmt: skip
