import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function WorkflowPage() {
  return <PageHead title={text.workflows.title} />;
}
