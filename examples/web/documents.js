// Every operation that this page sends. They name what they need and no more: each is a trusted document of a gateway
// that serves the page, and a test asks the schema whether it understands them.

const ERROR = /* GraphQL */ `... on UserError { code message field value limit retryAfterMs }`;

const VIEWER = /* GraphQL */ `viewer { email emailVerifiedAt user { userId username nickname avatarUrl } }`;

const SESSION = /* GraphQL */ `${VIEWER} tokens { accessToken }`;

const TRACK = /* GraphQL */ `trackId title artist album genre durationSeconds streamUrl`;

const SUMMARY = /* GraphQL */ `playlistId title entryCount durationSeconds visibility likeCount
  owner { userId username nickname }`;

const STATE = /* GraphQL */ `playlistId version title visibility likeCount isLiked shareUrl`;

const JOB = /* GraphQL */ `jobId state progress etaSeconds isFinished playlistId failureReason failureMessage
  stage { unit done total }`;

const UPLOAD = /* GraphQL */ `uploadId fileName sizeBytes durationSeconds isHeard expiresAt streamUrl`;

const ACTIVITY = /* GraphQL */ `activityId kind at actor { username nickname }
  playlist { playlistId title } user { nickname } comment { text }`;

const NOTICE = /* GraphQL */ `notificationId kind at readAt actor { nickname } playlist { playlistId title } badge
  comment { text }`;

const COMMENT = /* GraphQL */ `commentId text createdAt isHidden authorId author { nickname }`;

const PAGE = /* GraphQL */ `pageInfo { hasNextPage endCursor }`;

export const SIGN_UP = /* GraphQL */ `mutation SignUp($input: SignUpInput!) {
  signUp(input: $input) { __typename ... on SignUpSuccess { ${SESSION} } ${ERROR} }
}`;

export const LOG_IN = /* GraphQL */ `mutation LogIn($input: LogInInput!) {
  logIn(input: $input) { __typename ... on LogInSuccess { ${SESSION} } ${ERROR} }
}`;

export const REFRESH = /* GraphQL */ `mutation Refresh($input: RefreshInput!) {
  refresh(input: $input) { __typename ... on RefreshSuccess { ${SESSION} } ${ERROR} }
}`;

export const LOG_OUT = /* GraphQL */ `mutation LogOut {
  logOut { __typename ... on LogOutSuccess { isLoggedOut } ${ERROR} }
}`;

export const ASK_PASSWORD_RESET = /* GraphQL */ `mutation AskPasswordReset($input: RequestPasswordResetInput!) {
  requestPasswordReset(input: $input) { __typename ${ERROR} }
}`;

export const LATEST = /* GraphQL */ `query Latest($first: Int!, $after: String) {
  latestPlaylists(first: $first, after: $after) { nodes { ${SUMMARY} } ${PAGE} }
}`;

export const SEARCH = /* GraphQL */ `query Search($query: String!, $first: Int!, $after: String) {
  searchTracks(query: $query, first: $first, after: $after) { nodes { ${TRACK} } ${PAGE} }
}`;

export const STREAM_URL = /* GraphQL */ `query StreamUrl($id: ID!) { track(id: $id) { streamUrl } }`;

export const UPLOAD_STREAM_URL = /* GraphQL */ `query UploadStreamUrl($id: ID!) { upload(id: $id) { streamUrl } }`;

export const MY_UPLOADS = /* GraphQL */ `query MyUploads($first: Int!, $after: String) {
  myUploads(first: $first, after: $after) { nodes { ${UPLOAD} } ${PAGE} }
}`;

export const DELETE_UPLOAD = /* GraphQL */ `mutation DeleteUpload($input: DeleteUploadInput!) {
  deleteUpload(input: $input) { __typename ... on DeleteUploadSuccess { deletedUploadId } ${ERROR} }
}`;

export const GENERATE = /* GraphQL */ `mutation Generate($input: GeneratePlaylistInput!) {
  generatePlaylist(input: $input) { __typename ... on GeneratePlaylistSuccess { job { ${JOB} } } ${ERROR} }
}`;

export const OPEN_JOBS = /* GraphQL */ `query OpenJobs {
  myJobs(openOnly: true, first: 10) { nodes { kind ${JOB} } }
}`;

export const CANCEL_JOB = /* GraphQL */ `mutation CancelJob($input: CancelJobInput!) {
  cancelJob(input: $input) { __typename ... on CancelJobSuccess { job { ${JOB} } } ${ERROR} }
}`;

