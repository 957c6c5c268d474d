/** A saved workflow as a form. */
import { signal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { api, unwrap } from "../../api/client";
import { useResource, type Resource } from "../../api/resource";
import { text } from "../../text";
import { classesOf, fieldsOfWorkflow, parametersOf, type Values } from "../../ui/schema_fields";
import { Loaded } from "../../ui/show";
import { readSavedWorkflow, type SavedWorkflow } from "./graph";
import { keepForm } from "./jobs";
import { readNodeClass } from "./options";
import { errorsByField, type Submission } from "./settings";
import { WorkflowForm } from "./WorkflowForm";

/** Counts fills from outside. Part of the form's key, so that the form starts again with the new values. */
const fillings = signal(0);

/** Fill the form of a saved workflow with the parameters of an earlier job. */
export function reuseParameters(name: string, values: Values): void {
  keepForm(formOf(name), values);
  fillings.value += 1;
}

function formOf(name: string): string {
  return `workflow:${name}`;
}

export function useWorkflow(name: string, version?: number): Resource<SavedWorkflow> {
  return useResource(`workflow:${name}:${version ?? ""}`, async () => {
    const params = { path: { workflow_name: name }, query: version ? { version } : {} };
    return readSavedWorkflow(await unwrap(api.GET("/api/v1/workflows/{workflow_name}", { params, parseAs: "text" })));
  });
}

/** `isTitled`: whether the form says which workflow it is; the workflow's own page says it already. */
export function SavedForm({ name, version, isTitled = true }: { name: string; version?: number; isTitled?: boolean }) {
  const workflow = useWorkflow(name, version);
  return <div class="stack"><Loaded resource={workflow}>{(saved) => <Form key={`${saved.name}:${saved.version}:${fillings.value}`} saved={saved} isPinned={version !== undefined} isTitled={isTitled} />}</Loaded></div>;
}

function Form({ saved, isPinned, isTitled }: { saved: SavedWorkflow; isPinned: boolean; isTitled: boolean }) {
  const names = classesOf(saved);
  const classes = useResource(`classes:${names.join(",")}`, async () => new Map(await Promise.all(names.map(async (name) => [name, await readNodeClass(name)] as const))));
  const fields = useMemo(() => fieldsOfWorkflow(saved, classes.data ?? new Map()), [saved, classes.data]);
  if (!classes.data && !classes.problem) return <Loaded resource={classes}>{() => null}</Loaded>; // choices of the fleet
  const build = (values: Values, draw?: () => number): Submission => ({
    workflow_name: saved.name,
    ...(isPinned ? { version: saved.version } : {}),
    parameters: parametersOf(fields, values, draw),
  });
  return (
    <WorkflowForm name={formOf(saved.name)} label={saved.name} fields={fields} build={build} errorsOf={errorsByField}
      title={isTitled && (
        <div class="stack tight">
          <h2 class="row wrap"><a href={`/workflows/${saved.name}`}>{saved.name}</a> <span class="badge plain">{text.workflows.version} {saved.version}</span></h2>
          {saved.description && <p class="soft">{saved.description}</p>}
        </div>
      )} />
  );
}
