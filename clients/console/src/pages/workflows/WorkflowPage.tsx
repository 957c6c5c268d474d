import "../playground/playground.css";

import { useLocation, useRoute } from "preact-iso";
import { useState } from "preact/hooks";

import { api, unwrap } from "../../api/client";
import { exactText } from "../../api/exact";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { attempt, ConfirmDialog, showToast } from "../../ui/dialog";
import { download } from "../../ui/media";
import type { Property } from "../../ui/schema_fields";
import { Ago, Empty, Loaded, PageHead } from "../../ui/show";
import { CodeTabs } from "../playground/CodeDialog";
import type { SavedWorkflow } from "../playground/graph";
import { openGraph } from "../playground/GraphForm";
import { Results } from "../playground/Results";
import { reuseSubmission } from "../playground/reuse";
import { SavedForm, useWorkflow } from "../playground/SavedForm";
import { startFrom } from "../playground/BuiltInForm";
import type { Submission } from "../playground/settings";
import { shellQuoted, snippet } from "../playground/snippets";

const words = text.workflows;
const TABS = ["run", "parameters", "graph", "versions", "api"] as const;

type Tab = (typeof TABS)[number];

export default function WorkflowPage() {
  const name = useRoute().params["name"]!;
  const { query, route } = useLocation();
  const version = Number(query["version"]) || undefined;
  const tab: Tab = TABS.find((one) => one === query["tab"]) ?? "run";
  const workflow = useWorkflow(name, version);
  const [isDeleting, setDeleting] = useState(false);
  const linkTo = (to: Tab, of = version) => {
    const search = new URLSearchParams({ ...(to === "run" ? {} : { tab: to }), ...(of ? { version: String(of) } : {}) });
    return `/workflows/${name}${search.size ? `?${search}` : ""}`;
  };

  async function remove(): Promise<void> {
    await unwrap(api.DELETE("/api/v1/workflows/{workflow_name}", { params: { path: { workflow_name: name } } }));
    showToast(words.deleted, "good");
    route("/workflows");
  }

  /** Stays on this page if it has the form of the version that the job ran. */
  function reuse(submission: Submission): void {
    const path = reuseSubmission(submission);
    const { workflow_name: wanted, version: ran } = submission;
    if (wanted !== name) route(path);
    else if (ran !== version && ran !== workflow.data?.version) route(`/workflows/${name}${ran ? `?version=${ran}` : ""}`);
  }

  return (
    <>
      <PageHead title={name} intro={workflow.data?.description}>
        {workflow.data && (
          <>
            <span class="badge plain">{words.version} {workflow.data.version}</span>
            <Button onClick={() => void attempt(() => openGraph(workflow.data!.workflow)).then((isOpen) => isOpen && route("/?graph"))}>{words.edit}</Button>
            <Button look="danger" icon="trash" onClick={() => setDeleting(true)}>{text.common.delete}</Button>
          </>
        )}
      </PageHead>
      {version !== undefined && <div class="notice">{words.isOld} <a href={`/workflows/${name}`}>{words.toNewest}</a></div>}
      <nav class="tabs" aria-label={words.sections}>
        {TABS.map((one) => <a key={one} href={linkTo(one)} aria-current={one === tab ? "page" : undefined}>{words.tabs[one]}</a>)}
      </nav>
      {tab === "run" ? (
        <div class="playground below-tabs">
          <SavedForm name={name} version={version} isTitled={false} />
          <Results workflow={name} emptyTitle={words.noJobs} emptyText={words.noJobsText}
            onReuse={reuse}
            onUseImage={(image, mode) => { startFrom(image, mode); route("/"); }} />
        </div>
      ) : (
        <Loaded resource={workflow}>
          {(saved) => (
            tab === "parameters" ? <Parameters saved={saved} />
              : tab === "graph" ? <Graph saved={saved} />
              : tab === "versions" ? <Versions saved={saved} linkTo={(of) => linkTo("run", of)} />
              : <Api saved={saved} />
          )}
        </Loaded>
      )}
      {isDeleting && (
        <ConfirmDialog title={`${words.deleteTitle} ${name}`} effects={words.deleteEffects} action={words.delete} isDangerous
          onConfirm={remove} onClose={() => setDeleting(false)} />
      )}
    </>
  );
}

function propertiesOf(saved: SavedWorkflow): [string, Property][] {
  return Object.entries((saved.parameters as { properties?: Record<string, Property> }).properties ?? {});
}

