import createClient, { type Middleware } from "openapi-fetch";

import { fetchWithRetry } from "./fetch_with_retry";
import { problemOf } from "./problem";
import type { components, paths } from "./schema";
import { accessToken, refreshSession } from "./session";

export type Schemas = components["schemas"];

/** Sends the access token with each request. */
const authenticate: Middleware = {
  async onRequest({ request }) {
    const token = await accessToken();
    if (token) request.headers.set("Authorization", `Bearer ${token}`);
    return request;
  },
};

/** The code with which the server refuses an access token. Other refusals have the status 401 as well, such as a wrong password. */
const INVALID_CREDENTIAL = "auth.credential.invalid";

async function fetchSignedIn(request: Request): Promise<Response> {
  const again = request.clone();
  const response = await fetchWithRetry(request);
  if (response.status !== 401 || !request.headers.has("Authorization")) return response;
  const { code } = problemOf(response, await response.clone().json().catch(() => null));
  const token = code === INVALID_CREDENTIAL && (await refreshSession());
  if (!token) return response;
  again.headers.set("Authorization", `Bearer ${token}`);
  return fetchWithRetry(again);
}

/** The public API, typed from its OpenAPI document: `await unwrap(api.GET("/api/v1/jobs"))`. */
export const api = createClient<paths>({ baseUrl: location.origin, fetch: fetchSignedIn });
api.use(authenticate);

/**
 * Return the body of a successful response.
 * @throws Problem if the request was refused or did not reach the server.
 */
export async function unwrap<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw problemOf(response, error);
  return data as T;
}

/**
 * Open a stream of server-sent events, which an `EventSource` cannot: it sends no credential.
 * @throws Problem if it was refused or the server cannot be reached.
 */
export async function openStream(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const token = await accessToken();
  const headers = { Accept: "text/event-stream", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetchSignedIn(new Request(new URL(path, location.origin), { headers, signal }));
  if (!response.ok || !response.body) throw problemOf(response, await response.json().catch(() => null));
  return response.body;
}

/** Fetch bytes that an `<img>` cannot load itself because its URL needs a credential. */
export async function fetchBlob(url: string, signal?: AbortSignal): Promise<Blob> {
  const token = await accessToken();
  const response = await fetchSignedIn(new Request(url, { headers: token ? { Authorization: `Bearer ${token}` } : {}, signal }));
  if (!response.ok) throw problemOf(response, await response.json().catch(() => null));
  return response.blob();
}
