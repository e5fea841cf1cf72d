// GraphQL over HTTP: one request, one answer, and errors that say by a code what they are.

/** Something that the gateway refused, or the network did not bring. */
export class ApiError extends Error {
  /** @param details what the gateway says; `code` is the stable name of this very case */
  constructor({ code, message, field, value, limit, retryAfterMs, errorId, isTransient = false }) {
    super(message);
    Object.assign(this, { code, field, value, limit, retryAfterMs, errorId, isTransient });
  }

  /** Make one of an error beside the data of an answer: its `code` is a kind, its `reason` is the case. */
  static of({ message, extensions = {} }) {
    const { code, reason } = extensions;
    const isTransient = ["UNAVAILABLE", "DEADLINE_EXCEEDED"].includes(code);
    return new ApiError({ ...extensions, message, code: reason ?? code ?? "REFUSED", isTransient });
  }

  /** Make one of a member of a mutation's union. */
  static member(member) {
    return new ApiError({ ...member, isTransient: member.__typename === "UnavailableError" });
  }
}

/** What is thrown where there is no answer. */
export function noConnection() {
  return new ApiError({ code: "NO_CONNECTION", message: "There is no connection.", isTransient: true });
}

/**
 * Send an operation and return its data.
 *
 * Parts of an answer may fail by themselves, and are null; only an answer of which nothing is left throws.
 *
 * @param options.token access token; none for guests
 * @param options.keepalive whether the request outlives this page
 * @throws ApiError
 */
export async function send(document, variables = {}, { token = null, keepalive = false } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    const body = JSON.stringify({ query: document, variables });
    // The cookie is for this origin alone, and only `refresh` reads it.
    const response = await fetch("graphql", { method: "POST", headers, body, keepalive, credentials: "same-origin" });
    answer = await response.json();
  } catch {
    throw noConnection();
  }
  const { data, errors = [] } = answer;
  const isLost = !data || Object.values(data).every((value) => value === null);
  if (isLost && errors.length) throw ApiError.of(errors[0]);
  return data;
}

/**
 * Return the success of a mutation with one field.
 *
 * @throws ApiError the member of its union that says what was wrong
 */
export function success(data) {
  const [result] = Object.values(data);
  if ("code" in result && "message" in result) throw ApiError.member(result);
  return result;
}
