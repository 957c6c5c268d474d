import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function AuditPage() {
  return <PageHead title={text.audit.title} />;
}
