import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function PolicyPage() {
  return <PageHead title={text.policy.title} />;
}
