import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { usePagedList } from "../../api/paged";
import { useQuery } from "../../shell/query";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { ConfirmDialog, Dialog, showToast } from "../../ui/dialog";
import { formatBytes } from "../../ui/format";
import { Filters, FilterSelect, Id, Listed, Table } from "../../ui/list";
import { Ago, Empty, LocalTime, PageHead } from "../../ui/show";

const t = text.deadLetters;

type Letter = Schemas["DeadLetterBody"];

const SERVICES = ["gateway", "scheduler", "notifier"] as const satisfies readonly Schemas["DeadLetterService"][];

export default function DeadLettersPage() {
  const [query, change] = useQuery("service");
  const [shown, setShown] = useState<Letter | null>(null);
  const [redriven, setRedriven] = useState<Letter | null>(null);
  const list = usePagedList(`dead-letters?${query.service}`, async (cursor) => {
    const service = (query.service || null) as Schemas["DeadLetterService"] | null;
    const page = await unwrap(api.GET("/api/v1/admin/dead-letters", { params: { query: { cursor, service, limit: 50 } } }));
    return { items: page.dead_letters, next: page.next_cursor };
  });
  async function redrive({ id }: Letter): Promise<void> {
    await unwrap(api.POST("/api/v1/admin/dead-letters/{letter_id}/redrive", { params: { path: { letter_id: id } } }));
    list.update((letters) => letters.filter((letter) => letter.id !== id));
    showToast(t.redriven, "good");
  }
  return (
    <>
      <PageHead title={t.title} intro={t.intro} />
      <Filters>
        <FilterSelect label={t.service} value={query.service} options={SERVICES.map((name) => [name, name])} onValue={(service) => change({ service })} />
      </Filters>
      <Listed list={list} empty={<Empty icon="letter" title={t.empty}><p>{t.emptyHint}</p></Empty>}>
        {(letters) => (
          <Table label={t.title} columns={t.columns}>
            {letters.map((letter) => (
              <tr key={letter.id}>
                <td><Ago at={letter.last_failed_at} /></td>
                <td>{letter.service}</td>
                <td class="mono small">{letter.subject}</td>
                <td><span class="badge plain bad">{letter.code}</span> <span class="small">{letter.reason}</span></td>
                <td class="number">{letter.attempts}</td>
                <td>
                  <div class="row">
                    <Button isSmall onClick={() => setShown(letter)}>{t.details}</Button>
                    {letter.redrivable && <Button isSmall onClick={() => setRedriven(letter)}>{t.redrive}</Button>}
                  </div>
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
      {shown && <LetterDialog letter={shown} onClose={() => setShown(null)} />}
      {redriven && (
        <ConfirmDialog title={t.redriveTitle} effects={t.redriveEffects} action={t.redrive} onConfirm={() => redrive(redriven)} onClose={() => setRedriven(null)} />
      )}
    </>
  );
}

function LetterDialog({ letter, onClose }: { letter: Letter; onClose: () => void }) {
  const facts: [string, string | number | null][] = [
    [t.facts.subject, letter.subject], [t.facts.stream, letter.stream], [t.facts.consumer, letter.consumer],
    [t.facts.sequence, letter.sequence], [t.facts.node, letter.node], [t.facts.user, letter.tenant_id],
    [t.facts.request, letter.request_id], [t.facts.size, formatBytes(letter.size_bytes)],
  ];
  return (
    <Dialog title={letter.code} onClose={onClose} isWide>
      <p>{letter.reason}</p>
      <dl class="facts">
        {facts.filter(([, value]) => value !== null).map(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name}=`} class="mono">{value}</dd>])}
        {letter.job_id && [<dt key="job">{t.facts.job}</dt>, <dd key="job="><Id value={letter.job_id} href={`/jobs/${letter.job_id}`} /></dd>]}
        <dt>{t.facts.firstFailed}</dt><dd><LocalTime at={letter.first_failed_at} /></dd>
      </dl>
      <h3>{t.excerpt}</h3>
      <pre class="code" tabIndex={0}>{letter.excerpt}</pre>
    </Dialog>
  );
}