function Parameters({ saved }: { saved: SavedWorkflow }) {
  const properties = propertiesOf(saved);
  if (properties.length === 0) return <Empty icon="list" title={words.noParameters} />;
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={words.tabs.parameters}>
      <table class="table">
        <thead>
          <tr><th scope="col">{words.name}</th><th scope="col">{words.type}</th><th scope="col">{words.default}</th><th scope="col">{words.range}</th><th scope="col">{words.sets}</th></tr>
        </thead>
        <tbody>
          {properties.map(([name, property]) => {
            const target = saved.targets[name];
            return (
              <tr key={name}>
                <td><strong>{property.title ?? name}</strong> <code class="soft">{name}</code></td>
                <td>{property.type}</td>
                <td class="truncate default-value" title={show(saved.defaults[name])}>{show(saved.defaults[name])}</td>
                <td>{rangeOf(property)}</td>
                <td class="soft">{target && <code>{classOf(saved, target.node)} ({target.node}).{target.input}</code>}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function show(value: unknown): string {
  return value === undefined ? "" : exactText(value) ?? String(value);
}

function rangeOf({ minimum, maximum, enum: choices }: Property): string {
  if (choices) return choices.length > 5 ? `${choices.slice(0, 5).join(", ")}, …` : choices.join(", ");
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}`;
  return minimum !== undefined ? `≥ ${minimum}` : maximum !== undefined ? `≤ ${maximum}` : "";
}

function classOf(saved: SavedWorkflow, node: string): string {
  return (saved.workflow[node] as { class_type?: string } | undefined)?.class_type ?? "";
}

function Graph({ saved }: { saved: SavedWorkflow }) {
  const json = JSON.stringify(saved.workflow, null, 2);
  return (
    <div class="stack">
      <div class="row">
        <Button icon="download" onClick={() => void download(new Blob([json], { type: "application/json" }), `${saved.name}-v${saved.version}.json`)}>{text.media.download}</Button>
      </div>
      <pre class="code tall" tabIndex={0} aria-label={words.tabs.graph}><code>{json}</code></pre>
    </div>
  );
}

const MAX_LISTED = 20;

function Versions({ saved, linkTo }: { saved: SavedWorkflow; linkTo: (version: number) => string }) {
  const newest = useWorkflow(saved.name).data?.version ?? saved.version;
  const listed = Array.from({ length: Math.min(newest, MAX_LISTED) }, (_, index) => newest - index);
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={words.tabs.versions}>
      <table class="table">
        <thead><tr><th scope="col" class="number">{words.versionHead}</th><th scope="col">{words.changed}</th><th scope="col">{words.description}</th><th scope="col"><span class="visually-hidden">{words.actions}</span></th></tr></thead>
        <tbody>{listed.map((version) => <VersionRow key={version} name={saved.name} version={version} isNewest={version === newest} href={linkTo(version)} />)}</tbody>
      </table>
    </div>
  );
}

function VersionRow({ name, version, isNewest, href }: { name: string; version: number; isNewest: boolean; href: string }) {
  const saved = useWorkflow(name, version).data;
  return (
    <tr>
      <td class="number">{version}</td>
      <td>{saved && <Ago at={saved.created_at} />} {isNewest && <span class="badge plain">{words.newest}</span>}</td>
      <td class="soft">{saved?.description}</td>
      <td class="number"><a class="button small" href={isNewest ? `/workflows/${name}` : href} aria-label={`${words.open} ${words.version} ${version}`}>{words.open}</a></td>
    </tr>
  );
}

function Api({ saved }: { saved: SavedWorkflow }) {
  const parameters = saved.defaults;
  const path = `/api/v1/workflows/${saved.name}/jobs`;
  const submission = { workflow_name: saved.name, parameters };
  return (
    <div class="stack">
      <p class="soft">{words.apiIntro}</p>
      <dl class="facts"><dt>{words.route}</dt><dd><code>POST {path}</code></dd></dl>
      <CodeTabs snippetOf={(language) => (language === "curl" ? curlOf(path, parameters) : snippet(language, submission, location.origin))} />
      <div class="row wrap">
        <Button icon="download" onClick={() => void attempt(() => download(`/api/v1/workflows/${saved.name}/openapi.json`, `${saved.name}-openapi.json`))}>{words.openapi}</Button>
        <a class="button" href="/account/keys">{text.playground.code.makeKey}</a>
      </div>
    </div>
  );
}

function curlOf(path: string, parameters: Record<string, unknown>): string {
  return [
    `curl -s ${location.origin}${path} \\`,
    '  -H "X-API-Key: $COMFYFLEET_KEY" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d ${shellQuoted(JSON.stringify(parameters, null, 2))}`,
  ].join("\n");
}
