import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function QueuePage() {
  return <PageHead title={text.queue.title} />;
}
