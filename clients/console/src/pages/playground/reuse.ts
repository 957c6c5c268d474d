/** Repeating an earlier job, perhaps with changes. */
import { attempt } from "../../ui/dialog";
import { reuseSettings } from "./BuiltInForm";
import { shownValues } from "./graph";
import { openGraph } from "./GraphForm";
import { reuseParameters } from "./SavedForm";
import type { Submission } from "./settings";

/** Fill the form of what the job ran with its values, and return the path of the form in the playground. */
export function reuseSubmission(submission: Submission): string {
  const { workflow_name: name, version, parameters, workflow } = submission;
  if (name) {
    reuseParameters(name, shownValues(parameters));
    return `/?${new URLSearchParams({ workflow: name, ...(version ? { version: String(version) } : {}) })}`;
  }
  if (workflow) {
    void attempt(() => openGraph(workflow));
    return "/?graph";
  }
  reuseSettings(submission);
  return "/";
}
