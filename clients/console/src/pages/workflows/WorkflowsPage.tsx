import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { Icon } from "../../ui/icons";
import { Ago, Empty, Loaded, PageHead } from "../../ui/show";

const words = text.workflows;

type WorkflowSummary = Schemas["WorkflowSummaryBody"];

export default function WorkflowsPage() {
  const workflows = useResource("workflows:100", () => unwrap(api.GET("/api/v1/workflows", { params: { query: { limit: 100 } } })));
  return (
    <>
      <PageHead title={words.title} intro={words.intro}>
        <a class="button primary" href="/?graph"><Icon name="plus" />{words.add}</a>
      </PageHead>
      <Loaded resource={workflows}>{({ workflows: all }) => (all.length === 0 ? <Teach /> : <List all={all} />)}</Loaded>
    </>
  );
}

function Teach() {
  return (
    <Empty icon="workflow" title={words.emptyTitle}>
      <p>{words.emptyText}</p>
      <a class="button" href="/?graph">{words.add}</a>
    </Empty>
  );
}

function List({ all }: { all: readonly WorkflowSummary[] }) {
  const [filter, setFilter] = useState("");
  const wanted = filter.trim().toLowerCase();
  const shown = all.filter(({ name, description }) => `${name} ${description ?? ""}`.toLowerCase().includes(wanted));
  return (
    <div class="stack">
      <input class="input workflow-filter" type="search" data-search aria-label={words.filter} placeholder={words.filter} value={filter}
        onInput={({ currentTarget }) => setFilter(currentTarget.value)} />
      {shown.length === 0 ? <Empty icon="search" title={words.noMatch} /> : (
        <div class="table-scroll" tabIndex={0} role="region" aria-label={words.title}>
          <table class="table">
            <thead>
              <tr><th scope="col">{words.name}</th><th scope="col">{words.description}</th><th scope="col" class="number">{words.versionHead}</th><th scope="col">{words.changed}</th><th scope="col"><span class="visually-hidden">{words.actions}</span></th></tr>
            </thead>
            <tbody>
              {shown.map(({ name, version, description, created_at }) => (
                <tr key={name}>
                  <td><a href={`/workflows/${name}`}><strong>{name}</strong></a></td>
                  <td class="soft">{description}</td>
                  <td class="number">{version}</td>
                  <td class="soft"><Ago at={created_at} /></td>
                  <td class="number"><a class="button small" href={`/?workflow=${name}`} aria-label={`${words.run} ${name}`}><Icon name="play" />{words.run}</a></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}
