import "./playground.css";

import { useLocation } from "preact-iso";
import { useEffect } from "preact/hooks";

import { api, unwrap } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { attempt } from "../../ui/dialog";
import type { PickedImage } from "../../ui/image_field";
import { PageHead } from "../../ui/show";
import { BuiltInForm, startFrom } from "./BuiltInForm";
import { GraphForm } from "./GraphForm";
import { readSubmission } from "./jobs";
import { Results } from "./Results";
import { reuseSubmission } from "./reuse";
import { SavedForm } from "./SavedForm";
import type { Mode } from "./settings";

const words = text.playground;
const GRAPH = "?graph";
const BUILT_IN = "";

export default function PlaygroundPage() {
  const { query, route } = useLocation();
  const saved = query["workflow"];
  const version = Number(query["version"]) || undefined;
  const source = saved ? `?workflow=${saved}` : "graph" in query ? GRAPH : BUILT_IN;

  const again = query["again"]; // a job whose settings are wanted: other pages link to it
  useEffect(() => {
    if (again) void attempt(async () => route(reuseSubmission((await readSubmission(again)).submission), true)).then((done) => done || route("/", true));
  }, [again]);

  function useImage(image: PickedImage, mode: Mode): void {
    startFrom(image, mode);
    route("/");
  }

  return (
    <>
      <PageHead title={words.title}><SourceSelect source={source} onSource={(chosen) => route(`/${chosen}`)} /></PageHead>
      <div class="playground">
        {saved ? <SavedForm name={saved} version={version} /> : source === GRAPH ? <GraphForm /> : <BuiltInForm />}
        <Results onReuse={(submission) => route(reuseSubmission(submission))} onUseImage={useImage} />
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
