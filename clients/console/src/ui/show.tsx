/** Small parts that show a value: status, time, progress, a figure, an empty list, a page's head. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";

import type { Resource } from "../api/resource";
import type { Status } from "../live/frames";
import { text } from "../text";
import { ProblemNotice } from "./dialog";
import { formatAgo, formatLocal, formatUtc } from "./format";
import { useHeading } from "./heading";
import { Icon, type IconName } from "./icons";

const LOOKS: Record<Status, string> = { pending: "", processing: "info busy", completed: "good", failed: "bad", cancelled: "warn" };

export function StatusBadge({ status }: { status: Status }) {
  return <span class={`badge ${LOOKS[status]}`}>{text.status[status]}</span>;
}

const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 15_000);

/** A moment, relative to now; hovering shows it in the user's zone and in UTC. */
export function Ago({ at }: { at: string }) {
  return <time dateTime={at} title={`${formatLocal(at)}\n${formatUtc(at)}`}>{formatAgo(at, Math.max(now.value, Date.now()))}</time>;
}

/** A moment in the user's zone; hovering shows UTC. */
export function LocalTime({ at }: { at: string }) {
  return <time dateTime={at} title={formatUtc(at)}>{formatLocal(at)}</time>;
}

/** @param percent 0 to 100 */
export function Progress({ percent, label }: { percent: number; label: string }) {
  return (
    <div class="progress" role="progressbar" aria-label={label} aria-valuenow={Math.round(percent)} aria-valuemin={0} aria-valuemax={100}>
      <span style={{ transform: `scaleX(${Math.min(1, percent / 100)})` }} />
    </div>
  );
}

export function Stat({ label, value, hint }: { label: string; value: ComponentChildren; hint?: ComponentChildren }) {
  return (
    <div class="card stat">
      <div class="soft small">{label}</div>
      <div class="value">{value}</div>
      {hint && <div class="soft small">{hint}</div>}
    </div>
  );
}

/**
 * What to see where there is nothing yet, and how to change that.
 * @param isPage whether it is the whole page, so that its title is the page's heading
 */
export function Empty({ icon, title, isPage, children }: { icon: IconName; title: string; isPage?: boolean; children?: ComponentChildren }) {
  const Heading = isPage ? "h1" : "h2";
  return (
    <div class="empty">
      <Icon name={icon} size={28} />
      <Heading tabIndex={-1}>{title}</Heading>
      {children}
    </div>
  );
}

/**
 * Shows known data at once, a skeleton only before the first answer, and a failed load beside what is known.
 * @param title head of the page until the first answer, for pages whose head shows data
 */
export function Loaded<T>({ resource, title, children }: { resource: Resource<T>; title?: string; children: (data: T) => ComponentChildren }) {
  return (
    <>
      {title && resource.data === undefined && <PageHead title={title} />}
      {resource.problem && <ProblemNotice problem={resource.problem} onRetry={() => void resource.reload()} />}
      {resource.data !== undefined ? children(resource.data) : !resource.problem && <Skeleton />}
    </>
  );
}

export function Skeleton({ lines = 4 }: { lines?: number }) {
  return (
    <div class="stack" aria-label={text.common.loading} role="status">
      {Array.from({ length: lines }, (_, index) => <div key={index} class="skeleton" />)}
    </div>
  );
}

/** The head of a page. Sets the title of the browser's tab. */
export function PageHead({ title, intro, children }: { title: string; intro?: ComponentChildren; children?: ComponentChildren }) {
  const heading = useHeading();
  useEffect(() => {
    document.title = `${title} · ${text.product}`;
  }, [title]);
  return (
    <header class="page-head">
      <div class="grow">
        <h1 ref={heading} tabIndex={-1}>{title}</h1>
        {intro && <p class="soft">{intro}</p>}
      </div>
      {children && <div class="row wrap">{children}</div>}
    </header>
  );
}