export const JOB_PROGRESS = /* GraphQL */ `subscription JobProgress($jobId: ID!) {
  jobProgress(jobId: $jobId) { ${JOB} }
}`;

export const PLAYLIST = /* GraphQL */ `query Playlist($id: ID!) {
  playlist(id: $id) {
    ${STATE} description entryCount durationSeconds
    owner { userId username nickname avatarUrl relation { isFollowing } }
  }
}`;

export const ENTRIES = /* GraphQL */ `query Entries($id: ID!, $first: Int!, $after: String) {
  playlist(id: $id) {
    entries(first: $first, after: $after) {
      nodes {
        entryId position isSeed track { ${TRACK} }
        reason { similarity quantile sharedTags nearestSeed { track { title } } }
      }
      ${PAGE}
    }
  }
}`;

export const COMMENTS = /* GraphQL */ `query Comments($id: ID!, $first: Int!, $after: String) {
  playlist(id: $id) { comments(first: $first, after: $after) { nodes { ${COMMENT} } ${PAGE} } }
}`;

export const ADD_COMMENT = /* GraphQL */ `mutation AddComment($input: AddCommentInput!) {
  addComment(input: $input) { __typename ... on AddCommentSuccess { comment { commentId } } ${ERROR} }
}`;

export const DELETE_COMMENT = /* GraphQL */ `mutation DeleteComment($input: DeleteCommentInput!) {
  deleteComment(input: $input) { __typename ... on DeleteCommentSuccess { deletedCommentId } ${ERROR} }
}`;

export const MY_PLAYLISTS = /* GraphQL */ `query MyPlaylists($first: Int!, $after: String) {
  myPlaylists(first: $first, after: $after) { nodes { ${SUMMARY} } ${PAGE} }
}`;

export const UPDATE_PLAYLIST = /* GraphQL */ `mutation UpdatePlaylist($input: UpdatePlaylistInput!) {
  updatePlaylist(input: $input) { __typename ... on UpdatePlaylistSuccess { playlist { ${STATE} } } ${ERROR} }
}`;

export const LIKE = /* GraphQL */ `mutation Like($input: LikePlaylistInput!) {
  likePlaylist(input: $input) { __typename ... on LikePlaylistSuccess { playlist { ${STATE} } } ${ERROR} }
}`;

export const UNLIKE = /* GraphQL */ `mutation Unlike($input: UnlikePlaylistInput!) {
  unlikePlaylist(input: $input) { __typename ... on UnlikePlaylistSuccess { playlist { ${STATE} } } ${ERROR} }
}`;

export const FOLLOW = /* GraphQL */ `mutation Follow($input: FollowUserInput!) {
  followUser(input: $input) { __typename ... on FollowUserSuccess { relation { isFollowing } } ${ERROR} }
}`;

export const UNFOLLOW = /* GraphQL */ `mutation Unfollow($input: UnfollowUserInput!) {
  unfollowUser(input: $input) { __typename ... on UnfollowUserSuccess { relation { isFollowing } } ${ERROR} }
}`;

export const PLAYLIST_CHANGES = /* GraphQL */ `subscription PlaylistChanges($playlistId: ID!) {
  playlistChanges(playlistId: $playlistId) { changes playlist { ${STATE} entryCount durationSeconds } }
}`;

export const RECORD_PLAYS = /* GraphQL */ `mutation RecordPlays($input: RecordPlaysInput!) {
  recordPlays(input: $input) { __typename ... on RecordPlaysSuccess { plays { playId outcome } } ${ERROR} }
}`;

export const FEED = /* GraphQL */ `query Feed($first: Int!, $after: String) {
  feed(first: $first, after: $after) { nodes { ${ACTIVITY} } ${PAGE} }
}`;

export const FEED_LIVE = /* GraphQL */ `subscription FeedLive($after: String) {
  feed(after: $after) { cursor activity { ${ACTIVITY} } }
}`;

export const NOTICES = /* GraphQL */ `query Notices($first: Int!, $after: String) {
  notifications(first: $first, after: $after) { nodes { ${NOTICE} } ${PAGE} }
}`;

export const MARK_READ = /* GraphQL */ `mutation MarkRead($input: MarkNotificationsReadInput!) {
  markNotificationsRead(input: $input) {
    __typename ... on MarkNotificationsReadSuccess { unreadCount notifications { notificationId readAt } } ${ERROR}
  }
}`;

export const NEWS_LIVE = /* GraphQL */ `subscription NewsLive($after: String) {
  notifications(after: $after) { cursor unreadCount notification { ${NOTICE} } }
}`;
