import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function SharedJobPage() {
  return <PageHead title={text.shared.title} />;
}
