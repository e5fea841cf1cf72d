"""Jobs, and who works on them."""

from services.social.actions.previewing import Previewer
from services.social.actions.referencing import ReferenceSearch
from services.social.actions.word_search import WordSearch
from services.social.domain.jobs import Kind
from services.social.servicer.desk import JobDesk
from services.social.servicer.jobs import JobServicer
from services.social.servicer.playlist_jobs import PlaylistJobServicer
from services.social.servicer.references import ReferenceSearchServicer
from services.social.servicer.sounds import SoundServicer
from services.social.wiring.parts import Tools, Wired
from services.social.workers.kinds import JobKind
from services.social.workers.kinds.composing import Composer, Patience
from services.social.workers.kinds.extension import Extension
from services.social.workers.kinds.generation import Generation
from services.social.workers.kinds.hearing import Hearing
from services.social.workers.kinds.regeneration import Regeneration
from services.social.workers.scheduler import Scheduler
from services.social.workers.worker import Worker, WorkerBounds


def wire(tools: Tools) -> Wired:
    """Serve jobs, ReferenceSearchService and SoundService, and work on jobs of all kinds, those of other parts, too."""
    settings, nudges = tools.settings, tools.nudges
    patience = Patience(settings.embed_timeout_s, settings.search_timeout_s)
    composer = Composer(tools.background, tools.embedders, tools.retriever, tools.issuer, patience, tools.clock)
    kinds: dict[Kind, JobKind] = {
        Kind.GENERATION: Generation(tools.background, composer, settings.playlists_per_user, tools.clock),
        Kind.EXTENSION: Extension(tools.background, composer, tools.clock),
        Kind.REGENERATION: Regeneration(tools.background, composer, settings.playlists_per_user, tools.clock),
        Kind.HEARING: Hearing(tools.background, composer, tools.blobs, tools.clock),
    }
    concurrency = settings.generation_concurrency
    of_person = max(1, concurrency // 2)
    bounds = WorkerBounds(concurrency, settings.job_lease_s, settings.job_give_up_s, of_person)
    worker = Worker(tools.background, tools.job_kinds, nudges.ended, nudges.due, bounds, tools.clock, tools.counts)
    desk = JobDesk(tools.database, nudges.ended, nudges.due, settings.open_jobs_per_user, tools.clock)
    scheduler = Scheduler(tools.background, nudges.due, tools.clock)
    search = ReferenceSearch(tools.database, tools.references, tools.clock)
    at_once = Composer(tools.database, tools.embedders, tools.retriever, tools.issuer, patience, tools.clock)
    previewer = Previewer(tools.database, at_once, tools.issuer, tools.clock)
    words = WordSearch(tools.database, tools.embedders, tools.retriever, tools.issuer, tools.clock, tools.monotonic)
    servicers = [
        JobServicer(desk, worker.drop, tools.switch.give_up, previewer),
        PlaylistJobServicer(desk),
        ReferenceSearchServicer(search, desk),
        SoundServicer(words, previewer),
    ]
    return Wired(servicers, [worker.run, scheduler.run], job_kinds=kinds)
