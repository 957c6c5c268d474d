import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function JobsPage() {
  return <PageHead title={text.jobs.title} />;
}
