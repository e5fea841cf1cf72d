"""Writes CAPACITY.md: what is needed, then every figure it rests on. Computes nothing itself."""

from collections.abc import Mapping, Sequence

from deploy.capacity import embedding, index, money, processes, storage
from deploy.capacity.figures import Case, Figure, Kind
from deploy.capacity.index import INDEX_KINDS, libraries_of_machines
from deploy.capacity.lines import Figures, Line, of_case, three

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_CASES = "cheap | expected | dear"

_INTRODUCTION = """# Capacity

What {users} people and {tracks} tracks need. `python -m deploy.capacity` computes every number here from the
figures at the end; `--set NAME=NUMBER` (or `NAME=CHEAP:EXPECTED:DEAR`) puts others in their places, prices among
them, and `--write` writes this file. Nothing here was run at this size: what was measured was measured on two cores,
with 88,423 tracks and 100,000 people, and is multiplied. *Cheap* takes the cheap end of every range at once, *dear* the
other: what comes will lie between. GB are 10⁹ bytes."""

_FIRST = """**What breaks first**, in this order:

1. **One searching thread over everything.** A retriever searches with one thread. By `ivf-sq8` a search takes 0.1 s at
   {by_time} tracks, at {by_time_dear} if it grows as the library does; beyond 1,000,000 nothing was run. A library
   that is cut over several retrievers is **not built**: shards below say how many there would have to be.
2. **Memory.** A machine of 64 GB holds {in_64} tracks of {dimension} dimensions, one of 512 GB {in_512}.
3. **Merges.** A base of everything takes {merge} to build and {merges} a day would be asked for: raise
   `RETRIEVER_MERGE_AFTER_CHANGES` to {merge_after}.
4. **`EMBED_WORK`** holds {work_share} of such a library at a time. The rest waits in the outbox, and nothing is lost;
   but the first embedding belongs into bulk work (`python -m services.embedder.bulk`), whose vectors are imported.
5. **`FindProfiles`** compares 100,000 tastes: of {users} people {profile_share} are found.
6. **`PEOPLE_EVENTS`** is full after {event_days} days instead of 7: sockets that were away for longer read rows.

**When to move to Milvus** (`RETRIEVER_ENGINE=milvus`): when the codes do not fit into a machine that you can have, or
when a search takes longer than you allow: between {milvus_from} and {milvus_to} tracks. Each retriever then still
keeps {description} of each track; beyond about 50,000,000 tracks these would have to leave it: **not built**."""

_LIBRARY_SIZES = (1e5, 1e6, 1e7, 1e8)
_ENCODERS = {"MuQ-large": 1024.0, "museed-mini": 400.0}
_OF_A_SIZE = (
    ("GPU-hours, MuQ-large", "h", embedding.gpu_hours),
    ("core-hours, museed-mini", "h", embedding.mini_core_hours),
    ("memory of a machine with all of it, `ivf-sq8`", "B", lambda f: index.machine_gb("ivf-sq8", f) * 1e9),
    ("one search", "ms", lambda f: index.search_ms(f, f["tracks"])),
    ("PostgreSQL", "B", storage.database_bytes),
    ("`VECTORS`, each copy", "B", storage.vectors_bytes),
    ("windows' vectors", "B", storage.windows_blob_bytes),
)

_LIBRARIES = """Tracks that one process serves on a machine ({dimension} dimensions; codes twice while a merge runs, and
{cached} of the mapped file in the page cache):"""


def render(groups: Mapping[str, tuple[Figure, ...]]) -> str:
    """Return the whole document.

    Args:
        groups: All figures under their headings.
    """
    figures = [figure for group in groups.values() for figure in group]
    cases = {case: of_case(figures, case) for case in Case}
    parts = [
        _INTRODUCTION.format(
            users=_count(cases[Case.EXPECTED]["users"]), tracks=_count(cases[Case.EXPECTED]["tracks"])
        ),
        _first(cases),
        "## By size of library",
        "Expected figures, with the people as above.",
        _sizes(cases[Case.EXPECTED]),
        "## The first embedding",
        _lines(embedding.EMBEDDING, cases),
        "## The index",
        _lines(index.INDEX, cases),
        _libraries(cases),
        "## PostgreSQL",
        _lines(storage.POSTGRES, cases),
        "## NATS",
        _lines(storage.NATS, cases),
        "## Blobs and traffic",
        _lines(storage.BLOBS, cases),
        "## Processes",
        _lines(processes.PROCESSES, cases),
        "## What it costs",
        "A month:",
        _lines((*money.MONTH, money.MONTH_TOTAL), cases),
        "Once:",
        _lines(money.ONCE, cases),
        "## Figures",
        *(_figures(name, group) for name, group in groups.items()),
    ]
    return "\n\n".join(parts) + "\n"


