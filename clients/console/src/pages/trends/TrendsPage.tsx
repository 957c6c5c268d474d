import { api, unwrap, type Schemas } from "../../api/client";
import { useResource } from "../../api/resource";
import { useQuery } from "../../shell/query";
import { text } from "../../text";
import { Chart, type Series } from "../../ui/chart";
import { formatDuration, formatNumber } from "../../ui/format";
import { Filters, Id, Table } from "../../ui/list";
import { Empty, Loaded, PageHead, Stat } from "../../ui/show";

const t = text.trends;

type Bucket = Schemas["TrendBucketBody"];
type Counted = "submitted" | "completed" | "failed" | "cancelled";
type Timed = "wait_p50_seconds" | "wait_p95_seconds" | "run_p50_seconds" | "run_p95_seconds";

const EVERY_MS = 15_000;
const PERIODS = ["1", "6", "24", "168", "720"] as const;

export default function TrendsPage() {
  const [query, change] = useQuery("hours");
  const hours = PERIODS.find((period) => period === query.hours) ?? "24";
  const trends = useResource(`trends ${hours}`, () => unwrap(api.GET("/api/v1/admin/trends", { params: { query: { hours: Number(hours) } } })), { everyMs: EVERY_MS });
  return (
    <>
      <PageHead title={t.title} intro={t.intro} />
      <Filters>
        <label class="filter">
          <span class="soft small">{t.period}</span>
          <select class="input" value={hours} onChange={(event) => change({ hours: event.currentTarget.value })}>
            {PERIODS.map((period) => <option key={period} value={period}>{t.periods[period]}</option>)}
          </select>
        </label>
      </Filters>
      <Loaded resource={trends}>{(known) => <Trends trends={known} />}</Loaded>
    </>
  );
}

function Trends({ trends: { totals, buckets, failures, nodes } }: { trends: Schemas["TrendsBody"] }) {
  const times = buckets.map(({ at }) => Date.parse(at) / 1000);
  const counted = (...names: Counted[]): Series[] => names.map((name) => ({ label: t.counts[name], values: buckets.map((bucket) => bucket[name]) }));
  const timed = (...names: Timed[]): Series[] => names.map((name) => ({ label: t.times[name], values: buckets.map((bucket: Bucket) => bucket[name]) }));
  return (
    <>
      <div class="columns">
        <Stat label={t.counts.completed} value={formatNumber(totals.completed)} />
        <Stat label={t.counts.failed} value={formatNumber(totals.failed)} />
        <Stat label={t.images} value={formatNumber(totals.images)} />
        <Stat label={t.times.wait_p95_seconds} value={showSeconds(totals.wait_p95_seconds)} />
        <Stat label={t.times.run_p50_seconds} value={showSeconds(totals.run_p50_seconds)} />
        <Stat label={t.busy} value={showShare(totals.busy_share)} />
      </div>
      <div class="side-by-side">
        <div class="card"><Chart title={t.jobs} times={times} series={counted("completed", "failed", "cancelled")} look="stacked bars" /></div>
        <div class="card"><Chart title={t.waits} times={times} series={timed("wait_p50_seconds", "wait_p95_seconds")} formatValue={formatDuration} /></div>
        <div class="card"><Chart title={t.runs} times={times} series={timed("run_p50_seconds", "run_p95_seconds")} formatValue={formatDuration} /></div>
        <div class="card"><Chart title={t.busyChart} times={times} series={[{ label: t.busy, values: buckets.map(({ busy_share: share }) => share === null ? null : Math.round(100 * share)) }]} formatValue={(percent) => `${percent} %`} /></div>
      </div>
      <section class="stack">
        <h2>{t.failures}</h2>
        {failures.length === 0 ? <Empty icon="check" title={t.noFailures} /> : (
          <Table label={t.failures} columns={t.failureColumns}>
            {failures.map(({ code, count, job_id: job }) => (
              <tr key={code}>
                <td><span class="badge plain bad">{code}</span></td>
                <td class="number">{formatNumber(count)}</td>
                <td>{job && <Id value={job} href={`/jobs/${job}`} />}</td>
              </tr>
            ))}
          </Table>
        )}
      </section>
      <section class="stack">
        <h2>{t.nodes}</h2>
        <Table label={t.nodes} columns={t.nodeColumns}>
          {nodes.map((node) => (
            <tr key={node.node}>
              <td><a href={`/fleet/${node.node}`}>{node.node}</a></td>
              <td class="number">{formatNumber(node.started)}</td>
              <td class="number">{formatNumber(node.succeeded)}</td>
              <td class="number">{formatNumber(node.failed)}</td>
              <td class="number">{formatNumber(node.faults)}</td>
              <td class="number">{showShare(node.busy_share)}</td>
            </tr>
          ))}
        </Table>
      </section>
    </>
  );
}

function showSeconds(seconds: number | null): string {
  return seconds === null ? "–" : formatDuration(seconds);
}

function showShare(share: number | null): string {
  return share === null ? "–" : `${Math.round(100 * share)} %`;
}
