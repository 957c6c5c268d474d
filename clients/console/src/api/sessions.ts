/** The sessions of the current user. */
import { api, unwrap } from "./client";

export type OwnSession = {
  id: string;
  created_at: string;
  last_used_at: string;
  expires_at: string;
  user_agent: string | null;
  ip: string | null;
  current: boolean;
};

type Untyped = (path: string, init?: object) => Promise<{ data?: unknown; error?: unknown; response: Response }>;

export async function listSessions(): Promise<OwnSession[]> {
  return ((await unwrap((api.GET as unknown as Untyped)("/api/v1/auth/sessions"))) as { sessions: OwnSession[] }).sessions;
}

export async function endSession(id: string): Promise<void> {
  await unwrap((api.DELETE as unknown as Untyped)("/api/v1/auth/sessions/{session_id}", { params: { path: { session_id: id } } }));
}
