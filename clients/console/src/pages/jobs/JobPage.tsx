import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function JobPage() {
  return <PageHead title={text.jobs.title} />;
}
