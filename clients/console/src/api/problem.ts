import type { components } from "./schema";

export type FieldError = {
  pointer?: string;
  code: string;
  message: string;
  node_id?: string;
  input?: string;
  allowed?: unknown[];
};

/** A refused request (RFC 9457). `code` is stable; `message` says what to do. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly errors: readonly FieldError[] = [],
    readonly requestId: string | null = null,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }

  /** Whether the same request can succeed later: the service is restarting, or too many requests. */
  get isTemporary(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

export const OFFLINE = "console.offline";

export function problemOf(response: Response, body: unknown): Problem {
  const known = (typeof body === "object" && body !== null ? body : {}) as Partial<components["schemas"]["Problem"]>;
  const retry = Number(response.headers.get("Retry-After"));
  return new Problem(
    response.status,
    known.code ?? `http.${response.status}`,
    known.detail ?? response.statusText,
    (known.errors ?? []) as FieldError[],
    known.request_id ?? response.headers.get("X-Request-Id"),
    retry > 0 ? retry : null,
  );
}
