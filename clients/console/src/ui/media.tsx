/** Pictures of the API on a page. */
import "./media.css";

import { useEffect, useRef, useState } from "preact/hooks";

import { fetchBlob } from "../api/client";
import { Problem } from "../api/problem";
import { text } from "../text";
import { Icon } from "./icons";

type Shared = { url: Promise<string>; users: number; abort: AbortController };

const MAX_UNUSED = 60;
const shared = new Map<string, Shared>();

/** Return the object URL of the bytes at `path`. Components that show the same path share one download. */
function acquire(path: string): Shared {
  let entry = shared.get(path);
  if (!entry) {
    const abort = new AbortController();
    entry = { users: 0, abort, url: fetchBlob(path, abort.signal).then((blob) => URL.createObjectURL(blob)) };
    entry.url.catch(() => shared.delete(path)); // the next component tries again
  }
  entry.users += 1;
  shared.delete(path); // the map is in the order of last use
  shared.set(path, entry);
  return entry;
}

function release(entry: Shared): void {
  entry.users -= 1;
  let surplus = [...shared.values()].filter(({ users }) => users === 0).length - MAX_UNUSED;
  for (const [path, unused] of shared) {
    if (surplus <= 0) return;
    if (unused.users > 0) continue;
    shared.delete(path);
    unused.abort.abort();
    void unused.url.then(URL.revokeObjectURL, () => undefined);
    surplus -= 1;
  }
}

/** A URL of the API as a path of this origin, so that it works behind any host name. */
export function pathOf(url: string): string {
  if (/^(blob|data):/.test(url)) return url;
  const { pathname, search } = new URL(url, location.origin);
  return pathname + search;
}

/** Whether the URL carries its own credential, so that an `<img>` can load it. */
export function isSigned(url: string): boolean {
  const { searchParams } = new URL(url, location.origin);
  return searchParams.has("token");
}

/** The thumbnail of one output, a WebP of at most `size` pixels at each side (up to 1024). */
export function thumbnailPath(jobId: string, index: number, size = 512): string {
  return `/api/v1/jobs/${jobId}/thumbnail?index=${index}&size=${size}`;
}

/** The bytes of one output. */
export function resultPath(jobId: string, index: number): string {
  return `/api/v1/jobs/${jobId}/result?index=${index}`;
}

type ImageProps = {
  /** Path or URL of an image; a signed link is loaded directly, others with the session's token. */
  src: string;
  alt: string;
  /** Of the image, in pixels: reserves its place before it has loaded. */
  width?: number | null;
  height?: number | null;
  /** Load now, not when it comes near the visible part of the page. */
  isEager?: boolean;
  class?: string;
};

/** An image that only its owner may see. It loads when it comes near the visible part of the page. */
export function ResultImage({ src, alt, width, height, isEager, class: extra }: ImageProps) {
  const path = pathOf(src);
  const box = useRef<HTMLSpanElement>(null);
  const [isNear, setNear] = useState(isEager ?? false);
  const [failure, setFailure] = useState<string | null>(null);
  useEffect(() => setFailure(null), [path]);
  const url = useImageUrl(isNear ? path : null, setFailure);
  useEffect(() => {
    if (isNear) return;
    const observer = new IntersectionObserver((entries) => entries.some(({ isIntersecting }) => isIntersecting) && setNear(true), {
      rootMargin: "300px",
    });
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, [isNear]);
  const ratio = width && height ? { aspectRatio: `${width} / ${height}` } : {};
  const named = alt ? { role: "img" as const, "aria-label": alt } : { "aria-hidden": true };
  return (
    <span ref={box} class={`result-image ${extra ?? ""}`} style={ratio}>
      {failure !== null ? <span class="missing" role="img" aria-label={alt ? `${alt}: ${failure}` : failure} title={failure}><Icon name="alert" /></span>
        : url ? <img src={url} alt={alt} width={width ?? undefined} height={height ?? undefined} decoding="async" onError={() => setFailure(text.media.broken)} />
        : <span class="skeleton" {...named} />}
    </span>
  );
}

/** The URL with which an `<img>`, `<video>` or `<audio>` can load the path; undefined until it is known. */
export function useImageUrl(path: string | null, onFailure?: (message: string) => void): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    setUrl(undefined);
    if (path === null) return;
    if (isSigned(path) || /^(blob|data):/.test(path)) return setUrl(path);
    let isGone = false;
    const entry = acquire(path);
    entry.url.then(
      (made) => isGone || setUrl(made),
      (error: unknown) => isGone || onFailure?.(error instanceof Problem ? error.message : text.media.broken),
    );
    return () => {
      isGone = true;
      release(entry);
    };
  }, [path]);
  return url;
}

/** Save bytes of the API, or a Blob made here, as a file. */
export async function download(source: string | Blob, name: string): Promise<void> {
  const blob = typeof source === "string" ? await fetchBlob(pathOf(source)) : source;
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
