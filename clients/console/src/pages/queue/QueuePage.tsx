import { api, unwrap, type Schemas } from "../../api/client";
import { useResource } from "../../api/resource";
import { useQuery } from "../../shell/query";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { formatDuration, formatNumber } from "../../ui/format";
import { Filters, FilterSelect, SearchField, Table } from "../../ui/list";
import { Empty, Loaded, PageHead } from "../../ui/show";
import { AdminJobs } from "./admin_jobs";

const t = text.queue;
const STATUSES = ["pending", "processing", "completed", "failed", "cancelled"] as const satisfies readonly Schemas["JobStatus"][];

export default function QueuePage() {
  const [query, change] = useQuery("tenant", "status", "node", "workflow");
  return (
    <>
      <PageHead title={t.title} intro={t.intro} />
      <Waiting tenant={query.tenant} onTenant={(tenant) => change({ tenant })} />
      <section class="stack">
        <h2>{t.jobs}</h2>
        <Filters>
          <SearchField label={t.workflow} value={query.workflow} onValue={(workflow) => change({ workflow })} />
          <FilterSelect label={t.status} value={query.status} options={STATUSES.map((status) => [status, text.status[status]])} onValue={(status) => change({ status })} />
          {Object.values(query).some(Boolean) && <Button onClick={() => change({ tenant: "", status: "", node: "", workflow: "" })}>{t.clear}</Button>}
        </Filters>
        <AdminJobs {...query} />
      </section>
    </>
  );
}

function Waiting({ tenant, onTenant }: { tenant: string; onTenant: (tenant: string) => void }) {
  const queue = useResource(`queue ${tenant}`, () => unwrap(api.GET("/api/v1/admin/queue", { params: { query: { limit: 50, tenant: tenant || null } } })), { everyMs: 3000 });
  return (
    <Loaded resource={queue}>
      {({ tenants, tiers, found }) => found === 0 ? <Empty icon="queue" title={t.empty}><p>{t.emptyHint}</p></Empty> : (
        <div class="stack loose">
          <section class="stack">
            <h2>{t.byUser}</h2>
            <p class="soft small">{formatNumber(found)} {t.found}.{tenants.length < found && ` ${t.showing} ${tenants.length}.`}</p>
            <Table label={t.byUser} columns={t.columns}>
              {tenants.map((row) => (
                <tr key={row.tenant_id}>
                  <td>{row.position === null ? <span class="soft small">{t.notNext}</span> : <span class="badge plain info">{row.position}</span>}</td>
                  <td><a href={`/users/${row.tenant_id}`}>{row.username ?? row.tenant_id}</a></td>
                  <td>{row.tier}</td>
                  <td class="number">{row.weight}</td>
                  <td>
                    <Button look="quiet" isSmall aria-label={`${t.jobsOf} ${row.username}`} onClick={() => onTenant(row.tenant_id)}>{formatNumber(row.queued)}</Button>
                    {row.held > 0 && <span class="soft small"> + {row.held} {t.heldCount}</span>}
                  </td>
                  <td class="number">{row.running} {text.fleet.ofTotal} {row.max_running ?? text.common.unlimited}</td>
                  <td>{row.oldest_wait_seconds !== null && formatDuration(row.oldest_wait_seconds)}</td>
                  <td class="small">{row.waiting && <><span class="badge plain">{row.waiting.reason}</span> {row.waiting.message}</>}</td>
                </tr>
              ))}
            </Table>
          </section>
          <section class="stack">
            <h2>{t.byTier}</h2>
            <Table label={t.byTier} columns={t.tierColumns}>
              {tiers.map((row) => (
                <tr key={row.tier}>
                  <td>{row.tier}</td>
                  <td class="number">{formatNumber(row.waiting)}</td>
                  <td class="number">{formatNumber(row.held)}</td>
                  <td class="number">{formatNumber(row.running)}</td>
                  <td>{row.oldest_wait_seconds !== null && formatDuration(row.oldest_wait_seconds)}</td>
                </tr>
              ))}
            </Table>
          </section>
        </div>
      )}
    </Loaded>
  );
}
