import { useMemo } from "preact/hooks";

import { api, unwrap } from "../../api/client";
import { useResource } from "../../api/resource";
import { useQuery } from "../../shell/query";
import { text } from "../../text";
import { Chart } from "../../ui/chart";
import { formatDuration, formatNumber } from "../../ui/format";
import { FilterSelect, Filters, Table } from "../../ui/list";
import { Empty, Loaded, Stat } from "../../ui/show";
import { fillDays, requestsByEndpoint, sumOf, timesOf, totalsByEndpoint, type Day } from "./usage";

const PERIODS = ["7", "90"] as const;
const DEFAULT_DAYS = 30;
const MOST_SERIES = 6;
const DAY = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeZone: "UTC" });

export default function UsageSection() {
  const [{ days: chosen }, setQuery] = useQuery("days");
  const days = PERIODS.find((one) => one === chosen) ? Number(chosen) : DEFAULT_DAYS;
  const usage = useResource(`usage?days=${days}`, () => unwrap(api.GET("/api/v1/usage", { params: { query: { days } } })), { everyMs: 30_000 });
  return (
    <div class="stack loose">
      <Filters>
        <FilterSelect label={text.account.period} all={text.account.periods["30"]} value={chosen} options={PERIODS.map((period) => [period, text.account.periods[period]] as const)}
          onValue={(value) => setQuery({ days: value })} />
      </Filters>
      <Loaded resource={usage}>{(data) => <Charts usage={data.usage} days={days} />}</Loaded>
    </div>
  );
}

function Charts({ usage, days }: { usage: readonly Day[]; days: number }) {
  const filled = useMemo(() => fillDays(usage, days, Date.now()), [usage, days]);
  const times = useMemo(() => timesOf(filled), [filled]);
  const endpoints = useMemo(() => requestsByEndpoint(filled, MOST_SERIES, text.account.otherEndpoints), [filled]);
  if (filled.every(({ requests, jobs }) => requests === 0 && jobs === 0)) {
    return <Empty icon="chart" title={text.account.noUsage}><p>{text.account.noUsageBody}</p></Empty>;
  }
  const shared = { times, zone: "utc", formatTime: (seconds: number) => DAY.format(seconds * 1000) } as const;
  return (
    <>
      <section class="columns figures" aria-label={text.account.totals}>
        <Stat label={text.account.imagesMade} value={formatNumber(sumOf(filled, "images"))} />
        <Stat label={text.account.jobs} value={formatNumber(sumOf(filled, "jobs"))} />
        <Stat label={text.account.gpuTime} value={formatDuration(sumOf(filled, "gpu_seconds"))} />
        <Stat label={text.account.requestsMade} value={formatNumber(sumOf(filled, "requests"))} />
      </section>
      <div class="side-by-side">
        <section class="card"><Chart {...shared} look="bars" title={text.account.imagesByDay} series={[{ label: text.account.imagesMade, values: filled.map(({ images }) => images) }]} /></section>
        <section class="card"><Chart {...shared} look="bars" title={text.account.gpuByDay} formatValue={formatDuration} series={[{ label: text.account.gpuTime, values: filled.map(({ gpu_seconds }) => gpu_seconds) }]} /></section>
      </div>
      <section class="card"><Chart {...shared} look="stacked bars" title={text.account.requestsByDay} series={endpoints} /></section>
      <div class="stack">
        <h2>{text.account.byEndpoint}</h2>
        <Table label={text.account.byEndpoint} columns={[text.account.endpoint, text.account.requestsMade, text.account.imagesMade, text.account.gpuTime]}>
          {totalsByEndpoint(filled).map(({ endpoint, requests, images, gpuSeconds }) => (
            <tr key={endpoint}>
              <td class="mono">{endpoint}</td>
              <td>{formatNumber(requests)}</td>
              <td>{images ? formatNumber(images) : "–"}</td>
              <td>{gpuSeconds ? formatDuration(gpuSeconds) : "–"}</td>
            </tr>
          ))}
        </Table>
        <p class="soft small">{text.account.utcDays}</p>
      </div>
    </>
  );
}
