import { api, unwrap } from "../../api/client";
import { usePagedList } from "../../api/paged";
import { useQuery } from "../../shell/query";
import { text } from "../../text";
import { Button, TextField } from "../../ui/controls";
import { Filters, Id, Listed, SearchField, Table } from "../../ui/list";
import { Empty, LocalTime, PageHead } from "../../ui/show";

const t = text.audit;

export default function AuditPage() {
  const [query, change] = useQuery("action", "actor", "subject", "after", "before");
  const list = usePagedList(`audit?${JSON.stringify(query)}`, async (cursor) => {
    const page = await unwrap(api.GET("/api/v1/admin/audit", {
      params: {
        query: {
          limit: 50,
          cursor,
          action: query.action || null,
          actor: query.actor || null,
          subject: query.subject || null,
          after: startOf(query.after),
          before: startOf(query.before, 1), // the day itself belongs to the period
        },
      },
    }));
    return { items: page.audit, next: page.next_cursor };
  });
  const hasFilter = Object.values(query).some(Boolean);
  return (
    <>
      <PageHead title={t.title} intro={t.intro} />
      <Filters>
        <SearchField label={t.action} value={query.action} onValue={(action) => change({ action })} />
        <TextField label={t.after} type="date" value={query.after} onValue={(after) => change({ after })} />
        <TextField label={t.before} type="date" value={query.before} onValue={(before) => change({ before })} />
        {hasFilter && <Button onClick={() => change({ action: "", actor: "", subject: "", after: "", before: "" })}>{t.clear}</Button>}
      </Filters>
      <Listed list={list} empty={<Empty icon="log" title={t.empty}><p>{t.emptyHint}</p></Empty>}>
        {(entries) => (
          <Table label={t.title} columns={t.columns}>
            {entries.map((entry) => (
              <tr key={entry.id}>
                <td><LocalTime at={entry.at} /></td>
                <td><Button look="quiet" isSmall onClick={() => change({ action: entry.action })}>{entry.action}</Button></td>
                <td>{entry.actor_id ? <Id value={entry.actor_id} href={`/audit?actor=${entry.actor_id}`} /> : <span class="soft">{t.system}</span>}</td>
                <td>{entry.subject_id && <Id value={entry.subject_id} href={`/audit?subject=${entry.subject_id}`} />}</td>
                <td class="mono small">{entry.ip}</td>
                <td class="mono small">{describe(entry.detail)}</td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
    </>
  );
}

/** The first moment of a day in the user's zone, or of one that many days later; null if `day` is not a date. */
function startOf(day: string, daysLater = 0): string | null {
  const start = new Date(`${day}T00:00:00`);
  if (Number.isNaN(start.valueOf())) return null;
  start.setDate(start.getDate() + daysLater);
  return start.toISOString();
}

function describe(detail: Record<string, unknown>): string {
  return Object.entries(detail).map(([key, value]) => `${key}: ${typeof value === "object" ? JSON.stringify(value) : String(value)}`).join(", ");
}
