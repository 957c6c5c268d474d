import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function WorkflowsPage() {
  return <PageHead title={text.workflows.title} />;
}
