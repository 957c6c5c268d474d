import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function NodePage() {
  return <PageHead title={text.fleet.title} />;
}
