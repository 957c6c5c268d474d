import "./playground.css";

import { useLocation } from "preact-iso";

import { api, unwrap } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { attempt } from "../../ui/dialog";
import type { PickedImage } from "../../ui/image_field";
import { PageHead } from "../../ui/show";
import { BuiltInForm, reuseSettings, startFrom } from "./BuiltInForm";
import { shownValues } from "./graph";
import { GraphForm, openGraph } from "./GraphForm";
import { Results } from "./Results";
import { reused, SavedForm } from "./SavedForm";
import type { Mode, Submission } from "./settings";

const words = text.playground;
const GRAPH = "?graph";
const BUILT_IN = "";

export default function PlaygroundPage() {
  const { query, route } = useLocation();
  const saved = query["workflow"];
  const source = saved ? `?workflow=${saved}` : "graph" in query ? GRAPH : BUILT_IN;

  function reuse(submission: Submission): void {
    if (submission.workflow_name) {
      reused.value = { name: submission.workflow_name, values: shownValues(submission.parameters) };
      route(`/?workflow=${submission.workflow_name}`);
    } else if (submission.workflow) {
      void attempt(() => openGraph(submission.workflow));
      route(`/${GRAPH}`);
    } else {
      reuseSettings(submission);
      route("/");
    }
  }

  function useImage(image: PickedImage, mode: Mode): void {
    startFrom(image, mode);
    route("/");
  }

  return (
    <>
      <PageHead title={words.title}><SourceSelect source={source} onSource={(chosen) => route(`/${chosen}`)} /></PageHead>
      <div class="playground">
        {saved ? <SavedForm name={saved} /> : source === GRAPH ? <GraphForm /> : <BuiltInForm />}
        <Results onReuse={reuse} onUseImage={useImage} />
      </div>
    </>
  );
}

function SourceSelect({ source, onSource }: { source: string; onSource: (source: string) => void }) {
  const workflows = useResource("workflows:100", () => unwrap(api.GET("/api/v1/workflows", { params: { query: { limit: 100 } } }))).data?.workflows ?? [];
  const names = workflows.map(({ name }) => name);
  const current = source.startsWith("?workflow=") ? source.slice("?workflow=".length) : null;
  const shown = current && !names.includes(current) ? [current, ...names] : names;
  return (
    <label class="row source">
      <span class="soft">{words.source}</span>
      <select class="input" value={source} onChange={({ currentTarget }) => onSource(currentTarget.value)}>
        <option value={BUILT_IN}>{words.builtIn}</option>
        <option value={GRAPH}>{words.graph.option}</option>
        {shown.length > 0 && (
          <optgroup label={words.savedWorkflows}>
            {shown.map((name) => <option key={name} value={`?workflow=${name}`}>{name}</option>)}
          </optgroup>
        )}
      </select>
    </label>
  );
}