def shown(number: float, unit: str) -> str:
    """Return a number with its unit, two digits that mean something at least."""
    if unit in ("B", "bit/s"):
        for size, prefix in _PREFIXES:
            if number >= size:
                return f"{_short(number / size)} {prefix}{unit}"
        return f"{_short(number)} {unit}"
    return f"{_count(number)} {unit}".strip()


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.2g}" if number < 10 else f"{number:.0f}"


def _count(number: float) -> str:
    if number == 0:
        return "0"
    if number >= 1000:
        digits = 10 ** (len(str(int(number))) - 3)
        return f"{round(number / digits) * digits:,.0f}"
    return f"{number:.3g}"


def _lines(lines: Sequence[Line], cases: Mapping[Case, Figures]) -> str:
    rows = [f"| | {_CASES} | how |", "|---|---|---|---|---|"]
    for line in lines:
        numbers = " | ".join(shown(number, line.unit) for number in three(line, cases))
        rows.append(f"| {line.what} | {numbers} | {line.rule} |")
    return "\n".join(rows)


def _libraries(cases: Mapping[Case, Figures]) -> str:
    expected = cases[Case.EXPECTED]
    head = _LIBRARIES.format(dimension=f"{expected['dimension']:,.0f}", cached=_share(expected["cached_share"]))
    rows = ["| memory | " + " | ".join(f"`{kind}`" for kind in INDEX_KINDS) + " |", "|---" * 5 + "|"]
    for size, tracks in libraries_of_machines(expected):
        rows.append(f"| {size:.0f} GB | " + " | ".join(_count(number) for number in tracks) + " |")
    return head + "\n\n" + "\n".join(rows)


def _sizes(expected: Figures) -> str:
    rows = ["| tracks, encoder | " + " | ".join(what for what, _, _ in _OF_A_SIZE) + " |"]
    rows.append("|---" * (len(_OF_A_SIZE) + 1) + "|")
    for tracks in _LIBRARY_SIZES:
        for encoder, dimension in _ENCODERS.items():
            of_it = {**expected, "tracks": tracks, "dimension": dimension}
            numbers = [shown(compute(of_it), unit) for what, unit, compute in _OF_A_SIZE]
            # What hears with the other encoder is no cost of this one.
            numbers[1 if encoder == "MuQ-large" else 0] = "–"
            rows.append(f"| {_count(tracks)}, {encoder} | " + " | ".join(numbers) + " |")
    return "\n".join(rows)


def _first(cases: Mapping[Case, Figures]) -> str:
    f, dear = cases[Case.EXPECTED], cases[Case.DEAR]
    found = {line.what: line for line in (*index.INDEX, *storage.NATS, *processes.PROCESSES)}
    in_64 = index.most_tracks("ivf-sq8", 64, f)
    return _FIRST.format(
        by_time=_count(index.most_tracks_by_time(f)),
        by_time_dear=_count(index.most_tracks_by_time(dear)),
        in_64=_count(in_64),
        in_512=_count(index.most_tracks("ivf-sq8", 512, f)),
        dimension=f"{f['dimension']:,.0f}",
        merge=shown(index.merge_hours(f), "h"),
        merges=_count(index.merges_a_day(f)),
        merge_after=_count(found["changes after which to merge instead"].compute(f)),
        work_share=_share(found["part of the library that `EMBED_WORK` holds"].compute(f)),
        users=_count(f["users"]),
        profile_share=_share(found["share of tastes that `FindProfiles` compares"].compute(f)),
        event_days=_count(found["`PEOPLE_EVENTS`: days until its bound pushes events out"].compute(f)),
        milvus_from=_count(min(in_64, index.most_tracks_by_time(dear))),
        milvus_to=_count(index.most_tracks_by_time(f)),
        description=shown(f["milvus_description_bytes"], "B"),
    )


def _share(number: float) -> str:
    return f"{100 * number:.3g} %"


def _figures(name: str, figures: Sequence[Figure]) -> str:
    rows = [f"### {name}", "", f"| name | what | {_CASES} | | from |", "|---|---|---|---|---|---|---|"]
    for figure in figures:
        kind = f"**{figure.kind}**" if figure.kind is Kind.NOT_MEASURED else str(figure.kind)
        numbers = " | ".join(f"{figure.of(case):,.10g}" for case in Case)
        rows.append(f"| `{figure.name}` | {figure.what} | {numbers} | {kind} | {_source(figure)} |")
    return "\n".join(rows)


def _source(figure: Figure) -> str:
    if figure.quote:
        folder = figure.source.split("/")[1]
        return f"[{folder}](../../{figure.source})"
    if figure.kind is Kind.MEASURED:
        return f"`{figure.source}`"
    return figure.source
