import createClient, { type Middleware } from "openapi-fetch";

import { text } from "../text";
import { fetchPatiently } from "./patient_fetch";
import { OFFLINE, Problem, problemOf } from "./problem";
import type { components, paths } from "./schema";
import { accessToken, refreshSession } from "./session";

export type Schemas = components["schemas"];

/** Sends the access token with each request, and once more with a new one when it has expired. */
const authenticate: Middleware = {
  async onRequest({ request }) {
    const token = await accessToken();
    if (token) request.headers.set("Authorization", `Bearer ${token}`);
    return request;
  },
};

async function fetchOnline(request: Request): Promise<Response> {
  const again = request.clone();
  try {
    const response = await fetchPatiently(request);
    if (response.status !== 401 || !request.headers.has("Authorization")) return response;
    const token = await refreshSession();
    if (!token) return response;
    again.headers.set("Authorization", `Bearer ${token}`);
    return await fetchPatiently(again);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, OFFLINE, text.errors.offline);
  }
}

/** The public API, typed from its OpenAPI document: `await unwrap(api.GET("/api/v1/jobs"))`. */
export const api = createClient<paths>({ baseUrl: location.origin, fetch: fetchOnline });
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
  const response = await fetchOnline(new Request(new URL(path, location.origin), { headers, signal }));
  if (!response.ok || !response.body) throw problemOf(response, await response.json().catch(() => null));
  return response.body;
}

/** Fetch bytes that an `<img>` cannot load itself because its URL needs a credential. */
export async function fetchBlob(url: string, signal?: AbortSignal): Promise<Blob> {
  const token = await accessToken();
  const response = await fetchOnline(new Request(url, { headers: token ? { Authorization: `Bearer ${token}` } : {}, signal }));
  if (!response.ok) throw problemOf(response, await response.json().catch(() => null));
  return response.blob();
}
